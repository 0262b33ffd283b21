"""ranker.report, answer, page and plots: the page's text, without a browser."""

import json
import re
from collections.abc import Hashable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from ranker.metrics.systems import BASELINES, EXPORTED, RECIPES, SYSTEMS, opponents
from ranker.report.answer import answer, basis, deciding
from ranker.report.outcome import next_steps
from ranker.report.page import browser_data, frontier_points, looks, render, render_unmeasured, since_data
from ranker.report.plots import plots
from ranker.report.release import heading, subtitle
from ranker.report.stacks import sentences
from tests.example_report import (
    COMPARISON,
    DEPTHS,
    DOCUMENTS,
    HOSTILE,
    HOSTILE_TITLE,
    LAST,
    NOW,
    RERANKED,
    STACKS,
    decided,
    example,
    served_example,
    since_example,
    timed,
)


@pytest.fixture(scope="module")
def page() -> str:
    return render(example())


class Elements(HTMLParser):
    """Every element's attributes, and all text outside script and style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.within = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.within = tag

    def handle_data(self, data: str) -> None:
        if self.within not in ("script", "style"):
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self.within = ""


def test_answer_helps() -> None:
    """Better than each: figures are for the strongest, and gains are counted as printed."""
    headline = {"verdict": "helps", "strongest": "bm25", "from": ["bm25", "base_cosine", "random"]}
    word, shown, figures = answer(
        COMPARISON | {"headline": headline}, [0.2, -0.1, 0.0004, 0.3], "on this split and seed"
    )
    assert (word, shown) == ("helps", "The ranker helps, on this split and seed.")
    assert figures == (
        "Its nDCG@10 is 0.489. Best untrained system: BM25, 0.411. "
        "Difference: +0.078 (95% interval +0.012 to +0.141, p = 0.023). It gains on 2 of 4 queries and loses on 1."
    )


@pytest.mark.parametrize(
    ("found", "headline"),
    [
        (["base_cosine"], "The ranker hurts, over 5 folds: the base model's cosine ranks better."),
        (["base_cosine", "bm25"], "The ranker hurts, over 5 folds: the base model's cosine and BM25 rank better."),
    ],
)
def test_answer_hurts(found: list[str], headline: str) -> None:
    comparison = COMPARISON | {"headline": {"verdict": "hurts", "strongest": "base_cosine", "from": found}}
    assert answer(comparison, [-0.1], "over 5 folds")[:2] == ("hurts", headline)


@pytest.mark.parametrize(
    ("found", "headline"),
    [
        (["base_cosine", "random"], "No significant difference from the base model's cosine, on this split and seed."),
        (["random"], "No significant difference from a random order, on this split and seed."),
    ],
)
def test_answer_no_significant_difference(found: list[str], headline: str) -> None:
    word = "no significant difference"
    comparison = COMPARISON | {"headline": {"verdict": word, "strongest": "base_cosine", "from": found}}
    verdict, shown, figures = answer(comparison, [0.1], "on this split and seed")
    assert (verdict, shown) == (word, headline)
    assert "system: the base model's cosine, 0.437. Difference: +0.052 (95% interval \N{MINUS SIGN}0.013 to" in figures


def test_systems_differ_in_all_that_tells_them_apart() -> None:
    for values in zip(*((s.label, s.spoken, s.colour, s.dash) for s in SYSTEMS.values()), strict=True):
        assert len(set(values)) == len(SYSTEMS)
    assert all(name == system.name for name, system in SYSTEMS.items())


def test_systems_take_part_in_what_they_can() -> None:
    assert EXPORTED == ("cross_encoder", "cross_encoder_int8", "retriever")
    assert RECIPES == ("cross_encoder", "retriever", "tutorial", "head_only")
    assert BASELINES == ("bm25", "base_cosine")
    assert set(opponents("judged")) == {*BASELINES, "random"}
    assert set(opponents("reranked")) == {"first_stage", "base_cosine"}
    assert not {*RECIPES, *EXPORTED} & {
        *opponents("judged"),
        *opponents("reranked"),
    }


def test_render_of_equal_results_gives_equal_pages(page: str) -> None:
    assert render(example()) == page


def test_render_loads_nothing_from_elsewhere(page: str) -> None:
    for _, attributes in Elements(page).found:
        for name in ("src", "srcset", "href", "xlink:href", "action", "data", "poster"):
            assert (attributes.get(name) or "#").startswith("#")
        assert "url(" not in (attributes.get("style") or "")
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:" in page


def test_render_shows_hostile_texts_as_text(page: str) -> None:
    elements = Elements(page)
    names = [name for name, _ in elements.found]
    assert HOSTILE in elements.text
    assert names.count("script") == 2  # data and code
    assert "img" not in names
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["queries"][1]["text"] == HOSTILE
    assert data["texts"]["h1"] == [HOSTILE_TITLE, ""]


def test_render_shows_every_figure(page: str) -> None:
    text = " ".join(Elements(page).text.split()).replace("\N{EN DASH}", "-").replace("\N{MINUS SIGN}", "-")
    for shown in ("0.489 (0.431-0.546)", "0.487 (0.433-0.541)", "0.200 (0.161-0.243)"):
        assert shown in text
    assert "+0.078 p = 0.023(+0.012 to +0.141) better" in text
    assert "-0.058 p = 0.030(-0.107 to -0.009) worse" in text
    assert "+0.052 p = 0.074(-0.013 to +0.117) no significant difference" in text
    assert "+0.289 p < 0.001(+0.221 to +0.346) better" in text
    assert "The same measures over 1,234 judged pairs of 2 queries" in text
    assert "0.610 (0.500-0.720)" in text
    assert "+0.031 p = 0.041(+0.004 to +0.060) better" in text
    assert "head only is left out: it gives equal scores to all documents." in text
    assert "No significant difference from the base model's cosine, on this split and seed." in text
    assert "0 not relevant" in text
    assert "2 relevant, the highest grade" in text
    assert "nDCG@10 0.023 13: 0.489, 14: 0.518, 15: 0.472" in text
    assert "pairs69,318 relevant share0.2414" in text
    assert "queries on both sides0" in text
    assert "0123abcd" * 8 in text
    assert [a["aria-label"] for name, a in Elements(page).found if name == "svg" and a["role"] == "img"] == [
        "Bars: each query's gain in nDCG@10 over base model's cosine",
        "Line: share relevant by probability",
        "Lines: true by false positive rate of each system",
        "Lines: precision by recall of each system",
    ]


def test_render_leaves_out_what_is_absent() -> None:
    comparison: Any = {name: COMPARISON[name] for name in ("systems", "differences", "headline")}
    text = Elements(render(replace(example(), comparison=comparison, curves={}))).text
    assert "ROC" not in text
    assert "The same training with other seeds" not in text
    assert "left out" not in text
    assert "Documents unseen in training" not in text


@pytest.mark.parametrize(
    ("strongest", "gain"), [("base_cosine", "gain over base model\\u0027s cosine"), ("bm25", "gain over BM25")]
)
def test_render_says_what_gains_are_over(strongest: str, gain: str) -> None:
    headline = COMPARISON["headline"] | {"strongest": strongest}
    page = render(replace(example(), comparison=COMPARISON | {"headline": headline}))
    label = SYSTEMS[strongest].label
    assert f"Gain of each query over {label}" in Elements(page).text
    assert f"largest loss against {label}" in Elements(page).text
    assert f'["{gain}", query.gain]' in page.replace("&#39;", "'")


def test_render_says_whose_order_documents_moved_against() -> None:
    """BM25's order, unless BM25 gives none."""
    assert "against the first column, BM25:" in " ".join(Elements(render(example())).text.split())
    systems = {name: by for name, by in COMPARISON["systems"].items() if name != "bm25"}
    results = replace(example(), comparison=COMPARISON | {"systems": systems})
    assert browser_data(results)["systems"] == ["base model's cosine", "cross-encoder"]
    assert "against the first column, base model's cosine:" in " ".join(Elements(render(results)).text.split())


JUDGED_ALONE = COMPARISON | {"decides": {"table": "judged", "system": None, "judged": None}}
SERVED = "the best 100 hits in the whole collection by BM25 and the base model's cosine, reordered"


def test_deciding_is_the_table_that_gives_the_verdict() -> None:
    assert deciding(decided("reranked")) is RERANKED
    for comparison in (decided("judged"), JUDGED_ALONE, COMPARISON):
        assert deciding(comparison) is comparison


def test_basis_says_what_the_verdict_is_of_and_why() -> None:
    assert (
        basis(decided("reranked"))
        == f"The verdict compares {SERVED}; at least 91.0% of each compared system's top ten are judged."
    )
    assert basis(decided("judged", "first_stage", 0.412)) == (
        "The verdict compares judged documents only, because 41.2% of the top ten of the first stage's own order in "
        "the whole collection are judged; below 90%, unjudged documents would decide."
    )
    assert basis(JUDGED_ALONE) == (
        "The verdict compares judged documents only, because queries are on both sides of the split."
    )
    assert basis(COMPARISON) == ""


def shown(comparison: Any, depths: list[dict[Hashable, Any]] = DEPTHS) -> str:
    of = served_example() if deciding(comparison) is not comparison else example()
    results = replace(of, comparison=comparison, depths=depths, ms_of=25.6)
    page = render(results)
    text = " ".join(Elements(page).text.split())
    return text.replace("\N{EN DASH}", "-").replace("\N{MINUS SIGN}", "-")


def test_render_shows_what_is_served_beside_the_judged_pairs() -> None:
    text = shown(decided("reranked"))
    answered = "The ranker helps, on this split and seed. Its nDCG@10 is 0.389. Best untrained system: the base model's"
    assert f"{answered} cosine, 0.337. Difference: +0.052 (95% interval +0.011 to +0.093, p = 0.016)." in text
    assert f"It gains on 1 of 2 queries and loses on 0. The verdict compares {SERVED}; at least 91.0% of each" in text
    served, judged = text.split("Served rankings")[1].split("Judged documents only")[:2]
    assert f"For each held-out query {SERVED}, by the int8 model as Vespa runs it" in served
    assert "perfect order of the same hits would have nDCG@10 0.812." in served
    assert "systemnDCG@10Judged@10" in served
    assert "first stage's own order 0.311 (0.252-0.368) 0.980 (0.970-0.990)" in served
    assert "+0.078 p = 0.003(+0.012 to +0.141) better" in served
    assert "0.489 (0.431-0.546)" in judged.split("Plots")[0]
    assert "0.489" not in served
    assert "perfect order 0." not in served  # not a system


def test_render_of_judged_pairs_that_decide() -> None:
    """The page counts their gains and shows their headline; the reranked hits stand beside it."""
    text = shown(decided("judged", "first_stage", 0.412))
    assert (
        "No significant difference from the base model's cosine, on this split and seed. Its nDCG@10 is 0.489" in text
    )
    assert "It gains on 1 of 3 queries and loses on 2. The verdict compares judged documents only, because" in text
    served = text.split("Served rankings")[1].split("Judged documents only")[0]
    assert " better" not in served.split("How many hits")[0].split("against")[1]  # unjudged documents would decide it


def test_render_shows_the_answers_first_and_every_stack() -> None:
    """A row for each stack, in the table's order; params.yaml's own is marked."""
    results = served_example()
    page = render(results)
    (answer,) = re.findall('(?s)<div class="answer">(.*?)</div>', page)
    lines = [Elements(line).text for line in re.findall("<(?:strong|p)>(.*?)</(?:strong|p)>", answer)]
    assert " ".join(lines) == " ".join(sentences(STACKS)).replace("nothing: +", "nothing. +")
    rows = re.findall(
        r'(?s)<tr(?: class="cross_encoder")?>\s*<th scope="row">(.*?)</tr>', page.split("Served rankings")[0]
    )
    found = [" ".join(Elements(row).text.split()) for row in rows]
    assert len(found) == len(STACKS["rows"])
    assert found[0].startswith("BM25 0.411 (0.361\N{EN DASH}0.461) 0.750 (0.700\N{EN DASH}0.800) 0.625")
    assert found[0].endswith("0.511 (0.461\N{EN DASH}0.561) 0")
    assert found[11].startswith("BM25 + retriever + cross-encoder (params.yaml) 0.520")
    assert found[11].endswith(" 165")
    assert [row.count("(params.yaml)") for row in found].count(1) == 1
    labels = [a["aria-label"] for name, a in Elements(page).found if name == "svg" and a["role"] == "img"]
    assert labels[:2] == [
        "Points: nDCG@10 of each stack over its cost, with intervals",
        "Lines: nDCG@10 of stacks over training queries",
    ]
    assert "What a gain costs" not in render(example())


def test_render_shows_milliseconds_where_they_are_known() -> None:
    stacks = timed(STACKS)
    stacks["rows"]["base"] = STACKS["rows"]["base"]
    text = shown(decided("reranked") | {"stacks": stacks})
    assert "condensedpairsms" in text
    assert ("0.511 (0.461-0.561) 0 3" in text, "0.537 (0.487-0.587) 0 -" in text) == (True, True)
    assert "condensedpairs BM25" in shown(decided("reranked"))


def test_render_of_a_table_without_a_curve_over_judgements_draws_none() -> None:
    stacks = {name: value for name, value in STACKS.items() if name != "judgements"}
    page = render(replace(served_example(), comparison=decided("reranked") | {"stacks": stacks}))
    assert "Is more judging worth it?" not in page
    assert "Lines: nDCG@10 of stacks over training queries" not in page


@pytest.mark.parametrize(
    ("table", "unit", "costs"),
    [
        (STACKS, "pairs that the cross-encoder reads, a query", [0, 100, 131.7]),
        (timed(STACKS), "processor milliseconds a query", [3, 3 + 575, 3 + 5.75 * 131.7]),
    ],
)
def test_no_cheaper_stack_is_as_good_as_one_on_the_frontier(table: Any, unit: str, costs: list[float]) -> None:
    """By hand; references are no stacks to deploy. One stack without milliseconds, and all costs are in pairs."""
    points = frontier_points(table)
    assert len(points) == len(STACKS["rows"]) - 2
    assert points["unit"].unique().tolist() == [unit]
    best = points[points["frontier"]]
    assert best["label"].tolist() == [
        "BM25 + retriever",
        "retriever + cross-encoder",
        "BM25 + retriever + cross-encoder, fitted weights",
    ]
    assert best["cost"].tolist() == pytest.approx(costs)
    rows = {
        name: {key: row[key] for key in row if key != "ms" or name != "bm25"} for name, row in table["rows"].items()
    }
    assert frontier_points(table | {"rows": rows})["unit"][0] == "pairs that the cross-encoder reads, a query"


def test_render_has_a_row_for_each_depth() -> None:
    text = shown(decided("reranked"))
    assert "hitsnDCG@10gainperfect 00.311" in text
    assert "200.388 +0.077 (+0.011 to +0.143) 0.700 1000.389 +0.078 (+0.012 to +0.144) 0.812" in text
    assert "20 hits have 95% of the best gain: +0.077 (+0.011 to +0.143)." in text
    assert "milliseconds a query" not in text
    timed = shown(decided("reranked"), depths=[row | {"ms": row["depth"] * 5.75} for row in DEPTHS])
    assert "hitsnDCG@10gainperfectms 00.311" in timed
    assert "0.700115 1000.389 +0.078 (+0.012 to +0.144) 0.812575" in timed
    assert "Vespa's milliseconds a query for pairs of 26 tokens (bench/results/stacks.json)" in timed
    without = shown(decided("reranked") | {"reranked": RERANKED | {"smallest_depth": None}})
    assert "so no depth is advised" in without
    assert "95% of the best gain" not in without


def test_render_draws_depth_and_escapes_all() -> None:
    page = render(replace(example(), comparison=decided("judged"), depths=DEPTHS))
    elements = Elements(page)
    assert "Lines: nDCG@10 by the number of reordered hits, for each system" in [
        attributes["aria-label"] for name, attributes in elements.found if name == "svg" and attributes["role"] == "img"
    ]
    assert [name for name, _ in elements.found].count("script") == 2
    assert HOSTILE in elements.text
    assert "base model&#39;s cosine, reordered" in page


def test_plots_draw_a_text_that_no_xml_may_hold() -> None:
    per_query = example().per_query.assign(query="nul \x00, escape \x1b, not a character \uffff, new\nline \U0001f9a0")
    drawn = plots(per_query, {}, "BM25")["gain"]
    assert "1 · nul \N{REPLACEMENT CHARACTER}, escape" in drawn


def test_browser_data_lists_queries_worst_first() -> None:
    queries = browser_data(example())["queries"]
    assert [(query["id"], query["by_gain"]) for query in queries] == [("1", 2), ("2", 3), ("3", 1)]
    assert queries[0]["values"] == ["0.600", "0.500", "0.200"]
    assert (queries[0]["gain"], queries[0]["pairs"], queries[0]["relevant"]) == ("\N{MINUS SIGN}0.300", "12", "3")


def test_browser_data_has_top_tens_and_moves() -> None:
    data = browser_data(example())
    bm25, cosine, ranker = data["queries"][0]["tops"]
    assert data["systems"] == ["BM25", "base model's cosine", "cross-encoder"]
    assert [document for document, _, _ in bm25] == DOCUMENTS[:10]
    assert [move for _, _, move in bm25] == ["", "", "", "", "", "to 12", "to 11", "", "", ""]
    assert [move for _, _, move in cosine] == ["="] * 10
    assert ranker == [
        ("d12", 2, "from 12"),
        ("d02", 1, "="),
        ("d01", 0, "▼2"),
        ("d03", 0, "▼1"),
        ("d04", 0, "▼1"),
        ("d05", 0, "▼1"),
        ("d11", 1, "from 11"),
        ("d10", 0, "▲2"),
        ("d09", 0, "="),
        ("d08", 0, "▼2"),
    ]
    assert [document for document, _, _ in data["queries"][1]["tops"][2]] == ["h2", "h1"]
    assert "never shown" not in data["texts"]


def drawn_gains(page: str) -> list[int]:
    """Count the bars of the plot of gains that go right, and those that go left."""
    (plot,) = (part for part in page.split("<figure>") if "<b>Gain of each query" in part)
    plot = plot.split("</figure>")[0]
    return [len(re.findall(f'fill="{SYSTEMS[name].colour}"', plot)) for name in ("cross_encoder", "bm25")]


def test_all_under_a_verdict_is_of_the_table_that_gave_it() -> None:
    """Gains are counted, drawn and listed over the same baseline; the other table's gains do not appear."""
    judged, served = (
        render(replace(example(), comparison=decided("judged", "first_stage", 0.4), depths=DEPTHS)),
        render(served_example()),
    )
    assert drawn_gains(judged) == [1, 2]
    assert "It gains on 1 of 3 queries and loses on 2." in Elements(judged).text
    assert drawn_gains(served) == [2, 0]
    text = " ".join(Elements(served).text.split())
    assert "It gains on 1 of 2 queries and loses on 0." in text
    assert "Gain of each query over base model's cosine Served rankings: nDCG@10" in text
    assert f"Served rankings: the top ten of each system among {SERVED}." in text
    assert "Judged documents only: the top ten" not in text
    data = browser_data(served_example())
    assert data["systems"] == ["first stage's own order", "base model's cosine", "cross-encoder"]
    assert [(query["id"], query["gain"]) for query in data["queries"]] == [("9", "±0.000"), ("1", "+0.125")]
    assert data["queries"][0]["tops"] == [[], [], []]  # without a hit
    assert data["queries"][1]["values"] == ["0.250", "0.375", "0.500"]


def test_a_hit_that_nobody_judged_says_so() -> None:
    data = browser_data(served_example())
    assert [grade for document, grade, _ in data["queries"][1]["tops"][0] if document == "d03"] == [None]
    assert "? not judged, counted as not relevant" in " ".join(Elements(render(served_example())).text.split())
    assert "not judged" not in Elements(render(example())).text


@pytest.mark.parametrize(
    ("min_relevant_grade", "grades", "expected"),
    [
        (1, [0, 1, 2], ["not-relevant", "relevant-1", "relevant-2"]),
        (2, [0, 1, 2, 3], ["not-relevant", "not-relevant", "relevant-1", "relevant-2"]),
        (1, [1, 2, 3, 4, 5], ["relevant-1", "relevant-2", "relevant-3", "relevant-3", "relevant-3"]),
        (3, [0, 1], ["not-relevant", "not-relevant"]),
    ],
)
def test_the_look_of_a_grade_is_that_of_its_relevance(
    min_relevant_grade: int, grades: list[int], expected: list[str]
) -> None:
    run = pd.DataFrame({"grade": grades})
    run["relevant"] = run["grade"] >= min_relevant_grade
    assert looks(run) == dict(zip(grades, expected, strict=True))
    run = example().run.assign(relevant=example().run["grade"] >= 2)
    page = render(replace(example(), run=run))
    assert re.findall(r'<span class="grade ([a-z0-9-]+)">(\d)</span> ((?:not )?relevant)', page) == [
        ("not-relevant", "0", "not relevant"),
        ("not-relevant", "1", "not relevant"),
        ("relevant-1", "2", "relevant"),
    ]


def test_documents_are_shown_by_all_that_was_ranked_of_them() -> None:
    texts = browser_data(example())["texts"]
    assert texts["d01"] == ["Title of d01", " Ward 0."]
    documents = example().documents.assign(title="", text="words " * 100)
    first, rest = browser_data(replace(example(), documents=documents))["texts"]["d01"]
    assert (first, rest) == ("", ("words " * 40) + "\N{HORIZONTAL ELLIPSIS}")


def test_render_shows_the_title_and_the_next_steps() -> None:
    results = replace(example(), comparison=decided("judged", "first_stage", 0.412), collection="shop", depths=DEPTHS)
    page = render(results)
    result = "BM25 and the retriever, fused with the cross-encoder, nDCG@10 0.520"
    assert f"<title>shop-ranker 0.1.0 on shop: {result}</title>" in page
    assert f'<h1>shop-ranker 0.1.0 on shop</h1>\n<p class="result">{result}</p>' in page
    about = "53 queries, 3,010 judgements, 702 judged documents, data 606ab545. No release to compare with."
    assert f'<p class="note">{about}</p>' in page
    assert [re.sub("</?code>", "`", found) for found in re.findall('<p class="next"><b>Next:</b> (.*)</p>', page)] == (
        next_steps(results)
    )


def test_render_shows_what_changed_since_the_last_release() -> None:
    """The verdict, data and params of both, and two queries: one has a new and a lost document, one had no hit."""
    page = render(since_example())
    assert "<h1>shop-ranker 0.1.0 on " in page
    assert ", against 0.0.9</h1>" in page
    assert " Against shop-ranker@v0.0.9: BM25, reordered by the cross-encoder.</p>" in page
    (section,) = re.findall('(?s)<section id="since".*?(?=<section id="measures")', page)
    text = " ".join(re.sub("<.*?>", " ", section).split()).replace("\N{EN DASH}", "-")
    assert "significantly better: +0.031 nDCG@10" in text
    assert (
        "queries 50 53 judgements 2,854 3,010 judged documents 702 702 data/split/pairs.parquet eeeeeeee aaaa" in text
    )
    assert "first_stage.retriever bm25 hybrid join.grades - [] train.dropout 0.1 - Queries that changed" in text
    rows = re.findall(r'(?s)<tr( class="differs")?><th scope="row"(?: class="long")?>(.*?)</th>', section)
    assert [name for differs, name in rows if not differs] == ["judged documents", "data/split/queries.parquet"]
    assert "masks in wards 0.250 → 0.500 +0.250 before: 0.0.9 1 Title of d01, longer than a narrow column" in text
    assert re.findall(r'(?s)class="alone">.*?class="move">(.*?)</span><span class="id">(.*?)</span>', section) == [
        *(("gone now", "d02"), ("new", "x1"), ("new", "x2"), ("new", "x3"), ("new", "x4"))
    ]
    assert "0.000 → 0.125 +0.125 before: 0.0.9 - No document. now: 0.1.0 1 " in text
    assert text.endswith("3 (no title) ? new x4")
    assert re.findall(r'class="grade ([a-z0-9-]+)">(.)<', section)[10:] == [
        *(("relevant-2", "2"), ("relevant-1", "1"), ("not-relevant", "0"), ("relevant-1", "1"), ("relevant-2", "2")),
        *(("not-relevant", "0"), ("relevant-1", "1"), ("relevant-2", "2"), ("not-relevant", "0"), ("relevant-1", "1")),
        *[("unjudged", "?")] * 3,
    ]
    assert [name for name, _ in Elements(page).found].count("script") == 2
    assert "img" not in [name for name, _ in Elements(page).found]


def test_grades_that_no_ranking_of_today_has_are_marked_by_their_relevance() -> None:
    """Grade 3 was found by the release alone, and grade 2 is the smallest relevant one."""
    results = since_example()
    changed = results.changed.assign(grade=pd.array([3, 1] + [None] * (len(results.changed) - 2), "Int32"))
    run = results.run.assign(grade=2, relevant=True)
    assert since_data(replace(results, changed=changed, run=run))["looks"] == {
        1: "not-relevant",
        2: "relevant-1",
        3: "relevant-2",
    }


def test_render_without_a_release_has_no_section_on_it() -> None:
    page = render(replace(served_example(), changed=since_example().changed))
    assert "ince the last release" not in page
    assert ">No release to compare with." not in page  # it ends the subtitle
    assert " No release to compare with.</p>" in page
    assert "against" not in page.split("<h1>")[1].split("</h1>")[0]


def test_render_of_equal_params_and_rankings_says_so() -> None:
    results = since_example()
    equal = replace(LAST, params=results.now.params)
    text = Elements(render(replace(results, last_release=equal, changed=results.changed[:0]))).text
    assert "All params are equal." in text
    assert "Queries that changed most" not in text


def test_the_page_of_a_version_trained_on_all_judgements_says_what_it_is() -> None:
    page = render_unmeasured(heading("shop-ranker", "0.1.0", "shop", LAST), subtitle(NOW, LAST), {"a": "0123abcd"})
    assert "<title>shop-ranker 0.1.0 on shop, against 0.0.9: trained on all judgements</title>" in page
    assert "<h1>shop-ranker 0.1.0 on shop, against 0.0.9</h1>" in page
    assert "<p>53 queries, 3,010 judgements, 702 judged documents, data 606ab545. Against shop-ranker@v0.0.9: " in page
    hostile = render_unmeasured(heading("shop-ranker", "0.1.0", HOSTILE, None), subtitle(NOW, None), {})
    assert HOSTILE in Elements(hostile).text
    assert "No release to compare with." in hostile


def test_render_says_how_many_queries_judged_pairs_leave_out() -> None:
    comparison = decided("judged", "first_stage", 0.412)
    left_out = "Queries left out, because random documents stand in for their negatives: 11."
    assert f"unjudged documents would decide. {left_out}" in shown(comparison | {"queries_left_out": 11})
    assert f"quality of the served rankings. {left_out}" in shown(decided("reranked") | {"queries_left_out": 11})
    assert "left out, because" not in shown(comparison | {"queries_left_out": 0})


def test_plots_of_many_queries_keep_their_height() -> None:
    """One bar for each query, without names, in a plot of the same height as for 60 queries."""
    many = pd.concat([example().per_query[:1]] * 700, ignore_index=True)
    many = many.assign(query_id=range(700), gain=[(350 - i) / 350 for i in range(700)])
    drawn, sixty = (plots(table, {}, "BM25")["gain"] for table in (many, many[:60]))
    heights = [float(height) for svg in (drawn, sixty) for height in re.findall(r'<svg .*? height="([0-9.]+)"', svg)]
    assert heights[0] == pytest.approx(heights[1], abs=5)
    assert ("59 · masks" in sixty, "699 · masks" in drawn) == (True, False)

"""The report: its text, without a browser."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from ranker.report.answer import answer
from ranker.report.page import browser_data, render
from ranker.report.plots import plots
from tests.example_report import COMPARISON, DOCUMENTS, HOSTILE, HOSTILE_TITLE, example


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


def test_equal_results_give_equal_pages(page: str) -> None:
    assert render(example()) == page


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    for _, attributes in Elements(page).found:
        for name in ("src", "srcset", "href", "xlink:href", "action", "data", "poster"):
            assert (attributes.get(name) or "#").startswith("#")
        assert "url(" not in (attributes.get("style") or "")
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:" in page


def test_hostile_texts_are_text(page: str) -> None:
    elements = Elements(page)
    names = [name for name, _ in elements.found]
    assert HOSTILE in elements.text
    assert names.count("script") == 2  # the data and the code
    assert "img" not in names
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["queries"][1]["text"] == HOSTILE
    assert data["titles"]["h1"] == HOSTILE_TITLE


def test_every_figure_is_on_the_page(page: str) -> None:
    text = " ".join(Elements(page).text.split()).replace("\N{EN DASH}", "-").replace("\N{MINUS SIGN}", "-")
    for shown in ("0.489 (0.431-0.546)", "0.487 (0.433-0.541)", "0.200 (0.161-0.243)"):
        assert shown in text
    assert "+0.078 p = 0.023(+0.012 to +0.141) better" in text
    assert "-0.058 p = 0.030(-0.107 to -0.009) worse" in text
    assert "+0.289 p < 0.001(-0.003 to +0.346) not told apart" in text
    assert "+0.031 p = 0.041(+0.004 to +0.060) better" in text
    assert "nDCG@10 0.023 13: 0.489, 14: 0.518, 15: 0.472" in text
    assert "pairs69,318 relevant share0.2414" in text
    assert "queries on both sides0" in text
    assert "0123abcd" * 8 in text
    assert [a["aria-label"] for name, a in Elements(page).found if name == "svg" and a["role"] == "img"] == [
        "Bars: each query's gain in nDCG@10 of the ranker over BM25",
        "Line: share relevant by probability",
        "Lines: true by false positive rate of each system",
        "Lines: precision by recall of each system",
    ]


@pytest.mark.parametrize(
    ("verdict", "headline"),
    [("better", "helps"), ("worse", "hurts"), ("not told apart", "not told apart from BM25")],
)
def test_the_answer_follows_the_verdict(verdict: str, headline: str) -> None:
    difference = COMPARISON["differences"]["bm25"]["nDCG@10"] | {"verdict": verdict}
    comparison = COMPARISON | {"differences": {"bm25": {"nDCG@10": difference}}}
    word, shown, figures = answer(replace(example(), comparison=comparison))
    assert (word, headline in shown) == (verdict, True)
    assert figures == (
        "Its nDCG@10 is 0.489, BM25's 0.411: +0.078 (interval +0.012 to +0.141, p = 0.023). "
        "It gains on 0 of 3 queries and loses on 3."
    )


def test_what_may_be_absent_is_left_out() -> None:
    comparison = {"systems": {"ranker": COMPARISON["systems"]["ranker"]}, "differences": {}}
    text = Elements(render(replace(example(), comparison=comparison, curves={}))).text
    assert "The ranker was not compared with BM25." in text
    assert "ROC" not in text
    assert "The same training from other random numbers" not in text


def test_a_text_that_no_xml_may_hold_is_drawn() -> None:
    per_query = example().per_query.assign(query="nul \x00, escape \x1b, not a character \uffff, new\nline \U0001f9a0")
    drawn = plots(per_query, {})["gain"]
    assert "1 · nul \N{REPLACEMENT CHARACTER}, escape" in drawn


def test_queries_are_listed_worst_first() -> None:
    queries = browser_data(example())["queries"]
    assert [(query["id"], query["by_gain"]) for query in queries] == [("1", 2), ("2", 3), ("3", 1)]
    assert queries[0]["values"] == ["0.500", "0.600", "0.200"]
    assert (queries[0]["gain"], queries[0]["pairs"], queries[0]["relevant"]) == ("\N{MINUS SIGN}0.300", "12", "3")


def test_top_tens_and_moves() -> None:
    data = browser_data(example())
    bm25, cosine, ranker = data["queries"][0]["tops"]
    assert data["systems"] == ["BM25", "base model's cosine", "ranker"]
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
    assert "never shown" not in data["titles"]

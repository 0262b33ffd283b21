"""ranker.report.outcome and stacks: the title, the answers, the stack to deploy, and the next steps."""

import re
import shlex
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import pandas as pd
import pytest
import yaml
from dvc.utils.serialize import modify_yaml

from ranker.contract.stacks import FIRST_STAGES
from ranker.metrics import systems
from ranker.project.params import load_params
from ranker.report.outcome import Outcome, answers, next_steps, verdict_lines
from ranker.report.stacks import label, sentences, spoken, stack_lines, to_deploy
from ranker.stacks.shipped import shipped_stack
from tests.example_report import (
    COMPARISON,
    LAST,
    NO_DIFFERENCE,
    NOW,
    RERANKED,
    STACKS,
    against,
    contradicting,
    differs,
    paired,
)
from tests.factories import ROOT

PER_QUERY = pd.DataFrame({"query_id": list("abcd"), "query": "masks", "gain": [0.1, 0, 0.2, 0.1]})


def outcome(stacks: Any = STACKS, crossval: bool = False, **decides: Any) -> Outcome:
    """An outcome with this table of stacks; without one, of a split by pair."""
    found = {"table": "reranked", "system": "bm25", "judged": 0.5, "rows": 181} | decides
    by_query = {"reranked": RERANKED, "stacks": stacks} if stacks else {}
    return Outcome(
        name="shop-ranker",
        version="1.2.0",
        collection="shop",
        scope="on this split and seed",
        crossval=crossval,
        comparison=COMPARISON | {"decides": found} | by_query,
        per_query=PER_QUERY,
        to_judge=PurePath("results/crossval/to_judge.csv" if crossval else "results/to_judge.csv"),
        now=NOW,
        last_release=None,
    )


def by_pair(verdict: str, *names: str) -> Outcome:
    headline = {"verdict": verdict, "strongest": "base_cosine", "from": list(names), "why": "of stand-ins"}
    found = outcome(None, table="judged", system=None)
    comparison: Any = found.comparison | {"headline": headline}
    return replace(found, comparison=comparison)


def answered(**by: Any) -> Any:
    """The table whose answers, by question, have this verdict or mean and verdict."""
    found = [
        {"question": question, "by": {"nDCG@10": differs("hybrid+fused", "bm25", mean, verdict)}, "agree": True}
        for question, (mean, verdict) in by.items()
    ]
    return STACKS | {"answers": found}


MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("question", "mean", "verdict", "sentence"),
    [
        (
            *("training", 0.1089, "better"),
            "Training beats the best search that costs nothing: +0.109 nDCG@10 (95% interval +0.059 to +0.149, "
            "p = 0.012): 0.520 by BM25 and the retriever, fused with the cross-encoder, 0.411 by BM25.",
        ),
        ("training", 0.0112, NO_DIFFERENCE, "Training shows no gain over the best search that costs nothing: +0.011"),
        ("training", -0.071, "worse", f"Training loses to the best search that costs nothing: {MINUS}0.071 nDCG@10"),
        ("cross_encoder", 0.06, "better", "The cross-encoder adds to the best stack without it: +0.060 nDCG@10"),
        ("cross_encoder", 0.01, NO_DIFFERENCE, "The cross-encoder shows no gain over the best stack without it: "),
        ("cross_encoder", -0.07, "worse", "The cross-encoder takes away from the best stack without it: "),
    ],
)
def test_each_verdict_has_its_sentence(question: str, mean: float, verdict: str, sentence: str) -> None:
    first, *_ = sentences(answered(**{question: (mean, verdict)}))
    assert first.startswith(sentence)


def test_columns_that_contradict_each_other_leave_each_question_open() -> None:
    training, cross_encoder, enough, _, little = sentences(contradicting(STACKS))
    assert training == (
        "Whether training beats the best search that costs nothing is open: +0.080 nDCG@10 (95% interval +0.030 to "
        "+0.120, p = 0.012): 0.521 by BM25 and the retriever, fused with the cross-encoder, fitted weights, 0.442 by "
        f"BM25 and the base model's cosine; {MINUS}0.031 nDCG@10, condensed (95% interval {MINUS}0.081 to +0.009, "
        "p = 0.012): 0.606 by the retriever, 0.511 by BM25."
    )
    assert cross_encoder.startswith("Whether the cross-encoder adds to the best stack without it is open: +0.006 ")
    assert enough == (
        "Which stack is enough is open: BM25 and the retriever, 0.515 by nDCG@10; BM25, 0.511 by nDCG@10, condensed."
    )
    assert little == (
        "Only 41% of the first ten of the retriever are judged (below 90%), so lists without their unjudged documents "
        "decide, too."
    )
    assert to_deploy(contradicting(STACKS)) == (
        "No stack to deploy yet, because the two columns contradict each other: judge more first."
    )


def test_the_stack_that_is_enough_is_the_cheapest_near_the_best() -> None:
    _, _, enough, _ = sentences(STACKS)
    assert enough == (
        "The cheapest stack within one standard error of the best (BM25 and the retriever, fused with the "
        "cross-encoder, fitted weights, 0.521): BM25 and the retriever, 0.515."
    )
    _, _, enough, _ = sentences(STACKS | {"cheapest": STACKS["best"]})
    assert enough == (
        "No cheaper stack is within one standard error of the best: BM25 and the retriever, fused with the "
        "cross-encoder, fitted weights, 0.521."
    )


@pytest.mark.parametrize(
    ("low", "begun"), [(0.0041, "More judging is worth it"), (-0.01, "More judging is not shown to be worth it")]
)
def test_more_judging_is_worth_it_if_the_last_step_of_the_curve_gained(low: float, begun: str) -> None:
    *_, last = sentences(STACKS | {"judgements": STACKS["judgements"] | {"low": low}})
    bound = "+0.004" if low > 0 else f"{MINUS}0.010"
    assert last == (
        f"{begun}: from 20 to 40 training queries, BM25 and the retriever gains +0.025 nDCG@10 (95% interval {bound} "
        "to +0.046)."
    )


DEPLOYED = [name for name, row in STACKS["rows"].items() if not row["reference"]]


@pytest.mark.parametrize("name", DEPLOYED)
def test_the_command_of_the_stack_to_deploy_makes_it_the_one_that_ships(name: str, tmp_path: Path) -> None:
    """By the function of `dvc exp run -S`, on a params.yaml with another stack."""
    said, row = to_deploy(STACKS | {"recommended": name}), STACKS["rows"][name]
    assert said.startswith(f"Deploy {spoken(name, STACKS)}.")
    assert ("Leave the cross-encoder out." in said) == (row["order"] == "as_found")
    (line,) = re.findall("`(.*)` sets it", said)
    command, options = shlex.split(line)[:3], shlex.split(line)[3:]
    assert (command, set(options[::2])) == (["dvc", "exp", "run"], {"-S"})
    file = tmp_path / "params.yaml"
    file.write_text((ROOT / "params.yaml").read_text().replace("  run: ''", "  run: mine.trec"))
    with modify_yaml(str(file)) as content:
        for setting in options[1::2]:
            path, value = setting.split("=")
            *sections, last = path.split(".")
            place = content
            for section in sections:
                place = place[section]
            assert last in place
            place[last] = yaml.safe_load(value)
    shipped = shipped_stack(load_params(file))
    assert (shipped.first_stage, shipped.order, shipped.depth) == (row["first_stage"], row["order"], row["depth"])
    if shipped.summed:
        assert dict(shipped.weights) == row["weights"]


def test_a_fused_order_without_the_cross_encoder_says_so() -> None:
    without = STACKS["rows"]["dense+fused"]["weights"] | {"cross_encoder": 0.0}
    row = STACKS["rows"]["dense+fused"] | {"weights": without}
    table = STACKS | {"rows": STACKS["rows"] | {"dense+fused": row}, "recommended": "dense+fused"}
    assert to_deploy(table).startswith("Deploy the retriever, fused with BM25. Leave the cross-encoder out. `dvc exp")


def test_every_row_has_a_name_of_its_own() -> None:
    names = {name: label(name, STACKS) for name in STACKS["rows"]}
    assert len(set(names.values())) == len(names)
    assert names["dense+cross_encoder"] == "retriever > cross-encoder"
    assert (names["tutorial"], names["perfect"]) == ("tutorial's recipe", "perfect order")
    assert set(systems.FIRST_STAGES) == set(FIRST_STAGES)


def test_the_table_as_text_has_a_line_for_each_stack() -> None:
    head, *lines = stack_lines(STACKS)
    assert head.split() == ["nDCG@10", "RR@10", "R@100", "Judged@10", "condensed", "pairs"]
    assert len(lines) == len(STACKS["rows"])
    assert re.split("  +", lines[6]) == [*("BM25 > cross-encoder", "0.489", "0.750", "0.625", "0.930", "0.589", "100")]
    assert len({len(line) for line in (head, *lines)}) == 1


SPREAD = (
    "To show what training adds by a difference of 0.02, judge more queries: at this spread between queries (0.082) it "
    "takes 134, 130 more."
)
SHIP = (
    "To ship it, train it on all judgements (`dvc exp run -S split.held_out=none`), and `make release`, which "
    "compares both recipes and registers it (docs/release.md)."
)
CROSSVAL = "Cross-validate (`make crossval`): it measures all queries, not 4, and chooses the stack and its weights."
EQUAL = answered(training=(0.01, NO_DIFFERENCE))


def spread(value: float) -> Any:
    (found,) = EQUAL["answers"]
    return EQUAL | {"answers": [found | {"by": {"nDCG@10": found["by"]["nDCG@10"] | {"spread": value}}}]}


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        (outcome(), [CROSSVAL]),
        (outcome(EQUAL), [CROSSVAL]),
        (outcome(crossval=True), [SHIP]),
        (outcome(EQUAL, crossval=True), [SPREAD]),
        (outcome(spread(0.0), crossval=True), []),  # equal on each query
        (
            outcome(spread(0.005), crossval=True),
            ["4 queries are enough to show a difference of 0.02: more judgements will not show one."],
        ),
        (outcome(answered(training=(-0.1, "worse")), crossval=True), []),
        (outcome(answered(), crossval=True), []),
        (
            outcome(None, table="judged", system=None),
            ["For a verdict on new queries, hold queries out: `dvc exp run -S split.by=query`."],
        ),
    ],
)
def test_each_answer_has_its_next_steps(found: Outcome, steps: list[str]) -> None:
    assert next_steps(found) == steps
    assert verdict_lines(found) == [*answers(found), *(f"next: {step}" for step in steps)]


@pytest.mark.parametrize("crossval", [False, True])
def test_where_too_little_is_judged_the_first_step_is_to_judge(crossval: bool) -> None:
    listed = "results/crossval/to_judge.csv" if crossval else "results/to_judge.csv"
    source = f" {listed}" if crossval else ""
    judge, *others = next_steps(outcome(contradicting(STACKS), crossval))
    assert judge == (
        f"Unjudged documents blur the answers: judge the first 181 rows of {listed}, which bring every stack's first "
        "ten to 90%, until models that are trained on them find other documents. `python -m scripts.judge grades.csv "
        f"--form{source}` makes a file to fill in, `python -m scripts.judge grades.csv` merges it."
    )
    assert others == ([] if crossval else [CROSSVAL])
    judge, *_ = next_steps(outcome(contradicting(STACKS), crossval, rows=None))
    assert f"judge all rows of {listed}: pairs that cannot be judged keep a stack's first ten below 90%. " in judge


def test_answers_are_those_of_the_stacks_and_after_a_cross_validation_the_stack_to_deploy() -> None:
    assert answers(outcome()) == sentences(STACKS)
    assert answers(outcome(crossval=True)) == [*sentences(STACKS), to_deploy(STACKS)]


def test_answers_of_a_split_by_pair_are_the_verdict_on_the_cross_encoder() -> None:
    headline, figures, basis = answers(by_pair("helps", "bm25"))
    assert headline == "The ranker helps, on this split and seed."
    assert figures.startswith("Its nDCG@10 is 0.489.")
    assert basis == "The verdict compares judged documents only, because queries are on both sides of the split."


def since(found: Any, crossval: bool = False, **last: Any) -> Outcome:
    """An outcome with this comparison with the last release, if any, and a last release like LAST."""
    of = outcome(crossval=crossval)
    comparison: Any = of.comparison | ({"last_release": found} if found else {})
    return replace(of, comparison=comparison, last_release=replace(LAST, **last))


NAMED = "Since shop-ranker@v0.0.9 (BM25, reordered by the cross-encoder)"
QUERIES = "better on 7 of 15 queries and worse on 5."
CONDENSED = {"nDCG@10, condensed": paired("hybrid+fused", "bm25+cross_encoder", -0.021, "worse")}


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (
            against(0.008, NO_DIFFERENCE),
            f"{NAMED}, no significant difference: +0.008 nDCG@10 (95% interval {MINUS}0.042 to +0.048, p = 0.012), "
            f"{QUERIES} These 15 queries show a difference of 0.031 or more four times in five.",
        ),
        (
            against(0.06),
            f"{NAMED}, significantly better: +0.060 nDCG@10 (95% interval +0.010 to +0.100, p = 0.012), {QUERIES}",
        ),
        (
            against(-0.06, "worse", trained_on=1038),
            f"{NAMED}, significantly worse: {MINUS}0.060 nDCG@10 (95% interval {MINUS}0.110 to {MINUS}0.020, "
            f"p = 0.012), {QUERIES} Queries left out, because one of the two was trained on them: 1,038.",
        ),
        (
            against(0.008, by=against(0.008, NO_DIFFERENCE)["by"] | CONDENSED, agree=False, judged=0.412),
            f"{NAMED}, the two columns contradict each other: +0.008 nDCG@10 (95% interval {MINUS}0.042 to +0.048, "
            "p = 0.012), better on 7 of 15 queries and worse on 5; "
            f"{MINUS}0.021 nDCG@10, condensed (95% interval {MINUS}0.071 to +0.019, p = 0.012), {QUERIES} Judge more "
            "first. Only 41% of the first ten of one of the two are judged (below 90%), so lists without their "
            "unjudged documents decide, too.",
        ),
        (
            against(0.0, by={}, queries=4, trained_on=38),
            f"{NAMED}: not compared, because 4 queries are left that neither was trained on, and 10 are needed. "
            "Queries left out, because one of the two was trained on them: 38.",
        ),
        (
            against(0.0, by={}, queries=0, why="its models read the field abstract, and documents have title"),
            f"{NAMED}: not compared, because its models read the field abstract, and documents have title.",
        ),
        (None, f"{NAMED}: not compared, because no stack is measured here."),  # of a split by pair
    ],
)
def test_the_first_answer_is_the_difference_from_the_last_release(found: Any, line: str) -> None:
    assert answers(since(found))[0] == line
    assert verdict_lines(since(found, crossval=True))[0] == line


def test_without_a_last_release_the_answers_begin_with_those_of_the_stacks() -> None:
    comparison: Any = outcome().comparison | {"last_release": against(0.06)}
    assert answers(replace(outcome(), comparison=comparison)) == sentences(STACKS)


def test_equal_rankings_show_no_smallest_difference() -> None:
    by = {"nDCG@10": paired("hybrid+fused", "bm25+cross_encoder", 0.0, NO_DIFFERENCE, could_show=0.0)}
    assert answers(since(against(0.0, by=by)))[0].endswith(QUERIES)


@pytest.mark.parametrize(
    ("mean", "verdict", "last", "cost"),
    [
        (0.06, "better", {}, "processor milliseconds a query 20 → 61."),
        (0.004, "better", {}, "processor milliseconds a query 20 → 61. It takes 3.1 times as long for +0.004."),
        (
            *(0.012, NO_DIFFERENCE, {"ms": 0.08}),
            "processor milliseconds a query 0.08 → 61. It takes 766 times as long for +0.012.",
        ),
        (0.001, NO_DIFFERENCE, {"ms": 41.0}, "processor milliseconds a query 41 → 61."),  # 1.49 times
        (
            *(0.001, NO_DIFFERENCE, {"ms": None}),
            "the release's milliseconds are not known, because no model of its architecture was timed on its texts.",
        ),
    ],
)
def test_a_small_gain_that_takes_much_longer_says_so(mean: float, verdict: str, last: Any, cost: str) -> None:
    found = since(against(mean, verdict), **last)
    assert answers(found)[1] == f"Cost: models of 23 MB → 114 MB; {cost}"


def test_costs_that_are_not_known_are_left_out() -> None:
    """A cross-validation exports no models; another architecture was not timed."""
    found = since(against(0.001, NO_DIFFERENCE))
    assert answers(replace(found, now=replace(NOW, bytes=None)))[1].startswith(
        "Cost: processor milliseconds a query 20 →"
    )
    assert answers(replace(found, now=replace(NOW, ms=None)))[1] == "Cost: models of 23 MB → 114 MB."
    assert answers(replace(found, now=replace(NOW, bytes=None, ms=None)))[1] == sentences(STACKS)[0]


def test_a_release_against_the_verdict_says_its_reason() -> None:
    assert answers(since(against(0.06), reason="The demo needs it "))[2] == (
        'shop-ranker@v0.0.9 was registered against the verdict, because: "The demo needs it".'
    )
    (_, _, line, *_) = answers(since(against(0.06), reason="it is new", against="../old/models"))
    assert line.startswith("version 0.0.9 in ../old/models was registered")


def test_the_shipped_stack_is_compared_with_what_costs_nothing_where_the_table_compares_another_one() -> None:
    """STACKS compares the fitted weights; where it compares the shipped stack itself, it has said it."""
    free = against(0.0798, stack="base_hybrid", version=None)
    comparison: Any = outcome().comparison | {"free": free}
    assert answers(replace(outcome(), comparison=comparison)) == [
        *sentences(STACKS),
        "The stack of params.yaml (BM25 and the retriever, fused with the cross-encoder) against the best search that "
        "costs nothing (BM25 and the base model's cosine), significantly better: +0.080 nDCG@10 (95% interval +0.030 "
        f"to +0.120, p = 0.012), {QUERIES}",
    ]
    same: Any = comparison | {"stacks": answered(training=(0.08, "better"))}
    costs_nothing: Any = comparison | {"stacks": STACKS | {"shipped": "base_hybrid"}}
    for found in (same, costs_nothing, comparison | {"free": free | {"by": {}}}):
        assert answers(replace(outcome(), comparison=found)) == sentences(found["stacks"])


def test_a_stack_that_is_worse_than_the_last_release_is_not_to_ship() -> None:
    keep = "Keep shop-ranker@v0.0.9, because the new stack is significantly worse."
    assert next_steps(since(against(-0.06, "worse"), crossval=True)) == [keep]
    for found in (against(0.06), against(0.001, NO_DIFFERENCE), against(0.0, by={}), None):
        assert next_steps(since(found, crossval=True)) == [SHIP]


@pytest.mark.parametrize(
    ("found", "title"),
    [
        (
            outcome(),
            "shop-ranker 1.2.0 on shop: BM25 and the retriever, fused with the cross-encoder, nDCG@10 0.520",
        ),
        (outcome(crossval=True), "shop-ranker 1.2.0 on shop, cross-validated: deploy BM25 and the retriever"),
        (
            outcome(contradicting(STACKS), crossval=True),
            "shop-ranker 1.2.0 on shop, cross-validated: BM25 and the retriever, fused with the cross-encoder, "
            "nDCG@10 0.520",
        ),
        (
            since(against(0.06), crossval=True),
            "shop-ranker 1.2.0 on shop, against 0.0.9, cross-validated: deploy BM25 and the retriever",
        ),
        (by_pair("helps", "bm25"), "shop-ranker 1.2.0 on shop: better than the base model's cosine"),
        (by_pair("hurts", "bm25", "random"), "shop-ranker 1.2.0 on shop: worse than BM25"),
        (by_pair(NO_DIFFERENCE, "bm25"), "shop-ranker 1.2.0 on shop: no better than BM25"),
        (by_pair("no verdict", "bm25"), "shop-ranker 1.2.0 on shop: no verdict"),
    ],
)
def test_the_title_names_project_collection_and_result(found: Outcome, title: str) -> None:
    assert found.title == title

"""ranker.stack and ranker.stacks: orders by plain Python, answers by hand, weights that a fold has not seen."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.common.errors import InputError
from ranker.common.files import write_json
from ranker.contract.stacks import FIRST_STAGES, LISTS, ORDERS
from ranker.metrics.ranking import CONDENSED, MAIN
from ranker.stack.stack import Stack, read_models, read_stack, write_stack
from ranker.stacks.hits import candidates, ranks_as_found, stack_scores
from ranker.stacks.judgements import over_judgements
from ranker.stacks.table import Measured, measure_column, measure_stack, stack_table, stacks_of
from ranker.stacks.weights import fitted, simplest

WEIGHTS = {"cross_encoder": 0.5, "cosine": 1.0, "bm25": 0.25}
HYBRID = Stack("hybrid", "fused", 2, WEIGHTS, "en")
Scores = dict[str, list[float]]


def make_hits(
    ranks: dict[str, list[int | None]], scores: Scores, names: str = "abcdef", query: str = "1"
) -> pd.DataFrame:
    """One query's hits: the ranks of each list, null where it lacks the document, and the scores."""
    count = len(next(iter(scores.values())))
    columns = {f"{name}_rank": pd.array(ranks.get(name, [None] * count), "Int32") for name in LISTS}
    return pd.DataFrame({"query_id": query, "document_id": list(names[:count]), **columns, **scores})


HITS = make_hits(
    {"bm25": [1, 2, 3, None], "dense": [None, 2, 1, 3]},
    {"bm25": [9.0, 3.0, 1.0, 0.0], "retriever": [0.1, 0.5, 0.9, 0.3], "cross_encoder": [2.0, -2.0, 0.0, 9.0]},
)


def test_a_hybrid_orders_the_union_of_its_lists() -> None:
    """a and b are BM25's two, c and b the retriever's; d is third there. Sums by hand, scaled over a, b and c."""
    inside = candidates(HITS, HYBRID)
    assert inside["document_id"].tolist() == ["a", "b", "c"]
    cosines, bm25, own = [0, 0.5, 1], [1, 0.25, 0], [1, 0, 0.5]
    sums = [cosine + 0.25 * words + 0.5 * pair for cosine, words, pair in zip(cosines, bm25, own, strict=True)]
    assert stack_scores(inside, HYBRID).tolist() == pytest.approx(sums)
    as_found = [cosine + 0.25 * words for cosine, words in zip(cosines, bm25, strict=True)]
    assert stack_scores(inside, replace(HYBRID, order="as_found")).tolist() == pytest.approx(as_found)
    assert stack_scores(inside, replace(HYBRID, order="cross_encoder")).tolist() == [2, -2, 0]
    assert ranks_as_found(HITS, HYBRID, 2).astype(object).tolist() == [3, 2, 1, pd.NA]


def by_plain_python(hits: pd.DataFrame, stack: Stack) -> list[str]:
    """Documents in a stack's order, best first, by lists and sorts."""
    rows = hits.to_dict("records")
    rows = [row for row in rows if any((row[f"{name}_rank"] or 99) <= stack.depth for name in stack.found_by)]

    def scale(column: str) -> list[float]:
        values = [row[column] for row in rows]
        low, high = min(values), max(values)
        return [(value - low) / (high - low) if high > low else 0.5 for value in values]

    def total(weights: dict[str, float]) -> list[float]:
        sums = [0.0] * len(rows)
        for column, weight in weights.items():
            if weight:
                sums = [before + weight * value for before, value in zip(sums, scale(column), strict=True)]
        return sums

    cosine = {"dense": "retriever", "base": "base_cosine"}.get(str(stack.vectors))
    parts = {"bm25": stack.weights["bm25"]} | ({cosine: stack.weights["cosine"]} if cosine else {})
    if stack.order == "cross_encoder":
        scores = [row["cross_encoder"] for row in rows]
    elif stack.order == "fused":
        scores = total(parts | {"cross_encoder": stack.weights["cross_encoder"]})
    elif len(stack.found_by) > 1:
        scores = total(parts)
    else:
        scores = [-row[f"{stack.found_by[0]}_rank"] for row in rows]
    ordered = sorted(
        zip(np.array(scores, np.float32).tolist(), [row["document_id"] for row in rows], strict=True), reverse=True
    )
    return [name for _, name in ordered]


PLACES = st.permutations([1, 2, 3, 4])
NUMBERS = st.lists(st.integers(-3, 3).map(float), min_size=4, max_size=4)


@given(
    st.sampled_from(FIRST_STAGES),
    st.sampled_from(ORDERS),
    st.integers(1, 4),
    st.tuples(*[st.sampled_from([0.0, 0.25, 1.0])] * 3),
    st.tuples(*[PLACES] * 4),
    st.tuples(*[NUMBERS] * 4),
)
def test_every_stack_orders_as_plain_python(
    first_stage: Any, order: Any, depth: int, weights: Any, ranks: Any, scores: Any
) -> None:
    columns = dict(zip(("bm25", "retriever", "base_cosine", "cross_encoder"), scores, strict=True))
    hits = make_hits(dict(zip(LISTS, ranks, strict=True)), columns)
    stack = Stack(first_stage, order, depth, dict(zip(WEIGHTS, weights, strict=True)), "en")
    inside = candidates(hits, stack)
    found = inside.assign(score=stack_scores(inside, stack).astype(np.float32))
    found = found.sort_values(["score", "document_id"], ascending=False)
    assert found["document_id"].tolist() == by_plain_python(hits.astype(object).where(hits.notna(), None), stack)


def test_a_stack_is_read_as_it_was_written(tmp_path: Any) -> None:
    write_stack(tmp_path / "stack.json", HYBRID)
    assert read_stack(tmp_path / "stack.json") == HYBRID
    assert read_models(tmp_path / "stack.json") == {"retriever": "fp32", "cross_encoder": "fp32"}


def test_a_stack_names_the_models_that_it_was_measured_with(tmp_path: Any) -> None:
    write_stack(tmp_path / "stack.json", HYBRID, {"retriever": "fp32", "cross_encoder": "int8"})
    assert read_models(tmp_path / "stack.json") == {"retriever": "fp32", "cross_encoder": "int8"}
    write_json(tmp_path / "stack.json", {"models": {"retriever": "fp32", "cross_encoder": "bf16"}})
    with pytest.raises(InputError, match="models: expected fp32 or int8 of cross_encoder, found 'bf16'"):
        read_models(tmp_path / "stack.json")


JUDGED = pd.DataFrame(
    {
        "query_id": ["1"] * 3,
        "document_id": ["a", "c", "f"],
        "grade": [1, 2, 1],
        "relevant": True,
    }
)


def test_a_stack_is_measured_against_all_judgements_and_on_a_condensed_list() -> None:
    """BM25's order is a, b: b is unjudged; c, of grade 2, and f were not found. The fused order is c, a, b."""
    ideal = 2 + 1 / np.log2(3) + 1 / np.log2(4)
    words = measure_stack(JUDGED, {13: HITS}, replace(HYBRID, first_stage="bm25", order="as_found")).tables[13]
    assert words[MAIN].item() == words[CONDENSED].item() == pytest.approx(1 / ideal)
    found = measure_stack(JUDGED, {13: HITS}, HYBRID)
    assert found.firsts[13]["document_id"].tolist() == ["c", "a", "b"]
    (table,) = found.tables.values()
    assert table[MAIN].item() == pytest.approx((2 + 1 / np.log2(3)) / ideal)
    assert (table["R@2"].item(), table["Judged@10"].item(), found.runs) == (2 / 3, 2 / 3, 3)
    unjudged = JUDGED.assign(document_id=["a", "b", "f"], grade=[1, 1, 1])  # c, the first, is not judged
    table = measure_stack(unjudged, {13: HITS}, HYBRID).tables[13]
    assert table[CONDENSED].item() > table[MAIN].item()
    best = measure_column(JUDGED, {13: HITS}, HYBRID, "perfect")
    assert (best.reference, best.runs) == (True, 0)
    assert best.tables[13]["RR@10"].item() == 1


def row(
    first_stage: Any,
    order: Any,
    values: list[float],
    condensed: list[float] | None = None,
    share: float = 1.0,
    **weights: float,
) -> Measured:
    """A measured stack with these nDCG@10 of queries."""
    stack = Stack(first_stage, order, 100, WEIGHTS | weights, "en")
    queries = [str(number) for number in range(len(values))]
    table = pd.DataFrame({"query_id": queries, MAIN: values, CONDENSED: condensed or values, "Judged@10": share})
    return Measured(stack.name, stack, {13: table}, {}, 100.0 if stack.runs_cross_encoder else 0.0)


SPREAD = np.linspace(-0.05, 0.05, 20)
LOW, HIGH = (0.4 + SPREAD).tolist(), (0.5 + SPREAD[::-1]).tolist()


def test_the_answers_and_the_cheapest_stack() -> None:
    """The retriever is far above BM25; the cross-encoder's fused order is 0.001 above it, on half of the queries."""
    fused = [value + 0.002 * (number % 2) - 0.0005 for number, value in enumerate(HIGH)]
    rows = [row("bm25", "as_found", LOW), row("dense", "as_found", HIGH), row("hybrid", "fused", fused)]
    found = stack_table(rows, "hybrid+fused", seed=1)
    training, cross_encoder = found["answers"]
    assert (found["columns"], found["recommended"]) == ([MAIN], found["cheapest"][MAIN])
    assert (training["by"][MAIN]["stack"], training["by"][MAIN]["than"]) == ("hybrid+fused", "bm25")
    assert training["by"][MAIN]["verdict"] == "better"
    assert training["by"][MAIN]["mean"] == pytest.approx(np.mean(fused) - np.mean(LOW))
    assert (cross_encoder["by"][MAIN]["stack"], cross_encoder["by"][MAIN]["than"]) == ("hybrid+fused", "dense")
    assert found["best"] == {MAIN: "hybrid+fused"}
    assert found["recommended"] == "hybrid+fused"  # 0.0005 is two standard errors of an almost equal difference
    near = [value + 0.02 * (number % 2) - 0.0095 for number, value in enumerate(HIGH)]
    rows[2] = row("hybrid", "fused", near)
    found = stack_table(rows, "hybrid+fused", seed=1)
    assert (found["best"][MAIN], found["recommended"]) == ("hybrid+fused", "dense")
    assert found["answers"][1]["by"][MAIN]["verdict"] == "no significant difference"


def test_columns_that_contradict_each_other_choose_nothing() -> None:
    """Unjudged documents count against the retriever in the first column alone."""
    rows = [row("bm25", "as_found", HIGH, LOW), row("dense", "as_found", LOW, HIGH, share=0.5)]
    found = stack_table(rows, "dense", seed=1)
    assert (found["columns"], found["least_judged"], found["judged"]) == ([MAIN, CONDENSED], "dense", 0.5)
    assert [answer["agree"] for answer in found["answers"]] == [False]
    assert (found["cheapest"], found["recommended"]) == ({MAIN: "bm25", CONDENSED: "dense"}, None)
    judged = stack_table([row("bm25", "as_found", HIGH, LOW), row("dense", "as_found", LOW, HIGH)], "dense", seed=1)
    assert judged["recommended"] == "bm25"


def test_a_reference_is_in_the_table_and_in_no_answer() -> None:
    perfect = replace(row("bm25", "as_found", [1.0] * 20), name="perfect", reference=True)
    found = stack_table([row("bm25", "as_found", LOW), row("base", "as_found", LOW), perfect], "bm25", seed=1)
    assert list(found["rows"]) == ["bm25", "base", "perfect"]
    assert (found["answers"], found["best"][MAIN]) == ([], "bm25")


@pytest.mark.parametrize(
    ("lists", "names"),
    [
        ({"bm25", "base"}, ["bm25", "base", "base_hybrid", "bm25+cross_encoder", "base_hybrid+fused", "hybrid+fused"]),
        (
            {"bm25", "base", "dense"},
            [
                *("bm25", "base", "base_hybrid", "dense", "hybrid", "bm25+cross_encoder", "base_hybrid+fused"),
                *("dense+cross_encoder", "dense+fused", "hybrid+cross_encoder", "hybrid+fused"),
            ],
        ),
    ],
)
def test_the_rows_are_those_that_the_lists_allow(lists: set[str], names: list[str]) -> None:
    hits = make_hits({name: [1] for name in lists}, {"bm25": [1.0]})
    assert [stack.name for stack in stacks_of(hits, HYBRID)] == names


GRID = [{"cross_encoder": own, "cosine": 1.0, "bm25": bm25} for own in (0.0, 1.0) for bm25 in (0.0, 0.5)]


@pytest.mark.parametrize(
    ("means", "chosen"),
    [
        ([0.5, 0.5, 0.5, 0.5], 0),
        ([0.5, 0.6, 0.5, 0.6], 1),  # BM25 alone is simpler than both
        ([0.5, 0.5, 0.6, 0.61], 3),
        ([0.5, 0.5, 0.6, 0.6], 2),
    ],
)
def test_the_fewest_parts_near_the_best_are_chosen(means: list[float], chosen: int) -> None:
    values = np.array(means)[:, None] + np.tile([-0.001, 0.001], 5)
    values[0] += np.linspace(-0.0001, 0.0001, 10)
    assert simplest(values, GRID) == chosen


def test_fitted_weights_of_a_fold_come_from_the_other_folds() -> None:
    """On fold 0's queries BM25 is right and the cosine wrong; on fold 1's the other way round."""
    parts, judged = [], []
    for number in range(8):
        right, wrong = ("bm25", "retriever") if number < 4 else ("retriever", "bm25")
        scores = {right: [1.0, 0.0], wrong: [0.0, 1.0], "cross_encoder": [0.0, 0.0]}
        parts.append(make_hits({"bm25": [1, 2], "dense": [1, 2]}, scores, query=f"q{number}"))
        judged.append({"query_id": f"q{number}", "document_id": "a", "grade": 1, "relevant": True})
    hits, folds = pd.concat(parts, ignore_index=True), {f"q{number}": int(number >= 4) for number in range(8)}
    stack = replace(HYBRID, order="as_found")
    found = fitted(pd.DataFrame(judged), {13: hits}, stack, folds, "hybrid, fitted")
    best_first = found.tables[13].set_index("query_id")[MAIN]
    second = 1 / np.log2(3)
    assert best_first.index.tolist() == [f"q{number}" for number in range(8)]
    assert best_first[:4].tolist() == pytest.approx([second] * 4)  # by fold 1's weights: the cosine alone
    firsts = found.firsts[13].groupby("query_id")["document_id"].agg("".join)
    assert firsts.tolist() == ["ba" if place < 1 else "ab" for place in best_first]
    assert (found.name, found.runs) == ("hybrid, fitted", 0)
    assert found.stack.weights["cross_encoder"] == 0


def test_the_curve_over_judgements_is_of_paired_queries() -> None:
    judged = pd.DataFrame({"query_id": ["1", "2"], "document_id": "a", "grade": 1, "relevant": True})
    right, wrong = {"retriever": [0.9, 0.1], "bm25": [0.0, 0.0]}, {"retriever": [0.1, 0.9], "bm25": [0.0, 0.0]}

    def hits(first: Scores, second: Scores) -> pd.DataFrame:
        ranks = {0.9: [1, 2], 0.1: [2, 1]}
        tables = []
        for query, scores in (("1", first), ("2", second)):
            tables.append(make_hits({"dense": [*ranks[scores["retriever"][0]]]}, scores, query=query))
        return pd.concat(tables, ignore_index=True)

    dense = Stack("dense", "as_found", 2, WEIGHTS, "en")
    found = over_judgements(judged, {1.0: hits(right, right), 0.5: hits(wrong, right)}, [dense], 40)
    assert found is not None
    assert [(point["queries"], point["mean"]) for point in found["curve"]] == [
        (20, pytest.approx((1 + 1 / np.log2(3)) / 2)),
        (40, 1),
    ]
    assert (found["stack"], found["from"], found["to"]) == ("dense", 20, 40)
    assert found["mean"] == pytest.approx((1 - 1 / np.log2(3)) / 2)
    assert over_judgements(judged, {1.0: hits(right, right)}, [dense], 40) is None

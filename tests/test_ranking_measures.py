"""ranker.metrics.ranking, by hand and against all orders; test_trec_files.py has it against ir_measures."""

from itertools import permutations, product
from math import log2

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ranker.data.collection import MAX_GRADE
from ranker.metrics.ranking import (
    MEASURES,
    expected_measures,
    first_ten,
    has_no_order,
    hits_measures,
    mean_measures,
    per_query_table,
    ranking_measures,
    relevant_queries,
)


def make_run(grades: dict[str, list[int]], min_relevant_grade: int = 1) -> pd.DataFrame:
    """Each query's documents, named in the order of `grades`: d00, d01 and so on."""
    rows = [(query, f"d{i:02}", grade) for query, of_query in grades.items() for i, grade in enumerate(of_query)]
    run = pd.DataFrame(rows, columns=["query_id", "document_id", "grade"])
    return run.assign(relevant=run["grade"] >= min_relevant_grade)


def falling(run: pd.DataFrame) -> np.ndarray:
    """Scores that rank documents in the order of the table."""
    return -np.arange(len(run), dtype=float)


RUN = make_run({"1": [0, 2, 1, 0], "2": [1, 0]})


def test_ranking_measures_by_hand() -> None:
    table = ranking_measures(RUN, falling(RUN)).set_index("query_id")
    ndcg = (2 / log2(3) + 1 / log2(4)) / (2 / log2(2) + 1 / log2(3))
    expected = {"nDCG@10": ndcg, "RR@10": 1 / 2, "AP": (1 / 2 + 2 / 3) / 2, "P@5": 2 / 5}
    assert list(table) == list(MEASURES) == list(expected)
    assert table.loc["1"].to_dict() == pytest.approx(expected)
    assert table.loc["2"].to_dict() == pytest.approx({"nDCG@10": 1, "RR@10": 1, "AP": 1, "P@5": 1 / 5})


def test_ranking_measures_relevant_decides_the_binary_ones() -> None:
    """The same grades, of which only 2 is relevant, or a set that no threshold gives."""
    grades = {"1": [0, 2, 1, 0]}
    one, two = (ranking_measures(make_run(grades, least), falling(RUN[:4])).iloc[0] for least in (1, 2))
    assert two["nDCG@10"] == one["nDCG@10"]
    assert two[["RR@10", "AP", "P@5"]].tolist() == pytest.approx([1 / 2, 1 / 2, 1 / 5])
    turned = ranking_measures(make_run(grades).assign(relevant=[False, False, True, True]), falling(RUN[:4])).iloc[0]
    assert turned["nDCG@10"] == one["nDCG@10"]
    assert turned[["RR@10", "AP", "P@5"]].tolist() == pytest.approx([1 / 3, (1 / 3 + 2 / 4) / 2, 2 / 5])


def test_ranking_measures_keep_the_order_of_queries() -> None:
    run = make_run({"9": [1, 0], "10": [0, 1], "2": [1, 1]}).iloc[[4, 0, 2, 5, 1, 3]]
    table = ranking_measures(run, np.array([1.0, 2, 2, 0, 1, 1]))
    assert table["query_id"].tolist() == ["2", "9", "10"]
    assert table["RR@10"].tolist() == [1, 1, 1 / 2]


def test_ranking_measures_take_the_largest_grade() -> None:
    run = make_run({"1": [MAX_GRADE, 0]})
    assert ranking_measures(run, falling(run))["nDCG@10"].tolist() == [1]


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_ranking_measures_refuse_scores_that_are_not_finite(score: float) -> None:
    with pytest.raises(ValueError, match="expected finite scores"):
        ranking_measures(RUN, np.array([1.0, 2, 3, score, 5, 6]))


def mean_over_orders(grades: list[tuple[int, ...]], min_relevant_grade: int) -> dict[str, float]:
    """Means of `ranking_measures` over orders, each order as its own query."""
    run = make_run({str(number): list(order) for number, order in enumerate(grades)}, min_relevant_grade)
    return mean_measures(ranking_measures(run, falling(run)))


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=5), st.integers(1, 3))
def test_expected_measures_are_the_means_over_all_orders(grades: list[int], min_relevant_grade: int) -> None:
    assume(max(grades) >= min_relevant_grade)
    found = mean_measures(expected_measures(make_run({"1": grades}, min_relevant_grade)))
    assert found == pytest.approx(mean_over_orders(list(permutations(grades)), min_relevant_grade))


def test_expected_measures_are_the_means_over_all_orders_of_more_than_ten() -> None:
    """Three relevant of twelve, one of grade 2: all 12 * 11 * 10 / 2 distinct orders."""
    count = 12
    orders = {
        tuple({first: 2, second: 1, third: 1}.get(rank, 0) for rank in range(count))
        for first, second, third in permutations(range(count), 3)
    }
    assert len(orders) == 660
    found = mean_measures(expected_measures(make_run({"1": [2, 1, 1] + [0] * 9})))
    assert found == pytest.approx(mean_over_orders(sorted(orders), 1))


def test_ranking_measures_compare_scores_in_single_precision() -> None:
    """As trec_eval does: scores that differ in the twelfth digit tie and fall by id; in the third digit they do not."""
    run = make_run({"1": [1, 0]})
    for scores, expected in (([1 + 1e-12, 1], 1 / log2(3)), ([1.001, 1], 1.0), ([1, 1.001], 1 / log2(3))):
        assert ranking_measures(run, np.array(scores))["nDCG@10"].tolist() == pytest.approx([expected])


def test_the_first_ten_and_their_judged_share_have_trec_evals_order() -> None:
    """Eleven scores are equal in single precision: the largest id is first, the smallest, which is judged, eleventh."""
    names = [f"d{number:02}" for number in range(11)]
    hits, scores = pd.DataFrame({"query_id": "1", "document_id": names}), 1 + np.arange(11)[::-1] * 1e-9
    assert first_ten(hits, scores)["document_id"].tolist() == names[:0:-1]
    judged = hits[:1].assign(grade=1, relevant=True)
    assert hits_measures(judged, hits, scores, 10)[["Judged@10", "R@10"]].to_numpy().tolist() == [[0, 0]]


def test_has_no_order_where_all_scores_of_each_query_are_equal() -> None:
    assert has_no_order(RUN, np.array([3.0, 3, 3, 3, -1, -1]))
    assert not has_no_order(RUN, np.array([3.0, 3, 3, 3, -1, 0]))
    assert has_no_order(RUN.iloc[[0, 4]], np.array([1.0, 2]))  # one document each
    assert not has_no_order(RUN.iloc[[4, 0, 5]], np.array([1.0, 2, 3]))  # with any index


def test_relevant_queries_drop_those_without_a_relevant_document() -> None:
    run = make_run({"1": [1, 0], "2": [1, 1], "3": [0, 2]}, min_relevant_grade=2)
    found = relevant_queries(run)
    assert found["query_id"].tolist() == ["3", "3"]
    assert found.index.tolist() == [0, 1]
    assert found["grade"].tolist() == [0, 2]
    assert relevant_queries(run[:4]).empty


QUERIES = pd.DataFrame({"query_id": ["1", "2", "3"], "query": ["bats\rin\ncaves ", "masks", "never judged"]})


def test_per_query_table_gains_are_over_the_baseline() -> None:
    measured = {
        "cross_encoder": ranking_measures(RUN, falling(RUN)),
        "bm25": ranking_measures(RUN, -falling(RUN)),
        "random": expected_measures(RUN),
    }
    for baseline in ("bm25", "random"):
        table = per_query_table(RUN, QUERIES, measured, baseline)
        assert table["query_id"].tolist() == ["1", "2"]
        assert table[["pairs", "relevant"]].to_numpy().tolist() == [[4, 2], [2, 1]]
        gains = [measured["cross_encoder"]["nDCG@10"][row] - measured[baseline]["nDCG@10"][row] for row in (0, 1)]
        assert table["gain"].tolist() == pytest.approx(gains)
        columns = [f"{system} {measure}" for system, measure in product(measured, MEASURES)]
        assert list(table)[5:-1] == columns
        assert table["bm25 RR@10"].tolist() == measured["bm25"]["RR@10"].tolist()


def test_per_query_table_has_a_line_and_a_bar_a_query() -> None:
    measured = {name: ranking_measures(RUN, falling(RUN)) for name in ("cross_encoder", "bm25")}
    table = per_query_table(RUN, QUERIES, measured, "bm25")
    assert table["query"].tolist() == ["bats in caves", "masks"]
    assert table["name"].tolist() == ["1 · bats in caves", "2 · masks"]
    assert table["gain"].tolist() == [0, 0]

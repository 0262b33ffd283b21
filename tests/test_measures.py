"""Measures, against values computed by hand, and baselines against what they have to be."""

from math import log2

import numpy as np
import pandas as pd
import pytest

from ranker.baselines import bm25_scores, random_scores
from ranker.measures import classification_measures, mean_measures, probability, ranking_measures

# Query 1 is ranked d1 d2 d3 d4 with grades 0 2 1 0; query 2 is ranked e2 e1 with grades 1 0.
PAIRS = pd.DataFrame(
    {
        "query_id": ["1", "1", "1", "1", "2", "2"],
        "document_id": ["d1", "d2", "d3", "d4", "e1", "e2"],
        "grade": [0, 2, 1, 0, 0, 1],
        "label": [0, 1, 1, 0, 0, 1],
    }
)
SCORES = np.array([9.0, 7.0, 5.0, -3.0, 0.1, 0.2], dtype=np.float32)


def test_ranking_measures_by_hand() -> None:
    table = ranking_measures(PAIRS, SCORES, relevant_from=1).set_index("query_id")
    ndcg = (2 / log2(3) + 1 / log2(4)) / (2 / log2(2) + 1 / log2(3))
    assert table.loc["1"].to_dict() == pytest.approx(
        {"nDCG@10": ndcg, "P@5": 2 / 5, "AP": (1 / 2 + 2 / 3) / 2, "RR": 1 / 2}
    )
    assert table.loc["2"].to_dict() == pytest.approx({"nDCG@10": 1, "P@5": 1 / 5, "AP": 1, "RR": 1})


def test_relevant_from_moves_the_binary_measures_alone() -> None:
    one = ranking_measures(PAIRS[:4], SCORES[:4], relevant_from=1).iloc[0]
    two = ranking_measures(PAIRS[:4], SCORES[:4], relevant_from=2).iloc[0]
    assert two["nDCG@10"] == one["nDCG@10"]
    assert (two["P@5"], two["AP"], two["RR"]) == pytest.approx((1 / 5, 1 / 2, 1 / 2))


def test_mean_is_over_queries() -> None:
    table = ranking_measures(PAIRS, SCORES, relevant_from=1)
    assert mean_measures(table)["RR"] == pytest.approx((1 / 2 + 1) / 2)


def test_ndcg_is_cut_at_ten_and_precision_at_five() -> None:
    """Relevant at ranks 5, 10 and 11: the first counts for P@5, the first two for nDCG@10."""
    grades = [int(rank in (5, 10, 11)) for rank in range(1, 13)]
    pairs = pd.DataFrame({"query_id": "1", "document_id": [f"d{i:02}" for i in range(12)], "grade": grades})
    found = ranking_measures(pairs, -np.arange(12.0), 1).iloc[0]
    ideal = 1 / log2(2) + 1 / log2(3) + 1 / log2(4)
    assert found["nDCG@10"] == pytest.approx((1 / log2(6) + 1 / log2(11)) / ideal)
    assert found["P@5"] == pytest.approx(1 / 5)
    assert found["AP"] == pytest.approx((1 / 5 + 2 / 10 + 3 / 11) / 3)
    assert found["RR"] == pytest.approx(1 / 5)


def test_scores_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="expected finite scores"):
        ranking_measures(PAIRS, np.full(6, np.nan), 1)


def test_classification_measures_by_hand() -> None:
    scores = np.log(np.array([1 / 3, 3.0, 1 / 4]))  # probabilities 1/4, 3/4, 1/5
    measures = classification_measures(np.array([0, 1, 1]), scores)
    assert probability(scores) == pytest.approx([1 / 4, 3 / 4, 1 / 5])
    expected = -(np.log(3 / 4) + np.log(3 / 4) + np.log(1 / 5)) / 3
    assert measures == pytest.approx({"log loss": expected, "accuracy": 2 / 3, "ROC AUC": 1 / 2})


def test_probability_of_large_scores_neither_warns_nor_overflows() -> None:
    with np.errstate(all="raise"):
        assert probability(np.array([-1e4, 1e4])).tolist() == [0.0, 1.0]


def test_bm25_prefers_rare_shared_words() -> None:
    documents = pd.DataFrame(
        {
            "document_id": list("abcd"),
            "title": ["Masks in hospitals", "Bats and viruses", "Viruses in hospitals", "Hospitals and wards"],
        }
    )
    queries = pd.DataFrame({"query_id": ["1", "2"], "query": ["the virus of a bat", "of the"]})
    pairs = pd.DataFrame({"query_id": ["2", "1", "1", "1"], "document_id": ["a", "a", "b", "c"]})
    empty_query, none, both, one = bm25_scores(pairs, queries, documents)
    assert empty_query == none == 0  # of stop words alone; without a shared word
    assert both > one > 0  # "virus" matches "viruses"


def test_a_random_order_follows_its_seed() -> None:
    assert random_scores(PAIRS, 13).tolist() == random_scores(PAIRS, 13).tolist()
    assert random_scores(PAIRS, 13).tolist() != random_scores(PAIRS, 14).tolist()

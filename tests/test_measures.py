"""Measures, against values computed by hand, and baselines against what they have to be."""

from math import log2

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

from ranker.data.tutorial import MAX_GRADE
from ranker.evaluation.baselines import (
    BASELINES,
    baseline_scores,
    bm25_scores,
    cosine_scores,
    random_scores,
    topic_prior_scores,
)
from ranker.metrics.agreement import kendall_tau, top_overlap
from ranker.metrics.classification import classification_measures, precision_recall, probability, reliability_curve, roc
from ranker.metrics.ranking import mean_measures, per_query_table, ranking_measures
from ranker.project.tables import Embeddings

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
    linear = (2 / log2(3) + 1 / log2(4)) / (2 / log2(2) + 1 / log2(3))
    exponential = (3 / log2(3) + 1 / log2(4)) / (3 / log2(2) + 1 / log2(3))
    assert table.loc["1"].to_dict() == pytest.approx(
        {
            "nDCG@10": linear,
            "nDCG@10 (exponential gain)": exponential,
            "P@5": 2 / 5,
            "AP": (1 / 2 + 2 / 3) / 2,
            "RR": 1 / 2,
        }
    )
    assert table.loc["2"].to_dict() == pytest.approx(
        {"nDCG@10": 1, "nDCG@10 (exponential gain)": 1, "P@5": 1 / 5, "AP": 1, "RR": 1}
    )


def test_ndcg_against_scikit_learn() -> None:
    random = np.random.default_rng(1)
    for grades in (random.integers(0, 3, size=30) for _ in range(20)):
        pairs = pd.DataFrame({"query_id": "1", "document_id": [f"d{i}" for i in range(30)], "grade": grades})
        scores = random.permutation(30).astype(float)  # no ties: scikit-learn averages over them
        found = ranking_measures(pairs, scores, 1).iloc[0]
        assert found["nDCG@10"] == pytest.approx(ndcg_score([grades], [scores], k=10))
        assert found["nDCG@10 (exponential gain)"] == pytest.approx(ndcg_score([2.0**grades - 1], [scores], k=10))


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
    error = ((1 - 1 / 5) + (1 / 4 - 0) + (1 - 3 / 4)) / 3  # three pairs, a bin each
    assert measures == pytest.approx(
        {"log loss": expected, "accuracy": 2 / 3, "ROC AUC": 1 / 2, "calibration error": error}
    )


def test_reliability_curve_has_bins_of_as_many_pairs() -> None:
    random = np.random.default_rng(1)
    scores = random.normal(size=10_000)
    honest = (random.random(10_000) < probability(scores)).astype(int)
    bins = reliability_curve(honest, scores)
    assert bins["pairs"].tolist() == [1000] * 10
    assert bins["probability"].is_monotonic_increasing
    assert (bins["probability"] - bins["relevant_share"]).abs().max() < 0.05
    assert classification_measures(honest, scores)["calibration error"] < 0.03
    assert classification_measures(honest, scores + 2)["calibration error"] > 0.2


def test_curves_by_hand() -> None:
    run = pd.DataFrame({"label": [1, 0, 1, 0], "ranker": [4.0, 3, 2, 1]})
    curve = roc(run, ["ranker"]).set_index("false_positive_rate")["ranker"]
    assert (curve[0.25], curve[0.5], curve[0.75]) == (0.5, 1, 1)
    precision = precision_recall(run, ["ranker"]).set_index("recall")["ranker"]
    assert precision[0] == precision[0.5] == 1  # the first alone is relevant
    assert precision[0.51] == precision[1] == pytest.approx(2 / 3)  # both are among the first three


def test_curves_agree_with_the_areas() -> None:
    random = np.random.default_rng(1)
    run = pd.DataFrame({"label": random.integers(0, 2, 2000)}).assign(
        ranker=lambda t: t["label"] + random.normal(size=2000)
    )
    curve = roc(run, ["ranker"])
    area = np.trapezoid(curve["ranker"], curve["false_positive_rate"])
    assert area == pytest.approx(roc_auc_score(run["label"], run["ranker"]), abs=0.005)
    found = precision_recall(run, ["ranker"])["ranker"].mean()
    assert found == pytest.approx(average_precision_score(run["label"], run["ranker"]), abs=0.01)


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


def test_cosine_is_that_of_the_pairs_own_texts() -> None:
    queries = Embeddings({"2": 0, "1": 1}, np.array([[0, 1], [1, 0]], dtype=np.float32))
    documents = Embeddings({"a": 0, "b": 1}, np.array([[0.6, 0.8], [1, 0]], dtype=np.float32))
    pairs = pd.DataFrame({"query_id": ["1", "1", "2"], "document_id": ["a", "b", "a"]})
    assert cosine_scores(pairs, queries, documents).tolist() == pytest.approx([0.6, 1, 0.8])


def test_topic_prior_is_the_share_in_training() -> None:
    training = pd.DataFrame({"query_id": ["1", "1", "1", "1", "2"], "label": [1, 0, 0, 0, 1]})
    pairs = pd.DataFrame({"query_id": ["2", "1", "3"]})
    assert topic_prior_scores(pairs, training).tolist() == pytest.approx([1, 1 / 4, 2 / 5])


def test_all_baselines_keep_the_pairs_index() -> None:
    texts = (
        pd.DataFrame({"query_id": ["1", "2"], "query": ["a bat", "a mask"]}),
        pd.DataFrame({"document_id": ["d1", "d2", "d3", "d4", "e1", "e2"], "title": ["Bats"] * 3 + ["Masks"] * 3}),
    )
    embedded = tuple(
        Embeddings({key: i for i, key in enumerate(table.iloc[:, 0])}, np.eye(len(table), 6, dtype=np.float32))
        for table in texts
    )
    scores = baseline_scores(PAIRS[2:], PAIRS[:2], texts, (embedded[0], embedded[1]), 13)
    assert tuple(scores) == BASELINES
    assert scores.index.tolist() == [2, 3, 4, 5]
    assert scores["bm25"].round(3).tolist() == [
        scores["bm25"].round(3).iloc[0],
        0,
        *[scores["bm25"].round(3).iloc[2]] * 2,
    ]


def test_titles_without_words_score_nothing() -> None:
    documents = pd.DataFrame({"document_id": list("ab"), "title": ["The", "of"]})
    queries = pd.DataFrame({"query_id": ["1"], "query": ["bats"]})
    pairs = pd.DataFrame({"query_id": ["1", "1"], "document_id": ["a", "b"]})
    assert bm25_scores(pairs, queries, documents).tolist() == [0, 0]


def test_what_a_query_alone_tells_is_worth_something_when_pairs_are_split() -> None:
    """Queries of 5% to 75% relevant pairs: by query the prior orders nothing, by pair it finds most of the relevant."""
    random = np.random.default_rng(1)
    shares = np.repeat(random.uniform(0.05, 0.75, size=50), 60)
    pairs = pd.DataFrame({"query_id": np.repeat(np.arange(50), 60).astype(str), "label": random.random(3000) < shares})
    held = np.arange(3000) % 5 == 0
    prior = topic_prior_scores(pairs[held], pairs[~held].astype({"label": int}))
    assert roc_auc_score(pairs.loc[held, "label"], prior) > 0.65
    own = pairs["query_id"].astype(int) % 5 == 0
    prior = topic_prior_scores(pairs[own], pairs[~own].astype({"label": int}))
    assert roc_auc_score(pairs.loc[own, "label"], prior) == 0.5


def test_a_query_is_one_line_and_one_bar() -> None:
    queries = pd.DataFrame({"query_id": ["1", "2"], "query": ["bats\rin\ncaves ", "masks"]})
    table = per_query_table(PAIRS, queries, {name: ranking_measures(PAIRS, SCORES, 1) for name in ("ranker", "bm25")})
    assert table["query"].tolist() == ["bats in caves", "masks"]
    assert table["name"].tolist() == ["1 · bats in caves", "2 · masks"]
    assert table["gain"].tolist() == [0, 0]


def test_the_largest_grade_is_measured() -> None:
    pairs = pd.DataFrame({"query_id": "1", "document_id": ["a", "b"], "grade": [MAX_GRADE, 0]})
    assert ranking_measures(pairs, np.array([2.0, 1.0]), 1)["nDCG@10 (exponential gain)"].tolist() == [1]


def test_agreement_of_two_rankings_by_hand() -> None:
    """Query 1 has one of three pairs of documents the other way round; query 2 agrees; query 3 has one document."""
    pairs = pd.DataFrame({"query_id": ["1", "2", "1", "1", "2", "3"]})
    scores, others = np.array([3.0, 1, 2, 1, 2, 5]), np.array([9.0, 0, 1, 2, 7, 5])
    assert kendall_tau(pairs, scores, others) == pytest.approx(((2 - 1) / 3 + 1 + 1) / 3)
    assert kendall_tau(pairs, scores, -scores) == pytest.approx((-1 - 1 + 1) / 3)
    assert kendall_tau(pairs, scores, np.zeros(6)) == pytest.approx((0 + 0 + 1) / 3)  # no order agrees with none
    assert top_overlap(pairs, scores, others, 1) == 1
    assert top_overlap(pairs, scores, others, 2) == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert top_overlap(pairs, scores, others, 3) == 1


def test_a_random_order_follows_its_seed() -> None:
    assert random_scores(PAIRS, 13).tolist() == random_scores(PAIRS, 13).tolist()
    assert random_scores(PAIRS, 13).tolist() != random_scores(PAIRS, 14).tolist()

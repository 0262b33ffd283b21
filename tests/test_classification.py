"""ranker.metrics.classification, by hand and by known properties of calibrated probabilities."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from ranker.metrics.classification import classification_measures, precision_recall, probability, reliability_curve, roc


def test_probability_of_large_scores_neither_warns_nor_overflows() -> None:
    with np.errstate(all="raise"):
        assert probability(np.array([-1e4, 0, 1e4])).tolist() == [0, 0.5, 1]


def test_classification_measures_by_hand() -> None:
    scores = np.log(np.array([1 / 3, 3.0, 1 / 4]))  # probabilities 1/4, 3/4, 1/5
    measures = classification_measures(np.array([False, True, True]), scores)
    assert probability(scores) == pytest.approx([1 / 4, 3 / 4, 1 / 5])
    loss = -(np.log(3 / 4) + np.log(3 / 4) + np.log(1 / 5)) / 3
    error = ((1 - 1 / 5) + (1 / 4 - 0) + (1 - 3 / 4)) / 3  # three pairs, one in each bin
    assert measures == pytest.approx(
        {"log loss": loss, "accuracy": 2 / 3, "ROC AUC": 1 / 2, "calibration error": error}
    )


def test_reliability_curve_by_hand() -> None:
    """Twelve pairs in ten bins: the first two bins hold two pairs each, in order of the score."""
    order = np.array([11, 0, 5, 3, 7, 1, 2, 4, 6, 8, 9, 10])
    scores, relevant = np.empty(12), np.zeros(12, dtype=bool)
    scores[order] = np.linspace(-2, 2, 12)
    relevant[order[[1, 3, 2, 11]]] = True
    bins = reliability_curve(relevant, scores)
    assert bins["pairs"].tolist() == [2, 2] + [1] * 8
    assert bins["relevant_share"].tolist() == [1 / 2, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    means = 1 / (1 + np.exp(-np.linspace(-2, 2, 12)))
    assert bins["probability"].tolist() == pytest.approx([means[:2].mean(), means[2:4].mean(), *means[4:]])


def honest(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and outcomes drawn with their probabilities."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=count)
    return scores, random.random(count) < probability(scores)


def test_reliability_curve_of_honest_probabilities_is_the_diagonal() -> None:
    scores, relevant = honest(10_000, 1)
    bins = reliability_curve(relevant, scores)
    assert bins["pairs"].tolist() == [1000] * 10
    assert bins["probability"].is_monotonic_increasing
    assert (bins["probability"] - bins["relevant_share"]).abs().max() < 0.05
    assert classification_measures(relevant, scores)["calibration error"] < 0.03
    assert classification_measures(relevant, scores + 2)["calibration error"] > 0.2


def test_roc_by_hand() -> None:
    run = pd.DataFrame({"relevant": [True, False, True, False], "ranker": [4.0, 3, 2, 1]})
    curve = roc(run, ["ranker"]).set_index("false_positive_rate")["ranker"]
    assert (curve[0.25], curve[0.5], curve[0.75]) == (0.5, 1, 1)


def test_precision_recall_by_hand() -> None:
    run = pd.DataFrame({"relevant": [True, False, True, False], "ranker": [4.0, 3, 2, 1]})
    precision = precision_recall(run, ["ranker"]).set_index("recall")["ranker"]
    assert precision[0] == precision[0.5] == 1  # only the first is relevant
    assert precision[0.51] == precision[1] == pytest.approx(2 / 3)  # both are among the first three


def test_precision_recall_at_recall_0_is_no_threshold_that_is_not_there() -> None:
    """The first pair is not relevant, so no precision is 1; scikit-learn adds such a point at recall 0."""
    run = pd.DataFrame({"relevant": [False, True, False, True, True], "ranker": [5.0, 4, 3, 2, 1], "constant": 0.0})
    curves = precision_recall(run, ["ranker", "constant"]).set_index("recall")
    assert curves["ranker"].tolist() == pytest.approx([3 / 5] * 101)  # all five have the maximum
    assert curves["constant"].tolist() == pytest.approx([3 / 5] * 101)
    worse = precision_recall(run.assign(relevant=[False, True, False, False, True]), ["ranker"]).set_index("recall")
    assert worse["ranker"][0] == worse["ranker"][0.5] == 1 / 2
    assert worse["ranker"][0.51] == worse["ranker"][1] == 2 / 5


def test_curves_agree_with_the_areas() -> None:
    random = np.random.default_rng(1)
    run = pd.DataFrame({"relevant": random.random(2000) < 0.5})
    run = run.assign(ranker=run["relevant"] + random.normal(size=2000))
    curve = roc(run, ["ranker"])
    area = np.trapezoid(curve["ranker"], curve["false_positive_rate"])
    assert area == pytest.approx(roc_auc_score(run["relevant"], run["ranker"]), abs=0.005)
    found = precision_recall(run, ["ranker"])["ranker"].mean()
    assert found == pytest.approx(average_precision_score(run["relevant"], run["ranker"]), abs=0.01)

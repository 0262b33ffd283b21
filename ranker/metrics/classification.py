"""scikit-learn's measures of a classifier over the pairs of all queries together: loss, calibration, curves."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.metrics import accuracy_score, log_loss, precision_recall_curve, roc_auc_score, roc_curve

from ranker.metrics.ranking import mean_measures, ranking_measures, relevant_queries

POINTS = np.arange(101) / 100  # of the curves
BINS = 10  # of the reliability curve, with equal numbers of pairs


def probability(scores: np.ndarray) -> np.ndarray:
    """Probability that a pair is relevant, float [pairs], from logit 1 - logit 0."""
    return np.asarray(expit(scores.astype(float)))


def classification_measures(relevant: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Log loss (nats), accuracy at 0.5, ROC AUC and calibration error, from bool [pairs] and logit 1 - logit 0.

    The calibration error is the expected one (ECE): the mean over `reliability_curve`'s bins, weighted by their pairs,
    of |mean probability - share of relevant pairs|.
    """
    probabilities = probability(scores)
    return {
        "log loss": float(log_loss(relevant, probabilities, labels=[False, True])),
        "accuracy": float(accuracy_score(relevant, probabilities >= 0.5)),
        "ROC AUC": float(roc_auc_score(relevant, scores)),
        "calibration error": _calibration_error(reliability_curve(relevant, scores)),
    }


def held_out_measures(pairs: pd.DataFrame, scores: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
    """`ranking_measures`, means over queries, and `classification_measures`; `scores` is float [pairs]."""
    run = relevant_queries(pairs.assign(score=scores))
    ranked = mean_measures(ranking_measures(run, run["score"].to_numpy()))
    return ranked, classification_measures(pairs["relevant"].to_numpy(), scores)


def _calibration_error(bins: pd.DataFrame) -> float:
    return float(np.average((bins["probability"] - bins["relevant_share"]).abs(), weights=bins["pairs"]))


def reliability_curve(relevant: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """BINS bins of equal size, by rising probability: probability and relevant_share (means), pairs."""
    order = np.argsort(scores, kind="stable")
    bins = np.array_split(order, min(BINS, len(order)))
    probabilities = probability(scores)
    return pd.DataFrame(
        {
            "probability": [probabilities[rows].mean() for rows in bins],
            "relevant_share": [relevant[rows].mean() for rows in bins],
            "pairs": [len(rows) for rows in bins],
        }
    )


def roc(run: pd.DataFrame, systems: Iterable[str]) -> pd.DataFrame:
    """ROC curves over all pairs at POINTS rates: false_positive_rate, and a column for each system.

    `run` has relevant (bool) and the systems' scores.
    """
    table = pd.DataFrame({"false_positive_rate": POINTS})
    for system in systems:
        false_positives, true_positives, _ = roc_curve(run["relevant"], run[system])
        table[system] = np.interp(POINTS, false_positives, true_positives)
    return table


def precision_recall(run: pd.DataFrame, systems: Iterable[str]) -> pd.DataFrame:
    """Interpolated precision over all pairs at POINTS recalls: recall, and a column for each system.

    Interpolated: the best precision at this recall or a higher one. `run` has relevant (bool) and the systems' scores.
    """
    table = pd.DataFrame({"recall": POINTS})
    for system in systems:
        precision, recall, _ = precision_recall_curve(run["relevant"], run[system])  # by falling recall
        precision, recall = precision[:-1], recall[:-1]  # scikit-learn's last point has no threshold
        best = np.maximum.accumulate(precision)
        table[system] = best[len(recall) - 1 - np.searchsorted(recall[::-1], POINTS)]
    return table

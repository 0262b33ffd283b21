"""Measures of a classifier over all pairs, whatever their query, by scikit-learn: loss, calibration, curves."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.metrics import accuracy_score, log_loss, precision_recall_curve, roc_auc_score, roc_curve

POINTS = np.arange(101) / 100  # of the curves
BINS = 10  # of the reliability curve, each with as many pairs
DRAWS = 1000  # of outcomes, for the calibration error of honest probabilities


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


def prior_measures(run: pd.DataFrame, training: pd.DataFrame) -> dict[str, float]:
    """Log loss, accuracy and ROC AUC of the topic prior: the share of relevant pairs that a query has in training.

    A query without training pairs gets the share of all of them. It is all that a query alone can tell: a classifier
    whose figures are no better says nothing of single pairs. Both frames have query_id and relevant (bool).
    """
    shares = training.groupby("query_id")["relevant"].mean()
    probabilities = run["query_id"].map(shares).fillna(training["relevant"].mean()).to_numpy(float)
    relevant = run["relevant"].to_numpy()
    return {
        "log loss": float(log_loss(relevant, probabilities, labels=[False, True])),
        "accuracy": float(accuracy_score(relevant, probabilities >= 0.5)),
        "ROC AUC": float(roc_auc_score(relevant, probabilities)),
    }


def calibration_noise(scores: np.ndarray, seed: int) -> dict[str, float]:
    """The calibration error that honest probabilities would show on so many pairs: mean, and 95% of DRAWS outcomes."""
    random = np.random.default_rng(seed)
    probabilities = probability(scores)
    outcomes = random.random((DRAWS, len(scores))) < probabilities
    errors = [_calibration_error(reliability_curve(drawn, scores)) for drawn in outcomes]
    low, high = np.quantile(errors, [0.025, 0.975])
    return {"mean": float(np.mean(errors)), "low": float(low), "high": float(high)}


def _calibration_error(bins: pd.DataFrame) -> float:
    return float(np.average((bins["probability"] - bins["relevant_share"]).abs(), weights=bins["pairs"]))


def reliability_curve(relevant: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """Pairs in order of their probability, in BINS bins of as many: probability and relevant_share (means), pairs."""
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
    """ROC curves over all pairs, whatever their query, at POINTS rates: false_positive_rate, and one column a system.

    `run` has relevant (bool) and the systems' scores.
    """
    table = pd.DataFrame({"false_positive_rate": POINTS})
    for system in systems:
        false_positives, true_positives, _ = roc_curve(run["relevant"], run[system])
        table[system] = np.interp(POINTS, false_positives, true_positives)
    return table


def precision_recall(run: pd.DataFrame, systems: Iterable[str]) -> pd.DataFrame:
    """Interpolated precision over all pairs, whatever their query, at POINTS recalls: recall, and one column a system.

    It is the best precision at this recall or a higher one. `run` has relevant (bool) and the systems' scores.
    """
    table = pd.DataFrame({"recall": POINTS})
    for system in systems:
        precision, recall, _ = precision_recall_curve(run["relevant"], run[system])  # of falling recall
        precision, recall = precision[:-1], recall[:-1]  # scikit-learn's last point, of recall 0, is no threshold's
        best = np.maximum.accumulate(precision)
        table[system] = best[len(recall) - 1 - np.searchsorted(recall[::-1], POINTS)]
    return table

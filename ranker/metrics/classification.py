"""Measures of a classifier, whatever the query, by scikit-learn: loss, accuracy, calibration and curves."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.metrics import accuracy_score, log_loss, precision_recall_curve, roc_auc_score, roc_curve

POINTS = np.arange(101) / 100  # of the curves


BINS = 10  # of the reliability curve, each with as many pairs


def probability(scores: np.ndarray) -> np.ndarray:
    """Probability that a pair is relevant, float [pairs], from logit 1 - logit 0."""
    return np.asarray(expit(scores.astype(float)))


def classification_measures(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Log loss (nats), accuracy at 0.5, ROC AUC and calibration error, from 0/1 labels and logit 1 - logit 0.

    The calibration error is the expected one (ECE): the mean over `reliability_curve`'s bins, weighted by their pairs,
    of |mean probability - share of relevant pairs|.
    """
    bins = reliability_curve(labels, scores)
    relevant = probability(scores)
    return {
        "log loss": float(log_loss(labels, relevant)),
        "accuracy": float(accuracy_score(labels, relevant >= 0.5)),
        "ROC AUC": float(roc_auc_score(labels, scores)),
        "calibration error": float(
            np.average((bins["probability"] - bins["relevant_share"]).abs(), weights=bins["pairs"])
        ),
    }


def reliability_curve(labels: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """Pairs in order of their probability, in BINS bins of as many: probability and relevant_share (means), pairs."""
    table = pd.DataFrame({"probability": probability(scores), "relevant_share": labels})
    table = table.sort_values("probability", kind="stable", ignore_index=True)
    bins = table.groupby(np.arange(len(table)) * BINS // len(table))
    return bins.mean().assign(pairs=bins.size()).reset_index(drop=True)


def roc(run: pd.DataFrame, systems: Iterable[str]) -> pd.DataFrame:
    """ROC curves over all pairs, whatever their query, at POINTS rates: false_positive_rate, and one column a system.

    `run` has label (0 or 1) and the systems' scores.
    """
    table = pd.DataFrame({"false_positive_rate": POINTS})
    for system in systems:
        false_positives, true_positives, _ = roc_curve(run["label"], run[system])
        table[system] = np.interp(POINTS, false_positives, true_positives)
    return table


def precision_recall(run: pd.DataFrame, systems: Iterable[str]) -> pd.DataFrame:
    """Interpolated precision over all pairs, whatever their query, at POINTS recalls: recall, and one column a system.

    It is the best precision at this recall or a higher one. `run` has label (0 or 1) and the systems' scores.
    """
    table = pd.DataFrame({"recall": POINTS})
    for system in systems:
        precision, recall, _ = precision_recall_curve(run["label"], run[system])  # of falling recall, to 0
        best = np.maximum.accumulate(precision)
        table[system] = best[len(recall) - 1 - np.searchsorted(recall[::-1], POINTS)]
    return table

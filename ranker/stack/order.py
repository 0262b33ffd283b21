"""Order one query's hits by a weighted sum of scores, each scaled to 0..1 over the hits."""

from collections.abc import Mapping

import numpy as np


def scaled(scores: np.ndarray) -> np.ndarray:
    """Scores, float [hits], scaled linearly to 0..1, float64: Vespa's `normalize_linear`. Equal scores give 0.5.

    >>> scaled(np.array([2.0, 6.0, 3.0])).tolist(), scaled(np.array([7.0, 7.0])).tolist()
    ([0.0, 1.0, 0.25], [0.5, 0.5])
    """
    scores = scores.astype(np.float64)
    low, high = scores.min(initial=np.inf), scores.max(initial=-np.inf)
    return (scores - low) / (high - low) if high > low else np.full(len(scores), 0.5)


def weighted_sum(parts: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """The sum of weight times scaled score, float64 [hits]; a part that `parts` lacks counts for nothing.

    >>> parts = {"cosine": np.array([0.2, 0.4]), "bm25": np.array([9.0, 0.0])}
    >>> weighted_sum(parts, {"cosine": 1, "bm25": 0.5}).tolist()
    [0.5, 1.0]
    """
    sums = list(weighted(parts, weights).values())
    return np.sum(sums, axis=0) if sums else np.zeros(len(next(iter(parts.values()))))


def weighted(parts: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Weight times scaled score of each part that has a weight, float64 [hits]."""
    return {name: weights[name] * scaled(scores) for name, scores in parts.items() if weights[name]}


def best(scores: np.ndarray, depth: int) -> np.ndarray:
    """Rows of the `depth` highest of float [documents], best first, int64; ties keep the order of the rows.

    >>> best(np.array([1.0, 3.0, 2.0, 3.0]), 3).tolist()
    [1, 3, 2]
    """
    if depth < len(scores):
        rows = np.flatnonzero(scores >= np.partition(scores, -depth)[-depth])
        return rows[np.argsort(-scores[rows], kind="stable")][:depth]
    return np.argsort(-scores, kind="stable")

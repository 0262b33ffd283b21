"""Fuse the ranker with BM25 and the base model's cosine: a weighted mean of scores standardised query by query."""

from itertools import product

import numpy as np
import pandas as pd

from ranker.metrics.ranking import ranking_measures

SYSTEMS = ("ranker", "bm25", "base_cosine")
STEPS = 10  # weights are tenths: 66 ways to share 1 among three
SURELY = 2  # standard errors
FEW = 5  # queries, below which a standard error says nothing
ALONE = np.array([1.0, 0.0, 0.0])  # the ranker as it is


def standardise(run: pd.DataFrame) -> np.ndarray:
    """Scores of SYSTEMS less their query's mean, over its standard deviation: float64 [pairs, systems].

    `run` has query_id and a column for each system. Where a query's scores are all equal, they are 0.
    """
    scores = run[list(SYSTEMS)].astype(float)
    by_query = scores.groupby(run["query_id"])
    spread = by_query.transform("std", ddof=0)
    return ((scores - by_query.transform("mean")) / spread.where(spread > 0, 1)).to_numpy()


def fuse(run: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Fused scores, float64 [pairs], by `weights`, float [systems]."""
    return standardise(run) @ weights


def fit_weights(run: pd.DataFrame) -> np.ndarray:
    """Weights, float64 [systems], of at least 0 and 1 in all, of the best mean nDCG@10 over the queries of `run`.

    `run` has query_id, document_id, grade, label and a column for each system. A fusion has to earn its place: unless
    it is better than the ranker alone by more than SURELY standard errors of the difference over queries, the ranker is
    left alone. (The best of 66 is better by luck: fitted on 10 of TREC-COVID's queries, such weights lost 0.01 on 10
    others.)
    """
    scores = standardise(run)

    def ndcg(weights: np.ndarray) -> np.ndarray:
        return ranking_measures(run, scores @ weights)["nDCG@10"].to_numpy()

    shares = product(range(STEPS, -1, -1), repeat=len(SYSTEMS))  # of equally good weights, the most for the ranker
    grid = [np.array(weights) / STEPS for weights in shares if sum(weights) == STEPS]
    measured = np.array([ndcg(weights) for weights in grid])
    best = int(measured.mean(axis=1).argmax())
    gain = measured[best] - ndcg(ALONE)
    if len(gain) < FEW or gain.mean() <= SURELY * gain.std(ddof=1) / np.sqrt(len(gain)):
        return ALONE
    return grid[best]

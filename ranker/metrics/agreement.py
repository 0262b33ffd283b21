"""Agreement of two systems' rankings."""

import numpy as np
import pandas as pd
from scipy.stats import kendalltau


def kendall_tau(pairs: pd.DataFrame, scores: np.ndarray, others: np.ndarray) -> float:
    """Kendall's tau-b of two systems' scores, mean over queries: 1 if they order each query's documents alike.

    `pairs` has query_id; scores are float [pairs]. A query with one document counts 1. So does one whose scores are
    all equal on both sides; if they are equal on one side only, it counts 0.
    """
    taus = []
    for rows in pairs.groupby("query_id", sort=False).indices.values():
        orders = np.ptp(scores[rows]) > 0, np.ptp(others[rows]) > 0  # an order needs unequal scores
        taus.append(kendalltau(scores[rows], others[rows]).statistic if all(orders) else float(not any(orders)))
    return float(np.mean(taus))


def top_overlap(pairs: pd.DataFrame, scores: np.ndarray, others: np.ndarray, top: int) -> float:
    """The share of each query's `top` best documents that both systems have in common, mean over queries.

    `pairs` has query_id; scores are float [pairs]. A query with fewer documents than `top` compares all of them.
    """
    shares = []
    for rows in pairs.groupby("query_id", sort=False).indices.values():
        best, other = (set(np.argsort(-side[rows], kind="stable")[:top]) for side in (scores, others))
        shares.append(len(best & other) / len(best))
    return float(np.mean(shares))

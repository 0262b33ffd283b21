"""Systems side by side: means over queries, how sure they are, and whether two can be told apart."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, permutation_test

from ranker.metrics.ranking import mean_measures

RESAMPLES = 9999  # of queries for an interval, of signs for a test: p is at least 2 / 10,000
CONFIDENCE = 0.95


def interval(values: np.ndarray, seed: int, lowest: float) -> dict[str, float]:
    """Mean of one value per query and its 95% percentile bootstrap interval over queries.

    `values` is float [queries]. One query tells nothing about others: its interval is all that is possible, from
    `lowest` to 1.
    """
    low, high = lowest, 1.0
    if len(values) > 1:
        low, high = bootstrap(
            (values,),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def difference(values: np.ndarray, seed: int) -> dict[str, Any]:
    """What `interval` gives, the p of a paired randomisation test, and a verdict, from one difference per query.

    `values` is float [queries]: a system's measure less the other's. The test turns the sign of each query's difference
    by chance (two-sided; exact below 14 queries). `better` and `worse` are said where p is below 0.05.
    """
    p = 1.0
    if len(values) > 1 and values.any():
        test = permutation_test(
            (values,),
            np.mean,
            permutation_type="samples",
            n_resamples=RESAMPLES,
            rng=np.random.default_rng(seed),
            vectorized=True,
        )
        p = float(test.pvalue)
    told_apart = "better" if values.mean() > 0 else "worse"
    return interval(values, seed, lowest=-1) | {"p": p, "verdict": told_apart if p < 0.05 else "not told apart"}


def compare(systems: dict[str, pd.DataFrame], seed: int) -> dict[str, Any]:
    """The mean of every measure of every system with its interval, and the ranker's difference from each other one.

    `systems` maps names, `ranker` among them, to one row per query with query_id and measures. Returns
    {"systems": {NAME: {MEASURE: {"mean", "low", "high"}}},
    "differences": {NAME: {MEASURE: {"mean", "low", "high", "p", "verdict"}}}}.
    """
    return {
        "systems": {
            name: {
                measure: interval(table[measure].to_numpy(), seed, lowest=0)
                for measure in table.columns.drop("query_id")
            }
            for name, table in systems.items()
        },
        "differences": differences(systems, "ranker", seed),
    }


def differences(tables: dict[str, pd.DataFrame], system: str, seed: int) -> dict[str, dict[str, Any]]:
    """`difference` of a system from every other one, measure by measure."""
    by_query = {name: table.set_index("query_id") for name, table in tables.items()}
    own = by_query[system]
    return {
        name: {measure: difference((own[measure] - other[measure]).to_numpy(), seed) for measure in own.columns}
        for name, other in by_query.items()
        if name != system
    }


def seed_means(by_seed: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One table of measures per query: the means over seeds, each of which has the same queries."""
    return pd.concat(by_seed).groupby("query_id", sort=False).mean().reset_index()


def seed_spread(by_seed: dict[int, pd.DataFrame]) -> dict[str, dict[str, float]]:
    """Of each measure, its mean over queries for each seed, and their standard deviation over seeds (`spread`)."""
    means = pd.DataFrame({str(seed): mean_measures(table) for seed, table in by_seed.items()})
    spread = means.std(axis=1, ddof=1 if len(by_seed) > 1 else 0)
    table = means.assign(spread=spread)
    return {str(measure): table.loc[measure].to_dict() for measure in table.index}

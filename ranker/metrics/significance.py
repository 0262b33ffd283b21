"""Compare systems: means over queries with intervals, and the significance of differences."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import cast

import numpy as np
import pandas as pd
from scipy.stats import permutation_test

from ranker.metrics.comparison import Compared, Mean, Tested
from ranker.metrics.interval import Interval, interval
from ranker.metrics.ranking import mean_measures
from ranker.metrics.verdict import Difference, headline, verdict

RESAMPLES = 9999  # of signs for a test: p is at least 2 / 10,000
# By training seed, one row per query with query_id and measures; one table for systems that no seed changes.
Tables = Mapping[int, pd.DataFrame]


def p_value(values: np.ndarray, seed: int) -> float:
    """Two-sided p of a paired randomisation test of differences per query, float [queries].

    Flips the sign of each at random; exact below 14 queries. Ignores NaN.
    """
    values = values[~np.isnan(values)]
    if len(values) < 2 or not values.any():
        return 1.0
    test = permutation_test(
        (values,),
        np.mean,
        permutation_type="samples",
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(seed),
        vectorized=True,
    )
    return float(test.pvalue)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's correction: the chance of one wrong verdict among all of them stays ALPHA.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'c': 0.06, 'b': 0.06}
    """
    corrected: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[name]))
        corrected[name] = largest
    return corrected


def differences(systems: Mapping[str, Tables], system: str, seed: int) -> dict[str, dict[str, Difference]]:
    """A system's differences from every other one, by measure.

    Holm's correction covers the tests of one measure against all others.
    """
    found: dict[str, dict[str, Difference]] = {name: {} for name in systems if name != system}
    queries = _queries(systems[system])
    for measure in _measures(systems[system]):
        own = _values(systems[system], measure, queries)
        values = {name: own - _values(systems[name], measure, queries) for name in found}
        p_values = {name: p_value(value.mean(axis=0), seed) for name, value in values.items()}
        corrected = holm(p_values)
        for name, value in values.items():
            bounds = asdict(interval(value, lowest=-1))
            called = verdict(bounds["mean"], corrected[name])
            found[name][measure] = Difference(**bounds, p=p_values[name], p_holm=corrected[name], verdict=called)
    return found


def _queries(tables: Tables) -> "pd.Index[str]":
    return pd.Index(next(iter(tables.values()))["query_id"])


def _measures(tables: Tables) -> list[str]:
    return [str(name) for name in next(iter(tables.values())).columns if name != "query_id"]


def _values(tables: Tables, measure: str, queries: "pd.Index[str]") -> np.ndarray:
    """One value per seed and query, in the order of `queries`: float [seeds, queries]."""
    return np.stack([table.set_index("query_id")[measure].loc[queries].to_numpy() for table in tables.values()])


def compare_systems(systems: Mapping[str, Tables], untrained: Iterable[str], seed: int) -> Compared:
    """Each system's means, the cross-encoder's differences from all others, the verdict against the untrained ones.

    `systems` maps names, `cross_encoder` among them, to tables; `seed` is the tests' seed.
    """
    measures = {name: _intervals(tables) for name, tables in systems.items()}
    found = differences(systems, "cross_encoder", seed)
    return {
        "systems": {name: _means(by) for name, by in measures.items()},
        "differences": {name: _tested(by) for name, by in found.items()},
        "headline": headline(measures, found, [name for name in untrained if name in systems]),
    }


def _intervals(tables: Tables) -> dict[str, Interval]:
    queries = _queries(tables)
    return {measure: interval(_values(tables, measure, queries), lowest=0) for measure in _measures(tables)}


def _means(by: Mapping[str, Interval]) -> dict[str, Mean]:
    return {measure: cast(Mean, asdict(found)) for measure, found in by.items()}


def _tested(by: Mapping[str, Difference]) -> dict[str, Tested]:
    return {measure: cast(Tested, asdict(found)) for measure, found in by.items()}


def seed_spread(by_seed: Mapping[int, pd.DataFrame]) -> dict[str, dict[str, float]]:
    """By measure, each seed's mean over queries, and the means' standard deviation (`spread`)."""
    means = pd.DataFrame({str(seed): mean_measures(table) for seed, table in by_seed.items()})
    spread = means.std(axis=1, ddof=1 if len(by_seed) > 1 else 0)
    table = means.assign(spread=spread)
    return {str(measure): table.loc[measure].to_dict() for measure in table.index}

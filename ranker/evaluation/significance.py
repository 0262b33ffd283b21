"""Systems side by side: means over queries, how sure they are, and which differences are significant."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import permutation_test

from ranker.metrics.interval import Interval as Interval
from ranker.metrics.interval import interval as interval
from ranker.metrics.ranking import MAIN, mean_measures

RESAMPLES = 9999  # of signs for a test: p is at least 2 / 10,000
ALPHA = 0.05
BETTER = "better"
WORSE = "worse"
NOT_SIGNIFICANT = "no significant difference"

# One row per query, with query_id and measures: of a system, or of each of its seeds.
Table = pd.DataFrame | Mapping[int, pd.DataFrame]


@dataclass(frozen=True)
class Difference(Interval):
    """A mean paired difference, the p of its test, that p after Holm's correction, and a verdict by the latter."""

    p: float
    p_holm: float
    verdict: str


def p_value(values: np.ndarray, seed: int) -> float:
    """Two-sided p of a paired randomisation test of differences per query, float [queries].

    It turns the sign of each by chance; exact below 14 queries. NaN is no difference.
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


def verdict(mean: float, p: float) -> str:
    """What a difference of this mean and p is called."""
    if p >= ALPHA:
        return NOT_SIGNIFICANT
    return BETTER if mean > 0 else WORSE


def differences(systems: Mapping[str, Table], system: str, seed: int) -> dict[str, dict[str, Difference]]:
    """How far a system is from every other one, measure by measure.

    Of one measure, the tests against all others are corrected together.
    """
    found: dict[str, dict[str, Difference]] = {name: {} for name in systems if name != system}
    queries = _queries(systems[system])
    for measure in _measures(systems[system]):
        own = _values(systems[system], measure, queries)
        values = {name: own - _values(systems[name], measure, queries) for name in found}
        p_values = {name: p_value(np.atleast_2d(value).mean(axis=0), seed) for name, value in values.items()}
        corrected = holm(p_values)
        for name, value in values.items():
            bounds = asdict(interval(value, lowest=-1))
            called = verdict(bounds["mean"], corrected[name])
            found[name][measure] = Difference(**bounds, p=p_values[name], p_holm=corrected[name], verdict=called)
    return found


def _queries(table: Table) -> "pd.Index[str]":
    return pd.Index((table if isinstance(table, pd.DataFrame) else next(iter(table.values())))["query_id"])


def _measures(table: Table) -> list[str]:
    first = table if isinstance(table, pd.DataFrame) else next(iter(table.values()))
    return [str(name) for name in first.columns if name != "query_id"]


def _values(table: Table, measure: str, queries: "pd.Index[str]") -> np.ndarray:
    """One value per query, in the order of `queries`: float [queries], or [seeds, queries]."""
    if isinstance(table, pd.DataFrame):
        return table.set_index("query_id")[measure].loc[queries].to_numpy()
    return np.stack([_values(by_seed, measure, queries) for by_seed in table.values()])


def compare(systems: Mapping[str, Table], untrained: Iterable[str], seed: int) -> dict[str, Any]:
    """What comparison.json holds: each system's means, the cross-encoder's differences from all others, the headline.

    `systems` maps names, `cross_encoder` among them, to their tables; `seed` is that of the tests.
    """
    measures = {
        name: {measure: interval(_values(table, measure, _queries(table)), lowest=0) for measure in _measures(table)}
        for name, table in systems.items()
    }
    found = differences(systems, "cross_encoder", seed)
    return {
        "systems": {name: {measure: asdict(value) for measure, value in by.items()} for name, by in measures.items()},
        "differences": {name: {measure: asdict(value) for measure, value in by.items()} for name, by in found.items()},
        "headline": headline(measures, found, [name for name in untrained if name in systems]),
    }


def headline(
    systems: Mapping[str, Mapping[str, Interval]],
    found: Mapping[str, Mapping[str, Difference]],
    untrained: Iterable[str],
) -> dict[str, Any]:
    """The verdict on the cross-encoder at nDCG@10, against every system that needs no training.

    Significantly worse than one of them: `hurts`. Significantly better than each: `helps`; that is an
    intersection-union test, whose level is that of a single one, so no p is corrected. Else `no significant
    difference`, from those it is not better than. `strongest` is the one with the highest mean.
    """
    names = sorted(untrained, key=lambda name: -systems[name][MAIN].mean)
    called = {name: verdict(found[name][MAIN].mean, found[name][MAIN].p) for name in names}
    worse = [name for name in names if called[name] == WORSE]
    open_ = [name for name in names if called[name] == NOT_SIGNIFICANT]
    word = "hurts" if worse else NOT_SIGNIFICANT if open_ else "helps"
    return {"verdict": word, "strongest": names[0], "from": worse or open_ or names}


def seed_spread(by_seed: Mapping[int, pd.DataFrame]) -> dict[str, dict[str, float]]:
    """Of each measure, its mean over queries for each seed, and their standard deviation over seeds (`spread`)."""
    means = pd.DataFrame({str(seed): mean_measures(table) for seed, table in by_seed.items()})
    spread = means.std(axis=1, ddof=1 if len(by_seed) > 1 else 0)
    table = means.assign(spread=spread)
    return {str(measure): table.loc[measure].to_dict() for measure in table.index}

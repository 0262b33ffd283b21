"""The verdict on the cross-encoder: words, rule, deciding table, and reasons to withhold it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
from scipy.stats import norm

from ranker.metrics.comparison import Compared, Decides, Headline
from ranker.metrics.interval import Interval
from ranker.metrics.ranking import JUDGED, MAIN
from ranker.metrics.systems import opponents

ALPHA = 0.05
ENOUGH_JUDGED = 0.9  # of each compared system's and stack's first ten; below it, unjudged documents would decide
FEWEST_QUERIES = 10  # of a verdict without the queries that have stand-ins; t-intervals were checked down to ten
POWER = 0.8
LITTLE = 0.005  # of nDCG@10
SLOWER = 1.5  # times as long: worth saying, where the gain is little

BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no significant difference"  # for one difference
HELPS, HURTS = "helps", "hurts"  # against all opponents; or NO_DIFFERENCE
NO_VERDICT = "no verdict"
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Difference(Interval):
    """A mean paired difference with its p, p after Holm's correction, and a verdict by the corrected p."""

    p: float
    p_holm: float
    verdict: str


def verdict(mean: float, p: float) -> str:
    """The word for a difference with this mean and p."""
    if p >= ALPHA:
        return NO_DIFFERENCE
    return BETTER if mean > 0 else WORSE


def headline(
    systems: Mapping[str, Mapping[str, Interval]],
    differences: Mapping[str, Mapping[str, Difference]],
    untrained: Iterable[str],
) -> Headline:
    """The verdict on the cross-encoder at nDCG@10, against every untrained system.

    Significantly worse than one of them: `hurts`. Significantly better than each: `helps`; this intersection-union test
    has the level of a single test, so no p is corrected. Otherwise `no significant difference`, from the systems that
    it does not beat. `strongest` is the one with the highest mean.
    """
    names = sorted(untrained, key=lambda name: -systems[name][MAIN].mean)
    called = {name: verdict(differences[name][MAIN].mean, differences[name][MAIN].p) for name in names}
    worse = [name for name in names if called[name] == WORSE]
    open_ = [name for name in names if called[name] == NO_DIFFERENCE]
    word = HURTS if worse else NO_DIFFERENCE if open_ else HELPS
    return {"verdict": word, "strongest": names[0], "from": worse or open_ or names}


def fully_judged(run: pd.DataFrame) -> pd.DataFrame:
    """The rows of queries without random stand-ins; all rows, if fewer than FEWEST_QUERIES queries would be left."""
    judged = run[run.groupby("query_id")["judged"].transform("all")]
    return judged.reset_index(drop=True) if judged["query_id"].nunique() >= FEWEST_QUERIES else run


def without_stand_ins(found: Headline, run: pd.DataFrame) -> Headline:
    """The headline; withholds the verdict if `run`, which is `fully_judged`, still ranks stand-ins."""
    unjudged = run.loc[~run["judged"], "query_id"].nunique()
    if not unjudged:
        return found
    why = (
        f"random unjudged documents stand in for the negatives of {unjudged} of {run['query_id'].nunique()} queries, "
        f"and a verdict on the others needs {FEWEST_QUERIES}"
    )
    return {**found, "verdict": NO_VERDICT, "why": why}


def is_little(gain: float, word: str) -> bool:
    """True if a gain of nDCG@10 with this verdict is not worth much more time."""
    return word != BETTER or gain < LITTLE


def queries_needed(spread: float, difference: float) -> int:
    """The queries that a paired t-test (two-sided, ALPHA) needs to find a true difference with a chance of POWER.

    `spread` is the standard deviation of differences per query. The formula is Nagata's approximation, in Sakai, Topic
    set size design, Information Retrieval Journal 19 (2016): ((z_alpha/2 + z_beta) spread / difference)^2 +
    z_alpha/2^2 / 2.

    >>> queries_needed(0.1, 0.02)
    199
    """
    alpha, beta = norm.ppf(1 - ALPHA / 2), norm.ppf(POWER)
    return math.ceil(((alpha + beta) * spread / difference) ** 2 + alpha**2 / 2)


def smallest_difference(spread: float, queries: int) -> float:
    """The smallest true difference that `queries` queries show with a chance of POWER: `queries_needed`, inverted.

    >>> round(smallest_difference(0.1, 199), 3)
    0.02
    """
    alpha, beta = norm.ppf(1 - ALPHA / 2), norm.ppf(POWER)
    return float((alpha + beta) * spread / math.sqrt(max(queries - alpha**2 / 2, 1.0)))


def deciding_table(reranked: Compared) -> Decides:
    """The table that gives the verdict, and the compared system with the lowest judged share of its top ten.

    `reranked`, the served rankings, decides if at least ENOUGH_JUDGED of the top tens of the cross-encoder and of each
    opponent are judged; otherwise `judged`.
    """
    compared = ("cross_encoder", *opponents("reranked"))
    shares = {name: reranked["systems"][name][JUDGED]["mean"] for name in compared}
    lowest = min(shares, key=lambda name: shares[name])
    table: Decides = {"table": "judged", "system": lowest, "judged": shares[lowest]}
    return {**table, "table": "reranked"} if shares[lowest] >= ENOUGH_JUDGED else table

"""The verdict on the cross-encoder: its words, its rule, the table that gives it, and what withholds it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from ranker.metrics.comparison import Compared, Decides, Headline
from ranker.metrics.interval import Interval
from ranker.metrics.ranking import MAIN
from ranker.metrics.systems import opponents

ALPHA = 0.05
ENOUGH_JUDGED = 0.9  # of each compared system's top ten: below it, documents that nobody judged would decide
JUDGED = "Judged@10"

BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no significant difference"  # of one difference
HELPS, HURTS = "helps", "hurts"  # of all opponents; or NO_DIFFERENCE
NO_VERDICT = "no verdict"
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Difference(Interval):
    """A mean paired difference, the p of its test, that p after Holm's correction, and a verdict by the latter."""

    p: float
    p_holm: float
    verdict: str


def verdict(mean: float, p: float) -> str:
    """What a difference of this mean and p is called."""
    if p >= ALPHA:
        return NO_DIFFERENCE
    return BETTER if mean > 0 else WORSE


def headline(
    systems: Mapping[str, Mapping[str, Interval]],
    differences: Mapping[str, Mapping[str, Difference]],
    untrained: Iterable[str],
) -> Headline:
    """The verdict on the cross-encoder at nDCG@10, against every system that needs no training.

    Significantly worse than one of them: `hurts`. Significantly better than each: `helps`; that is an
    intersection-union test, whose level is that of a single one, so no p is corrected. Else `no significant
    difference`, from those it is not better than. `strongest` is the one with the highest mean.
    """
    names = sorted(untrained, key=lambda name: -systems[name][MAIN].mean)
    called = {name: verdict(differences[name][MAIN].mean, differences[name][MAIN].p) for name in names}
    worse = [name for name in names if called[name] == WORSE]
    open_ = [name for name in names if called[name] == NO_DIFFERENCE]
    word = HURTS if worse else NO_DIFFERENCE if open_ else HELPS
    return {"verdict": word, "strongest": names[0], "from": worse or open_ or names}


def without_stand_ins(found: Headline, run: pd.DataFrame) -> Headline:
    """The headline, with no verdict where documents that nobody judged are among those ranked."""
    unjudged = run.loc[~run["judged"], "query_id"].nunique()
    if not unjudged:
        return found
    why = f"random unjudged documents stand in for the negatives of {unjudged} queries"
    return {**found, "verdict": NO_VERDICT, "why": why}


def deciding_table(reranked: Compared) -> Decides:
    """Which table gives the verdict, `reranked` or `judged`, and the compared system with the fewest judged in its ten.

    The first, which is of what is served, where nearly all of the first ten are judged: the cross-encoder's, and those
    of the opponents, which the verdict is against.
    """
    names = ("cross_encoder", *opponents("reranked"))
    shares = {name: reranked["systems"][name][JUDGED]["mean"] for name in names}
    lowest = min(shares, key=lambda name: shares[name])
    table: Decides = {"table": "judged", "system": lowest, "judged": shares[lowest]}
    return {**table, "table": "reranked"} if shares[lowest] >= ENOUGH_JUDGED else table

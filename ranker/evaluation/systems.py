"""Measure systems on the same pairs, under one convention for what is undefined and what is tied."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ranker.metrics.ranking import expected_measures, has_no_order, ranking_measures

NO_ORDER = "all its scores of a query are equal: its ranking would be that of the ids"


@dataclass(frozen=True)
class Measured:
    """Measures per query of each system, and the systems that were left out, with the reason."""

    systems: dict[str, pd.DataFrame]
    left_out: dict[str, str]


def measure_systems(run: pd.DataFrame, systems: Iterable[str]) -> Measured:
    """Measures of each system, whose scores are the column of `run` that is named so, and of a random order.

    Every query of `run` has a relevant pair (`relevant_queries`).
    """
    names = list(systems)
    left_out = {name: NO_ORDER for name in names if has_no_order(run, run[name].to_numpy())}
    measured = {name: ranking_measures(run, run[name].to_numpy()) for name in names if name not in left_out}
    return Measured(measured | {"random": expected_measures(run)}, left_out)


def undefined(whole: pd.DataFrame, run: pd.DataFrame, measured: Measured) -> dict[str, Any]:
    """Counts that the tables do not show: queries without a relevant pair, and the systems that were left out.

    `run` is `relevant_queries(whole)`.
    """
    return {
        "queries": run["query_id"].nunique(),
        "queries_without_a_relevant_pair": whole["query_id"].nunique() - run["query_id"].nunique(),
        "left_out": measured.left_out,
    }


def withheld(run: pd.DataFrame) -> dict[str, str]:
    """What takes the verdict's place in a headline where documents that nobody judged are among those ranked."""
    unjudged = run.loc[~run["judged"], "query_id"].nunique()
    why = f"random unjudged documents stand in for the negatives of {unjudged} queries"
    return {"verdict": "no verdict", "why": why} if unjudged else {}

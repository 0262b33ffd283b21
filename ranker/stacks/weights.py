"""Weights of a fused order, chosen by nested folds: the fewest parts within one standard error of the best."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd

from ranker.metrics.ranking import MAIN
from ranker.stack.stack import Stack
from ranker.stacks.table import Measured, Runs, measure_stack, within_one_error

CROSS_ENCODER = (0.0, 0.25, 0.5, 1.0, 2.0)  # beside a cosine of weight 1
BM25 = (0.0, 0.125, 0.25, 0.5, 1.0)
Weights = Mapping[str, float]


def fitted(judged: pd.DataFrame, runs: Runs, stack: Stack, folds: Mapping[str, int], name: str) -> Measured:
    """The row of a stack whose weights are chosen for each fold on the other ones; its own are those of all queries.

    `folds` maps query ids to folds. A stack without a cross-encoder has a weight of 0 for it.
    """
    parts = CROSS_ENCODER if stack.order == "fused" else CROSS_ENCODER[:1]
    grid = [{"cross_encoder": own, "cosine": 1.0, "bm25": bm25} for own, bm25 in product(parts, BM25)]
    tried = [measure_stack(judged, runs, replace(stack, weights=weights)) for weights in grid]
    values = np.stack([each.values(MAIN).mean(axis=0) for each in tried])
    asked = next(iter(tried[0].tables.values()))["query_id"]
    places = asked.map(folds).to_numpy()
    chosen = {fold: simplest(values[:, places != fold], grid) for fold in np.unique(places)}
    tables: dict[int, pd.DataFrame] = {}
    firsts: dict[int, pd.DataFrame] = {}
    for seed in runs:
        of_folds = [tried[row].tables[seed][places == fold] for fold, row in chosen.items()]
        tables[seed] = pd.concat(of_folds).loc[asked.index]
        found = {fold: tried[row].firsts[seed] for fold, row in chosen.items()}
        firsts[seed] = pd.concat(rows[rows["query_id"].map(folds) == fold] for fold, rows in found.items())
    many = float(np.mean([tried[chosen[fold]].runs for fold in places]))
    return Measured(name, replace(stack, weights=grid[simplest(values, grid)]), tables, firsts, many)


def simplest(values: np.ndarray, grid: Sequence[Weights]) -> int:
    """The row of `grid` with the fewest parts within one standard error of the best, and the best of these.

    `values` is float [weights, queries]. A cross-encoder costs more than BM25.
    """
    best = values[values.mean(axis=1).argmax()]
    near = [row for row in range(len(grid)) if within_one_error(best[None], values[row][None])]
    parts = {row: (grid[row]["cross_encoder"] > 0, grid[row]["bm25"] > 0) for row in near}
    return min(near, key=lambda row: (parts[row], -values[row].mean()))

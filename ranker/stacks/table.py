"""The table of stacks: what each part adds to the search, two answers, and the stack that they justify."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ranker.contract.stacks import COMPARED, LISTS
from ranker.metrics.comparison import Answer, Differs, Mean, StackRow, StackTable
from ranker.metrics.interval import interval
from ranker.metrics.ranking import CONDENSED, JUDGED, MAIN, first_ten, hits_measures
from ranker.metrics.significance import Tables, p_value
from ranker.metrics.verdict import ENOUGH_JUDGED, NO_DIFFERENCE, verdict
from ranker.stack.stack import Stack
from ranker.stacks.hits import candidates, stack_scores

Runs = Mapping[int, pd.DataFrame]  # the hits, with the scores of each seed's models


@dataclass(frozen=True)
class Measured:
    """A row of the table: a stack's measures per query, and its first ten hits of each (`first_ten`), by seed.

    `runs` is the mean number of a query's hits that take a run of the cross-encoder. A `reference` is compared with no
    other row, because it cannot be deployed.
    """

    name: str
    stack: Stack
    tables: Tables
    firsts: Tables
    runs: float
    reference: bool = False

    @property
    def trained(self) -> bool:
        """True if judgements trained a part of it."""
        return self.runs > 0 or self.stack.vectors == "dense"

    @property
    def cost(self) -> tuple[float, bool, int]:
        """Orders stacks by what a query costs: runs of the cross-encoder, training, lists; vectors count twice."""
        return self.runs, self.trained, sum(2 if name in ("dense", "base") else 1 for name in self.stack.found_by)

    def values(self, measure: str) -> np.ndarray:
        """The measure of each seed and query, float [seeds, queries]."""
        return np.stack([table[measure].to_numpy() for table in self.tables.values()])


def stacks_of(hits: pd.DataFrame, shipped: Stack) -> list[Stack]:
    """The stacks of COMPARED whose lists the hits have, and the one that ships, with its depth and weights."""
    known = {name for name in LISTS if hits[f"{name}_rank"].notna().any()}
    found = [replace(shipped, first_stage=first_stage, order=order) for first_stage, order in COMPARED]
    found = [stack for stack in found if known.issuperset(stack.found_by)]
    return found if shipped.name in [stack.name for stack in found] else [*found, shipped]


def measure_stack(judged: pd.DataFrame, runs: Runs, stack: Stack, name: str = "") -> Measured:
    """Measure a stack's order of its hits.

    `judged` are the judged pairs of queries with a relevant one: query_id, document_id, grade, relevant.
    """
    tables, firsts, many = _measure(judged, runs, stack, lambda inside: stack_scores(inside, stack))
    return Measured(name or stack.name, stack, tables, firsts, many if stack.runs_cross_encoder else 0.0)


def measure_column(judged: pd.DataFrame, runs: Runs, stack: Stack, column: str) -> Measured:
    """Measure the order of a stack's hits by one of their columns, or by their grades (`perfect`): a reference."""

    def scores(inside: pd.DataFrame) -> np.ndarray:
        if column != "perfect":
            return inside[column].to_numpy(np.float64)
        grades = inside.merge(judged[["query_id", "document_id", "grade"]], how="left")["grade"]
        return grades.fillna(0).to_numpy(np.float64)

    tables, firsts, many = _measure(judged, runs, stack, scores)
    return Measured(column, stack, tables, firsts, many if column != "perfect" else 0.0, reference=True)


def _measure(
    judged: pd.DataFrame, runs: Runs, stack: Stack, score: Callable[[pd.DataFrame], np.ndarray]
) -> tuple[Tables, Tables, float]:
    """Each seed's measures per query of the stack's hits by `score`, their first ten, and a query's mean hits."""
    tables, firsts, count = {}, {}, 0
    for seed, hits in runs.items():
        inside = candidates(hits, stack)
        scores, count = score(inside), count + len(inside)
        tables[seed], firsts[seed] = measure_found(judged, inside, scores, stack.depth), first_ten(inside, scores)
    return tables, firsts, count / len(runs) / judged["query_id"].nunique()


def measure_found(judged: pd.DataFrame, hits: pd.DataFrame, scores: np.ndarray, depth: int) -> pd.DataFrame:
    """`hits_measures`, and CONDENSED: nDCG@10 of the lists without their unjudged documents."""
    known = pd.MultiIndex.from_frame(judged[["query_id", "document_id"]])
    rows = pd.MultiIndex.from_frame(hits[["query_id", "document_id"]]).isin(known)
    condensed = hits_measures(judged, hits[rows], scores[rows], depth)
    return hits_measures(judged, hits, scores, depth).assign(**{CONDENSED: condensed[MAIN]})


def stack_table(measured: Sequence[Measured], shipped: str, seed: int) -> StackTable:
    """The rows, the answers by each column that decides, and the recommendation, if all of them agree.

    The condensed list's column decides, too, if a compared stack's first ten are judged below ENOUGH_JUDGED.
    """
    compared = [each for each in measured if not each.reference]
    lowest = min(compared, key=lambda each: np.nanmean(each.values(JUDGED)))
    share = float(np.nanmean(lowest.values(JUDGED)))
    columns = [MAIN] if share >= ENOUGH_JUDGED else [MAIN, CONDENSED]
    best = {column: max(compared, key=lambda each: each.values(column).mean()).name for column in columns}
    cheapest = {column: _cheapest(compared, column) for column in columns}
    trained, reordered = [each for each in compared if each.trained], [each for each in compared if each.runs]
    asked = {"training": trained, "cross_encoder": reordered}
    found = [_answer(question, ours, compared, columns, seed) for question, ours in asked.items()]
    answers = [answer for answer in found if answer]
    agree = len(set(cheapest.values())) == 1 and all(answer["agree"] for answer in answers)
    return {
        "shipped": shipped,
        "rows": {each.name: _row(each) for each in measured},
        "columns": columns,
        "least_judged": lowest.name,
        "judged": share,
        "answers": answers,
        "best": best,
        "cheapest": cheapest,
        "recommended": cheapest[MAIN] if agree else None,
    }


def _row(each: Measured) -> StackRow:
    names = [name for name in next(iter(each.tables.values())).columns if name not in ("query_id", "AP", "P@5")]
    return {
        "first_stage": each.stack.first_stage,
        "order": each.stack.order,
        "depth": each.stack.depth,
        "weights": dict(each.stack.weights),
        "cross_encoder_runs": each.runs,
        "reference": each.reference,
        "measures": {name: as_mean(each.values(name), lowest=0) for name in names},
    }


def as_mean(values: np.ndarray, lowest: float) -> Mean:
    """The mean of float [seeds, queries] or [queries], and its interval, between `lowest` and 1."""
    found = interval(values, lowest)
    return {"mean": found.mean, "low": found.low, "high": found.high}


def _answer(
    question: str, ours: Sequence[Measured], compared: Sequence[Measured], columns: Sequence[str], seed: int
) -> Answer | None:
    """The difference of the best of ours from the best of all others, by each column; None if one side is empty."""
    others = [each for each in compared if each not in ours]
    if not ours or not others:
        return None
    by = {column: _differs(_best(ours, column), _best(others, column), column, seed) for column in columns}
    signs = {found["mean"] > 0 for found in by.values()}
    significant = any(found["verdict"] != NO_DIFFERENCE for found in by.values())
    return {"question": question, "by": by, "agree": len(signs) == 1 or not significant}


def _best(measured: Sequence[Measured], column: str) -> Measured:
    return max(measured, key=lambda each: each.values(column).mean())


def _differs(own: Measured, other: Measured, column: str, seed: int) -> Differs:
    """The paired difference; a verdict needs p and the interval, because each of the two is the best of many."""
    first = {each.name: each.values(column) for each in (own, other)}
    many = max(len(values) for values in first.values())
    ours, theirs = (np.broadcast_to(values, (many, values.shape[1])) for values in first.values())
    difference = ours - theirs
    bounds, p = as_mean(difference, lowest=-1), p_value(difference.mean(axis=0), seed)
    return {
        "stack": own.name,
        "than": other.name,
        **bounds,
        "spread": float(difference.mean(axis=0).std(ddof=1)) if difference.shape[1] > 1 else 0.0,
        "p": p,
        "verdict": NO_DIFFERENCE if bounds["low"] <= 0 <= bounds["high"] else verdict(bounds["mean"], p),
    }


def _cheapest(compared: Sequence[Measured], column: str) -> str:
    """The cheapest stack within one standard error of the best one, by their paired difference."""
    best = _best(compared, column)
    near = [each for each in compared if within_one_error(best.values(column), each.values(column))]
    return min(near, key=lambda each: (each.cost, -each.values(column).mean())).name


def within_one_error(best: np.ndarray, other: np.ndarray) -> bool:
    """True if the mean paired difference over queries is at most its standard error; float [seeds, queries] each.

    >>> within_one_error(np.array([[0.5, 0.5]]), np.array([[0.5, 0.4]]))
    True
    >>> within_one_error(np.array([[0.5, 0.5]]), np.array([[0.4, 0.3]]))
    False
    """
    lost = best.mean(axis=0) - other.mean(axis=0)
    error = lost.std(ddof=1) / np.sqrt(len(lost)) if len(lost) > 1 else np.inf
    return bool(lost.mean() <= error)

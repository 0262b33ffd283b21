"""The shipped stack against the last release and the strongest that costs nothing, and the decision that follows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ranker.metrics.comparison import Against, Paired
from ranker.metrics.ranking import CONDENSED, JUDGED, MAIN, first_ten
from ranker.metrics.significance import p_value
from ranker.metrics.verdict import ENOUGH_JUDGED, FEWEST_QUERIES, NO_DIFFERENCE, WORSE, smallest_difference, verdict
from ranker.stack.stack import Stack
from ranker.stacks.table import Measured, as_mean, measure_found

LAST_RELEASE = "last_release"  # its row's name
ONCE = 0  # a release has one model, and so one seed
# Buckley and Voorhees, Evaluating evaluation measure stability, SIGIR 2000: at least 25 queries, 50 are better.
FEWEST_TO_RELEASE = 25
FREE = "the best search that costs nothing"
SEEN = 0.0005  # a smaller difference of nDCG@10 is neither gain nor loss


def strongest_free(stacks: Sequence[Measured]) -> Measured | None:
    """The best of the stacks that no judgement trained; None if there is none."""
    free = [each for each in stacks if not each.trained and not each.reference]
    return max(free, key=lambda each: each.values(MAIN).mean(), default=None)


def measure_release(judged: pd.DataFrame, hits: pd.DataFrame, stack: Stack, depth: int) -> Measured:
    """A release's order of its hits: `hits` has query_id, document_id and score; R@`depth` is that of our own row.

    Measures all queries of `judged`; a query without hits has 0.
    """
    scores = hits["score"].to_numpy(np.float64)
    table, first = measure_found(judged, hits, scores, depth), first_ten(hits, scores)
    runs = len(hits) / len(table) if stack.runs_cross_encoder else 0.0
    return Measured(LAST_RELEASE, stack, {ONCE: table}, {ONCE: first}, runs, reference=True)


def of_queries(measured: Measured, query_ids: "pd.Index[str]") -> Measured:
    """The same stack, measured on these queries alone, in their order."""
    tables = {seed: table.set_index("query_id").loc[query_ids].reset_index() for seed, table in measured.tables.items()}
    return replace(measured, tables=tables)


def against(ours: Measured, other: Measured, seed: int, version: str | None = None, trained_on: int = 0) -> Against:
    """Compare two stacks that are measured on the same queries; fewer than FEWEST_QUERIES give no figures.

    Lists without their unjudged documents decide, too, if one of the two first tens is judged below ENOUGH_JUDGED.
    """
    judged = min(_judged(ours), _judged(other))
    queries = ours.values(MAIN).shape[1]
    columns = [MAIN] if judged >= ENOUGH_JUDGED else [MAIN, CONDENSED]
    by = {column: paired(ours, other, column, seed) for column in columns} if queries >= FEWEST_QUERIES else {}
    signs = {found["mean"] > 0 for found in by.values()}
    significant = any(found["verdict"] != NO_DIFFERENCE for found in by.values())
    return {
        "version": version,
        "stack": other.stack.name,
        "queries": queries,
        "trained_on": trained_on,
        "by": by,
        "judged": judged,
        "agree": len(signs) < 2 or not significant,
    }


def _judged(measured: Measured) -> float:
    values = measured.values(JUDGED)
    return float(np.nanmean(values)) if not np.isnan(values).all() else 0.0


def paired(ours: Measured, other: Measured, column: str, seed: int) -> Paired:
    """The mean difference over queries and seeds, its interval, and p by the mean over seeds of each query."""
    values = by_seed(ours, other, column)
    of_query = values.mean(axis=0)
    bounds, p = as_mean(values, lowest=-1), p_value(of_query, seed)
    spread = float(of_query.std(ddof=1)) if len(of_query) > 1 else 0.0
    return {
        "stack": ours.name,
        "than": other.stack.name,
        **bounds,
        "spread": spread,
        "p": p,
        "verdict": verdict(bounds["mean"], p),
        "queries": len(of_query),
        "gains": int((of_query >= SEEN).sum()),
        "losses": int((of_query <= -SEEN).sum()),
        "could_show": smallest_difference(spread, len(of_query)),
    }


def by_seed(ours: Measured, other: Measured, column: str) -> np.ndarray:
    """The differences, float [seeds, queries]; a side with one seed is compared with each seed of the other."""
    first, second = ours.values(column), other.values(column)
    many = max(len(first), len(second))
    first, second = (np.broadcast_to(values, (many, values.shape[1])) for values in (first, second))
    difference: np.ndarray = first - second
    return difference


@dataclass(frozen=True)
class Decision:
    """The reasons not to register a release, a clause each; none of them if it may be registered."""

    opponents: Mapping[str, Against]  # by their spoken names
    refusals: list[str]


def decide(free: Against | None, last: Against | None, tag: str) -> Decision:
    """Refuse a release that is significantly worse than an opponent by any column, or that too few queries compare.

    `tag` names the last release; it is empty for the first.
    """
    opponents = {FREE: free} if free else {}
    opponents |= {tag: last} if tag and last else {}
    refusals = [] if free else ["it was not compared with a search that costs nothing"]
    if tag and not last:
        refusals.append(f"{tag} was not compared")
    for name, found in opponents.items():
        refusals += _against(name, found)
    return Decision(opponents, refusals)


def _against(name: str, found: Against) -> Iterator[str]:
    if why := found.get("why"):
        yield f"{name} cannot be compared: {why}"
    elif found["queries"] < FEWEST_TO_RELEASE:
        yield f"{found['queries']} queries compare it with {name}, and a release needs {FEWEST_TO_RELEASE}"
    elif not found["agree"]:
        yield f"{MAIN} with and without unjudged documents contradict each other about {name}: judge more first"
    elif worse := [column for column, by in found["by"].items() if by["verdict"] == WORSE]:
        by = found["by"][worse[0]]
        bounds = f"95% interval {by['low']:+.3f} to {by['high']:+.3f}, p = {by['p']:.4f}"
        yield f"it is worse than {name} by {-by['mean']:.3f} {worse[0]} ({bounds})"

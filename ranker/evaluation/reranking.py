"""Reorder the first stage's best hits of the whole collection, and measure the rankings that are served."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ranker.metrics.comparison import Compared
from ranker.metrics.interval import interval
from ranker.metrics.ranking import MAIN, MEASURES, hits_measures, trec_order
from ranker.metrics.significance import Tables, compare_systems
from ranker.metrics.systems import BASELINES, SYSTEMS, opponents

DEPTHS = (10, 20, 50, 100, 200)
MOST_OF_THE_GAIN = 0.95


def reordered(hits: pd.DataFrame, scores: np.ndarray, depth: int) -> np.ndarray:
    """Scores, float64 [hits], of the served order: the first `depth` hits by `scores`, then the rest by rank.

    `hits` has query_id, document_id and rank; `scores`, float [hits], are sorted by `trec_order`. The returned scores
    have no ties within a query.
    """
    below = (hits["rank"] > depth).to_numpy()
    table = hits[["query_id", "document_id"]].assign(
        below=below, score=np.where(below, -hits["rank"], scores.astype(np.float32)), row=np.arange(len(hits))
    )
    table = trec_order(table, ["query_id", "below"])
    places = np.empty(len(hits))
    places[table["row"]] = -table.groupby("query_id").cumcount()
    return places


def orders(judged: pd.DataFrame, hits: pd.DataFrame, depth: int) -> pd.DataFrame:
    """The hits, with a column of scores for the order of each system, which reorders the first `depth`.

    `hits` has a column of scores for each measured system, cross_encoder among them; a system that lacks some hits'
    scores is left out. `perfect` orders by the grades of `judged`: an upper bound for rerankers of these hits.
    """
    grades = hits.merge(judged[["query_id", "document_id", "grade"]], how="left")["grade"].fillna(0)
    others = [name for name in BASELINES if name not in opponents("reranked")]
    scores = {name: hits[name] for name in SYSTEMS if name in hits and name not in others and hits[name].notna().all()}
    scores |= {"first_stage": -hits["rank"], "perfect": grades}
    ids = hits[["query_id", "document_id"]]
    return ids.assign(**{name: reordered(hits, values.to_numpy(), depth) for name, values in scores.items()})


def reranked_run(judged: pd.DataFrame, ordered: pd.DataFrame) -> pd.DataFrame:
    """`orders` as a run: adds the grade, null if unjudged, and relevant (bool)."""
    columns = ["query_id", "document_id", "grade", "relevant"]
    run = ordered.merge(judged[columns], how="left", validate="one_to_one").astype({"grade": "Int32"})
    return run.assign(relevant=run["relevant"].eq(True), judged=run["grade"].notna())


def measure_hits(
    judged: pd.DataFrame, hits: pd.DataFrame, depth: int, recall_at: int | None = None
) -> dict[str, pd.DataFrame]:
    """Measures per query of each of `orders`, with the recall at `depth` or, if given, at `recall_at`.

    `judged` are the judged pairs of queries with a relevant one.
    """
    ordered, count = orders(judged, hits, depth), recall_at or max(depth, 1)
    systems = [name for name in ordered if name not in ("query_id", "document_id")]
    return {str(name): hits_measures(judged, hits, ordered[name].to_numpy(), count) for name in systems}


def compare_hits(measured: Mapping[str, Tables], seed: int) -> Compared:
    """Compare the cross-encoder's order with all others but the upper bound `perfect`.

    Leaves out recall, which reordering cannot change, and the judged share, which is no measure of quality.
    """
    systems = {name: tables for name, tables in measured.items() if name != "perfect"}
    compared = compare_systems(systems, opponents("reranked"), seed)
    for name, by in compared["differences"].items():
        compared["differences"][name] = {measure: by[measure] for measure in MEASURES}
    return compared


def depth_curve(judged: pd.DataFrame, runs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """nDCG@10 by the number of reordered hits: one row per depth; depth 0 is the first stage's own order.

    `runs` are each seed's hits with its models' scores; means are over seeds and queries. Columns depth,
    cross_encoder, base_cosine and perfect, and the cross-encoder's gain over depth 0 with its 95% interval, gain_low
    and gain_high. Each depth keeps all hits, so recall is the same.
    """
    deepest = max((int(run["rank"].max()) for run in runs if len(run)), default=0)
    depths = sorted({0, *(depth for depth in DEPTHS if depth < deepest), deepest})
    start = _stacked([measure_hits(judged, run, 0) for run in runs], "first_stage")
    systems = [name for name in ("cross_encoder", *opponents("reranked"), "perfect") if name != "first_stage"]
    rows = []
    for depth in depths:
        measured = [measure_hits(judged, run, depth) for run in runs]
        means = {name: float(_stacked(measured, name).mean()) for name in systems}
        gain = interval(_stacked(measured, "cross_encoder") - start, lowest=-1)
        rows.append({"depth": depth, **means, "gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high})
    return pd.DataFrame(rows)


def _stacked(measured: Sequence[Mapping[str, pd.DataFrame]], system: str) -> np.ndarray:
    """A system's nDCG@10, float [runs, queries]."""
    return np.stack([tables[system][MAIN] for tables in measured])


def smallest_depth(curve: pd.DataFrame) -> dict[str, float] | None:
    """The row of the smallest depth with a significant gain of at least MOST_OF_THE_GAIN of the best one, or None.

    A gain is significant if its interval lies above 0.
    """
    rows = curve[(curve["gain"] >= MOST_OF_THE_GAIN * curve["gain"].max()) & (curve["gain_low"] > 0)]
    if rows.empty:
        return None
    row = rows.iloc[0]
    return {name: float(row[name]) for name in ("depth", "gain", "gain_low", "gain_high")}

"""The cross-validation's scores, out of fold, beside the baselines': one table, its measures, its comparisons."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ranker.evaluation.baselines import SCORED, UNTRAINED, baseline_scores
from ranker.evaluation.reranking import (
    compare_hits,
    deciding_table,
    depth_curve,
    measure_hits,
    orders,
    smallest_depth,
)
from ranker.evaluation.significance import Table, compare, seed_spread
from ranker.evaluation.systems import Measured, measure_systems, withheld
from ranker.metrics.ranking import ranking_measures, relevant_queries
from ranker.project import paths, tables
from ranker.project.documents import read_some_fields
from ranker.project.params import Params
from ranker.splits.folds import unseen_by_training

# Trained once per fold, by train.seed; the cross-encoder also once per seed.
ONCE = ("bi_encoder", "tutorial", "head_only")


def read_scores(recipe: str, seed: int, folds: list[int]) -> pd.DataFrame:
    """query_id, document_id and score of the models of these folds."""
    return pd.concat(tables.read_table(paths.crossval_scores(recipe, seed, fold), tables.SCORES) for fold in folds)


def pool(params: Params) -> pd.DataFrame:
    """Every judged pair, once, with its fold, the scores of the systems of one seed, and whether training saw it."""
    queries = tables.read_judged_texts(paths.SPLIT_QUERIES)
    embedded = tables.read_embeddings(paths.EMBEDDED_QUERIES), tables.read_embeddings(paths.EMBEDDED_DOCUMENTS)
    run = tables.read_table(paths.SPLIT_PAIRS)
    run["unseen"] = unseen_by_training(run, tables.read_table(paths.MINED_PAIRS))
    fields = read_some_fields(run["document_id"])
    run = run.join(baseline_scores(run, queries, fields, embedded, params.first_stage.language))
    for recipe in ONCE:
        run = _with_scores(run, recipe, read_scores(recipe, params.train.seed, params.crossval.folds))
    return run


def hits_of(run: pd.DataFrame, params: Params) -> pd.DataFrame:
    """The first stage's hits of the queries of `run`, with the scores of the systems of one seed."""
    hits = tables.read_table(paths.HITS)
    hits = hits[hits["query_id"].isin(run["query_id"])].reset_index(drop=True)
    for recipe in ONCE:
        hits = _with_scores(hits, recipe, read_scores(recipe, params.train.seed, params.crossval.folds))
    return hits


def seed_runs(run: pd.DataFrame, params: Params) -> dict[int, pd.DataFrame]:
    """For each seed, the pairs or hits of `run` with the scores of its cross-encoders."""
    return {
        seed: _with_scores(run, "cross_encoder", read_scores("cross_encoder", seed, params.crossval.folds))
        for seed in params.crossval.seeds
    }


def _with_scores(run: pd.DataFrame, system: str, scores: pd.DataFrame) -> pd.DataFrame:
    run = run.merge(scores.rename(columns={"score": system}), how="left", validate="one_to_one")
    if missing := int(run[system].isna().sum()):  # a sort would put them last
        raise ValueError(f"expected a score of {system} for each pair, found {missing} without one")
    return run


def measure(run: pd.DataFrame, seeds: Mapping[int, pd.DataFrame]) -> tuple[Measured, dict[int, pd.DataFrame]]:
    """Measures per query of the systems that do not depend on the seed, and of the cross-encoder by seed."""
    by_seed = {seed: ranking_measures(rows, rows["cross_encoder"].to_numpy()) for seed, rows in seeds.items()}
    return measure_systems(run, (*SCORED, *ONCE)), by_seed


def compare_seeds(run: pd.DataFrame, seeds: Mapping[int, pd.DataFrame], seed: int) -> dict[str, Any]:
    """The comparison of all systems on these pairs: of each query, the cross-encoder's mean over seeds."""
    run = relevant_queries(run)
    counts: dict[str, Any] = {"queries": run["query_id"].nunique(), "pairs": len(run)}
    if run.empty:
        return counts
    fixed, by_seed = measure(run, {name: relevant_queries(rows) for name, rows in seeds.items()})
    systems: dict[str, Table] = {"cross_encoder": by_seed, **fixed.systems}
    compared = compare(systems, UNTRAINED, seed)
    compared["headline"] |= withheld(run)
    return counts | compared | {"left_out": fixed.left_out, "seeds": {"cross_encoder": seed_spread(by_seed)}}


@dataclass(frozen=True)
class Reranked:
    """What is served, out of fold."""

    comparison: dict[str, Any]
    measured: dict[str, pd.DataFrame]  # each system's measures per query
    curve: pd.DataFrame  # over depth
    judged: pd.DataFrame  # the pairs that it is measured by
    ordered: pd.DataFrame  # each system's order of the hits; the cross-encoder's of the first seed


def rerank_seeds(run: pd.DataFrame, seeds: Mapping[int, pd.DataFrame], params: Params) -> Reranked:
    """What stage evaluate measures of what is served; of the cross-encoder, the means over seeds.

    `run` are judged pairs of queries that have a relevant one, `seeds` the hits with scores by seed.
    """
    judged = run[run["judged"]].reset_index(drop=True)
    count = params.vespa.rerank_count
    hits = {
        seed: rows[rows["query_id"].isin(judged["query_id"])].reset_index(drop=True) for seed, rows in seeds.items()
    }
    by_seed = {seed: measure_hits(judged, rows, count) for seed, rows in hits.items()}
    fixed = next(iter(by_seed.values()))
    own = {seed: measured["cross_encoder"] for seed, measured in by_seed.items()}
    systems: dict[str, Table] = {name: table for name, table in fixed.items() if name != "perfect"}
    compared = compare_hits(systems | {"cross_encoder": own}, fixed["perfect"], params.split.seed)
    curve = depth_curve(judged, list(hits.values()))
    found = {"first_stage": params.first_stage.by, "count": count, **compared, "smallest_depth": smallest_depth(curve)}
    comparison = {"reranked": found, "decides": deciding_table(found)}
    ordered = orders(judged, next(iter(hits.values())), count)
    return Reranked(comparison, fixed | {"cross_encoder": mean_over_seeds(own)}, curve, judged, ordered)


def mean_over_seeds(by_seed: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """Of each query, the means of its measures."""
    return pd.concat(by_seed.values()).groupby("query_id", sort=False).mean().reset_index()


def long_run(run: pd.DataFrame, seeds: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """One row per system, seed and pair."""
    runs = [(None, run, (*SCORED, *ONCE)), *((seed, rows, ("cross_encoder",)) for seed, rows in seeds.items())]
    table = pd.concat(
        rows[["query_id", "document_id", "grade", "relevant"]].assign(system=system, seed=seed, score=rows[system])
        for seed, rows, systems in runs
        for system in systems
    )
    return table.astype({"seed": "Int64"})

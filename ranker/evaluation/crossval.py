"""The cross-validation's scores, out of fold, beside the baselines': one table, its measures, its comparisons."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ranker.evaluation.baselines import SCORED, UNTRAINED, baseline_scores
from ranker.evaluation.significance import Table, compare, seed_spread
from ranker.evaluation.systems import Measured, measure_systems, withheld
from ranker.metrics.ranking import ranking_measures, relevant_queries
from ranker.project import paths, tables
from ranker.project.params import Params
from ranker.splits.folds import unseen_by_training

ONCE = (
    "bi_encoder",
    "tutorial",
    "head_only",
)  # trained once per fold, by train.seed; the cross-encoder also once per seed


def read_scores(recipe: str, seed: int, folds: list[int]) -> pd.DataFrame:
    """query_id, document_id and score of the models of these folds."""
    return pd.concat(tables.read_table(paths.crossval_scores(recipe, seed, fold), tables.SCORES) for fold in folds)


def pool(params: Params) -> pd.DataFrame:
    """Every judged pair, once, with its fold, the scores of the systems of one seed, and whether training saw it."""
    texts = tables.read_judged_texts(paths.SPLIT_QUERIES), tables.read_judged_texts(paths.SPLIT_DOCUMENTS)
    embedded = tables.read_embeddings(paths.EMBEDDED_QUERIES), tables.read_embeddings(paths.EMBEDDED_DOCUMENTS)
    run = tables.read_table(paths.SPLIT_PAIRS)
    run["unseen"] = unseen_by_training(run, tables.read_table(paths.MINED_PAIRS))
    run = run.join(baseline_scores(run, texts, embedded))
    for recipe in ONCE:
        run = _with_scores(run, recipe, read_scores(recipe, params.train.seed, params.crossval.folds))
    return run


def seed_runs(run: pd.DataFrame, params: Params) -> dict[int, pd.DataFrame]:
    """For each seed, `run` with the scores of its cross-encoders."""
    return {
        seed: _with_scores(run, "cross_encoder", read_scores("cross_encoder", seed, params.crossval.folds))
        for seed in params.crossval.seeds
    }


def _with_scores(run: pd.DataFrame, system: str, scores: pd.DataFrame) -> pd.DataFrame:
    return run.merge(scores.rename(columns={"score": system}), validate="one_to_one")


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


def long_run(run: pd.DataFrame, seeds: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """One row per system, seed and pair."""
    runs = [(None, run, (*SCORED, *ONCE)), *((seed, rows, ("cross_encoder",)) for seed, rows in seeds.items())]
    table = pd.concat(
        rows[["query_id", "document_id", "grade", "relevant"]].assign(system=system, seed=seed, score=rows[system])
        for seed, rows, systems in runs
        for system in systems
    )
    return table.astype({"seed": "Int64"})

"""The cross-validation's scores, out of fold, beside the baselines': one table, its measures, its comparisons."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ranker.evaluation.baselines import BASELINES, baseline_scores
from ranker.evaluation.fusion import SYSTEMS as FUSED
from ranker.evaluation.fusion import fit_weights, fuse
from ranker.evaluation.significance import compare, differences, seed_means, seed_spread
from ranker.metrics.ranking import mean_measures, measure_systems, relevant_queries
from ranker.project import paths, tables
from ranker.project.params import Params
from ranker.splits.folds import held_out_pairs
from ranker.splits.leakage import unseen_pairs

TRAINED = ("ranker", "fusion")  # once per seed
FIXED = (*BASELINES, "head_only")


@dataclass(frozen=True)
class Measured:
    """Tables of measures per query: of every system, the mean over seeds, and by system and seed."""

    systems: dict[str, pd.DataFrame]
    by_seed: dict[str, dict[int, pd.DataFrame]]


def read_scores(recipe: str, seed: int, folds: list[int]) -> pd.DataFrame:
    """query_id, document_id and score of the models of these folds; `model` is the fold."""
    return pd.concat(
        tables.read_table(paths.crossval_scores(recipe, seed, fold), tables.SCORES).assign(model=fold) for fold in folds
    )


def pool(params: Params) -> pd.DataFrame:
    """Every judged pair, once, with its fold, the baselines' scores, and whether training saw it."""
    texts = tables.read_table(paths.QUERIES), tables.read_table(paths.DOCUMENTS)
    embedded = tables.read_embeddings(paths.EMBEDDED_QUERIES), tables.read_embeddings(paths.EMBEDDED_DOCUMENTS)
    pairs, folds = tables.read_table(paths.PAIRS), tables.read_table(paths.FOLDS)
    runs = []
    for fold in params.crossval.folds:
        training, run = held_out_pairs(pairs, folds, fold)
        scores = baseline_scores(run, training, texts, embedded, params.split.seed)
        runs.append(run.join(scores).assign(fold=fold, unseen=unseen_pairs(training, run, texts[1])))
    run = pd.concat(runs, ignore_index=True)
    head_only = read_scores("head_only", params.train.seed, params.crossval.folds)
    return run.merge(head_only.rename(columns={"score": "head_only"}).drop(columns="model"), validate="one_to_one")


def inner_run(run: pd.DataFrame, params: Params) -> pd.DataFrame:
    """What models scored that were trained without two folds; `model` is the first of these, `fold` the query's."""
    inner = read_scores("inner", params.train.seed, params.crossval.folds)
    return inner.rename(columns={"score": "ranker"}).merge(run, validate="many_to_one")


def next_fold(inner: pd.DataFrame, folds: int) -> pd.DataFrame:
    """The rows of `inner_run` by whose measures a choice may be made: no model's own held-out fold."""
    return inner[inner["fold"] == (inner["model"] + 1) % folds].reset_index(drop=True)


def fit_fusion(inner: pd.DataFrame, params: Params) -> dict[int, np.ndarray]:
    """Weights for each fold, fitted on the two folds beside it, scored by models that saw neither them nor it."""
    weights = {}
    folds = len(params.crossval.folds)
    for fold in params.crossval.folds:
        before = (inner["model"] == (fold - 1) % folds) & (inner["fold"] == (fold - 1) % folds)
        after = (inner["model"] == fold) & (inner["fold"] == (fold + 1) % folds)
        weights[fold] = fit_weights(inner[before | after].reset_index(drop=True))
    return weights


def seed_run(run: pd.DataFrame, seed: int, weights: dict[int, np.ndarray]) -> pd.DataFrame:
    """`run` with the scores of the models of one seed, and fused."""
    scores = read_scores("ranker", seed, list(weights)).rename(columns={"score": "ranker"})
    run = run.merge(scores.drop(columns="model"), validate="one_to_one")
    fused = []
    for fold, shares in weights.items():
        rows = run[run["fold"] == fold]
        fused.append(pd.Series(fuse(rows, shares), rows.index))
    return run.assign(fusion=pd.concat(fused))


def measure_all(run: pd.DataFrame, seeds: dict[int, pd.DataFrame]) -> Measured:
    """Measures of the systems that do not depend on the seed, and of those that do."""
    by_seed = {seed: measure_systems(rows, TRAINED) for seed, rows in seeds.items()}
    trained = {system: {seed: found[system] for seed, found in by_seed.items()} for system in TRAINED}
    means = {system: seed_means(found.values()) for system, found in trained.items()}
    return Measured(means | measure_systems(run, FIXED), trained)


def measure_unseen(run: pd.DataFrame, seeds: dict[int, pd.DataFrame]) -> dict[str, Any]:
    """Mean measures of the pairs whose document training had not seen, over the queries that have a relevant one."""
    kept = relevant_queries(run[run["unseen"]])
    counts = {"queries": kept["query_id"].nunique(), "pairs": len(kept)}
    if kept.empty:
        return counts
    unseen = {seed: relevant_queries(rows[rows["unseen"]]) for seed, rows in seeds.items()}
    measured = measure_all(kept, unseen)
    return counts | {system: mean_measures(table) for system, table in measured.systems.items()}


def long_run(run: pd.DataFrame, seeds: dict[int, pd.DataFrame]) -> pd.DataFrame:
    """One row per system, seed and pair."""
    runs = [(None, run, FIXED), *((seed, rows, TRAINED) for seed, rows in seeds.items())]
    table = pd.concat(
        rows[["query_id", "document_id", "grade", "label"]].assign(system=system, seed=seed, score=rows[system])
        for seed, rows, systems in runs
        for system in systems
    )
    return table.astype({"seed": "Int64"})


def report(measured: Measured, unseen: dict[str, Any], weights: dict[int, np.ndarray], seed: int) -> dict[str, Any]:
    """What crossval.json holds."""
    return compare(measured.systems, seed) | {
        "fusion_differences": differences(measured.systems, "fusion", seed),
        "fusion_weights": {
            str(fold): dict(zip(FUSED, map(float, shares), strict=True)) for fold, shares in weights.items()
        },
        "seeds": {name: seed_spread(by_seed) for name, by_seed in measured.by_seed.items()},
        "unseen_documents": unseen,
    }

"""Compare the out-of-fold scores of every system, with intervals, differences and verdicts.

python -m crossval.compare
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ranker import tables
from ranker.baselines import BASELINES, baseline_scores, with_candidates
from ranker.comparison import compare, differences, seed_means, seed_spread
from ranker.errors import run_stage
from ranker.files import write_csv, write_json
from ranker.folds import held_out_pairs
from ranker.fusion import SYSTEMS as FUSED
from ranker.fusion import fit_weights, fuse
from ranker.leakage import unseen_pairs
from ranker.measures import judged_share, mean_measures, measure_systems, per_query_table, relevant_queries
from ranker.params import Params, load_crossval_params

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
        tables.read_table(tables.crossval_scores(recipe, seed, fold), tables.SCORES).assign(model=fold)
        for fold in folds
    )


def pool(params: Params) -> pd.DataFrame:
    """Every judged pair and candidate, once, with its fold, the baselines' scores, and whether training saw it."""
    texts = tables.read_table(tables.QUERIES), tables.read_table(tables.DOCUMENTS)
    embedded = tables.read_embeddings(tables.EMBEDDED_QUERIES), tables.read_embeddings(tables.EMBEDDED_DOCUMENTS)
    pairs, folds = tables.read_table(tables.PAIRS), tables.read_table(tables.FOLDS)
    runs = []
    for fold in params.crossval.folds:
        training, held_out = held_out_pairs(pairs, folds, fold)
        run = with_candidates(held_out, texts, params.crossval.candidates)
        scores = baseline_scores(run, training, texts, embedded, params.split.seed)
        runs.append(run.join(scores).assign(fold=fold, unseen=unseen_pairs(training, run, texts[1])))
    run = pd.concat(runs, ignore_index=True)
    head_only = read_scores("head_only", params.crossval.seeds[0], params.crossval.folds)
    return run.merge(head_only.rename(columns={"score": "head_only"}).drop(columns="model"), validate="one_to_one")


def inner_run(run: pd.DataFrame, params: Params) -> pd.DataFrame:
    """What models scored that were trained without two folds; `model` is the first of these, `fold` the query's."""
    inner = read_scores("inner", params.crossval.seeds[0], params.crossval.folds)
    return inner.rename(columns={"score": "ranker"}).merge(run, validate="many_to_one")


def fit_fusion(inner: pd.DataFrame, params: Params) -> dict[int, np.ndarray]:
    """Weights for each fold, fitted on the two folds beside it, scored by models that saw neither them nor it."""
    weights, folds = {}, len(params.crossval.folds)
    for fold in params.crossval.folds:
        before = (inner["model"] == (fold - 1) % folds) & (inner["fold"] == (fold - 1) % folds)
        after = (inner["model"] == fold) & (inner["fold"] == (fold + 1) % folds)
        weights[fold] = fit_weights(inner[before | after].reset_index(drop=True), params.join.relevant_from)
    return weights


def seed_run(run: pd.DataFrame, seed: int, weights: dict[int, np.ndarray]) -> pd.DataFrame:
    """`run` with the scores of the models of one seed, and fused."""
    scores = read_scores("ranker", seed, list(weights)).rename(columns={"score": "ranker"})
    run = run.merge(scores.drop(columns="model"), validate="one_to_one")
    fused = [
        pd.Series(fuse(rows, weights[fold]), rows.index) for fold in weights for rows in [run[run["fold"] == fold]]
    ]
    return run.assign(fusion=pd.concat(fused))


def measure(run: pd.DataFrame, systems: tuple[str, ...], relevant_from: int) -> dict[str, pd.DataFrame]:
    """Measures of each system per query: of the judged pairs alone, and Judged@10 of all."""
    judged = measure_systems(run[run["judged"]].reset_index(drop=True), systems, relevant_from)
    return {system: table.merge(judged_share(run, run[system].to_numpy())) for system, table in judged.items()}


def measure_all(run: pd.DataFrame, seeds: dict[int, pd.DataFrame], relevant_from: int) -> Measured:
    """Measures of the systems that do not depend on the seed, and of those that do."""
    fixed = measure(run, FIXED, relevant_from)
    by_seed = {seed: measure(rows, TRAINED, relevant_from) for seed, rows in seeds.items()}
    trained = {system: {seed: found[system] for seed, found in by_seed.items()} for system in TRAINED}
    return Measured({name: seed_means(found.values()) for name, found in trained.items()} | fixed, trained)


def measure_unseen(run: pd.DataFrame, seeds: dict[int, pd.DataFrame], relevant_from: int) -> dict[str, Any]:
    """Mean measures of the pairs whose document training had not seen, over the queries that have a relevant one."""

    def unseen(rows: pd.DataFrame) -> pd.DataFrame:
        return relevant_queries(rows[rows["judged"] & rows["unseen"]])

    kept = unseen(run)
    counts = {"queries": kept["query_id"].nunique(), "pairs": len(kept)}
    if kept.empty:
        return counts
    by_seed = [measure_systems(unseen(rows), TRAINED, relevant_from) for rows in seeds.values()]
    trained = {system: seed_means(measured[system] for measured in by_seed) for system in TRAINED}
    systems = trained | measure_systems(kept, FIXED, relevant_from)
    return counts | {system: mean_measures(table) for system, table in systems.items()}


def long_run(run: pd.DataFrame, seeds: dict[int, pd.DataFrame]) -> pd.DataFrame:
    """One row per system, seed and pair."""
    runs = [(None, run, FIXED), *((seed, rows, TRAINED) for seed, rows in seeds.items())]
    table = pd.concat(
        rows[["query_id", "document_id", "grade"]].assign(
            system=system, seed=seed, score=rows[system], grade=rows["grade"].where(rows["judged"])
        )
        for seed, rows, systems in runs
        for system in systems
    )
    return table.astype({"seed": "Int64", "grade": "Int64"})


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


def print_table(result: dict[str, Any]) -> None:
    """Each system's measures with their intervals, and how the ranker stands to it at nDCG@10."""
    rows = {
        name: {measure: "{mean:.3f} ({low:.3f}-{high:.3f})".format(**found) for measure, found in measures.items()}
        for name, measures in result["systems"].items()
    }
    for name, found in result["differences"].items():
        rows[name]["ranker is, at nDCG@10"] = "{verdict} by {mean:+.3f}, p {p:.4f}".format(**found["nDCG@10"])
    print(pd.DataFrame(rows).T.to_string(na_rep=""))


def main() -> None:
    params = load_crossval_params()
    relevant_from, texts = params.join.relevant_from, tables.read_table(tables.QUERIES)
    run = pool(params)
    inner = inner_run(run, params)
    weights = fit_fusion(inner, params)
    seeds = {seed: seed_run(run, seed, weights) for seed in params.crossval.seeds}
    measured = measure_all(run, seeds, relevant_from)
    after = inner[inner["fold"] == (inner["model"] + 1) % len(params.crossval.folds)]
    unseen = measure_unseen(run, seeds, relevant_from)
    result = report(measured, unseen, weights, params.split.seed)
    means = {name: mean_measures(measured.systems[name]) for name in TRAINED}
    means["inner"] = mean_measures(measure(after.reset_index(drop=True), ("ranker",), relevant_from)["ranker"])
    tables.write_table(tables.CROSSVAL_RUN, long_run(run, seeds))
    write_csv(tables.CROSSVAL_PER_QUERY, per_query_table(run[run["judged"]], texts, measured.systems))
    write_json(tables.CROSSVAL, result)
    write_json(tables.CROSSVAL_MEASURES, means)
    print_table(result)


if __name__ == "__main__":
    run_stage("crossval", main)

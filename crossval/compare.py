"""Compare the out-of-fold scores of every system, with intervals, differences and verdicts.

python -m crossval.compare
"""

import pandas as pd

from ranker.common.errors import run_stage
from ranker.common.files import write_json
from ranker.contract.stacks import LISTS
from ranker.evaluation.baselines import baseline_scores, read_judged
from ranker.evaluation.compare import Runs, Served, evaluate, mean_over_seeds, undefined
from ranker.evaluation.last_release import by_query, compare_shipped
from ranker.evaluation.means import means_table, write_means
from ranker.evaluation.reranking import reranked_run
from ranker.evaluation.to_judge import write_list
from ranker.metrics.comparison import MoreJudgements
from ranker.metrics.ranking import per_query_table
from ranker.metrics.significance import seed_spread
from ranker.metrics.systems import BASELINES, ONCE, SEEDED
from ranker.project import paths, tables
from ranker.project.params import Params, load_crossval_params
from ranker.project.sides import unseen_by_training
from ranker.stacks.judgements import over_judgements
from ranker.stacks.shipped import shipped_stack
from ranker.stacks.table import stack_table


def read_scores(recipe: str, seed: int, folds: list[int]) -> pd.DataFrame:
    """query_id, document_id and score by these folds' models."""
    return pd.concat(tables.read_table(paths.crossval_scores(recipe, seed, fold), tables.SCORES) for fold in folds)


def pool(params: Params) -> pd.DataFrame:
    """Every judged pair, once, with its fold, `unseen`, and the scores of the systems trained once or not at all."""
    run = tables.read_table(paths.SPLIT_PAIRS)
    run["unseen"] = unseen_by_training(run, tables.read_table(paths.MINED_PAIRS))
    return with_recipes(run.join(baseline_scores(run, read_judged(run, params.first_stage.language))), params)


def hits_of(run: pd.DataFrame, seed: int, params: Params) -> pd.DataFrame:
    """The hits of `run`'s queries by the retrievers of this seed, with the scores of the systems trained once."""
    folds = params.crossval.folds
    hits = pd.concat(tables.read_table(paths.crossval_scores("retriever", seed, fold), tables.HIT) for fold in folds)
    ranked = hits[[f"{name}_rank" for name in LISTS]].notna().any(axis=1)
    hits = hits[ranked & hits["query_id"].isin(run["query_id"])].reset_index(drop=True)
    hits = with_scores(hits, "cross_encoder", read_scores("cross_encoder", seed, folds))
    for recipe in ONCE:  # they have scored what the untrained lists found
        scores = read_scores(recipe, params.train.seed, folds)
        hits = hits.merge(scores.rename(columns={"score": recipe}), how="left", validate="one_to_one")
    return hits


def judgements(served: Served, params: Params, hits: pd.DataFrame, queries: int) -> MoreJudgements | None:
    """The curve over judgements of the dense and hybrid stacks; `hits` are those of all training queries."""
    folds, runs = params.crossval.folds, {1.0: hits}
    for share in params.crossval.shares:
        files = [paths.crossval_fewer(share, fold) for fold in folds]
        runs[share] = pd.concat(tables.read_table(file, tables.SCHEMAS[paths.SCORED_HITS]) for file in files)
    known = served.judged["query_id"]
    runs = {share: rows[rows["query_id"].isin(known)].reset_index(drop=True) for share, rows in runs.items()}
    stacks = [each.stack for each in served.stacks if each.name in ("dense", "hybrid", "hybrid+fused")]
    return over_judgements(served.judged, runs, stacks, queries * (1 - 1 / len(folds)))


def with_recipes(run: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Add the scores of the recipes that are trained once to judged pairs."""
    for recipe in ONCE:
        run = with_scores(run, recipe, read_scores(recipe, params.train.seed, params.crossval.folds))
    return run


def seed_runs(run: pd.DataFrame, params: Params) -> dict[int, pd.DataFrame]:
    """For each seed, the judged pairs with the scores of its cross-encoders and retrievers."""
    found, folds = {}, params.crossval.folds
    for seed in params.crossval.seeds:
        files = [paths.crossval_scores("retriever", seed, fold) for fold in folds]
        cosines = pd.concat(tables.read_table(file, tables.HIT)[[*tables.IDS, "retriever"]] for file in files)
        scored = with_scores(run, "cross_encoder", read_scores("cross_encoder", seed, folds))
        found[seed] = with_scores(scored, "retriever", cosines)
    return found


def with_scores(run: pd.DataFrame, system: str, scores: pd.DataFrame) -> pd.DataFrame:
    """Add a column of a system's scores to pairs or hits; ValueError if a score is missing."""
    run = run.merge(scores.rename(columns={"score": system}), how="left", validate="one_to_one")
    if missing := int(run[system].isna().sum()):  # sorting would rank them last
        raise ValueError(f"expected a score of {system} for each pair, found {missing} without one")
    return run


def long_run(seeds: Runs) -> pd.DataFrame:
    """One row per system, seed and pair; the seed is missing for systems that do not depend on it."""
    first = next(iter(seeds.values()))
    runs: list[tuple[str, int | None, pd.DataFrame]] = [(system, None, first) for system in (*BASELINES, *ONCE)]
    for seed, rows in seeds.items():
        runs += [(system, seed, rows) for system in SEEDED]
    table = pd.concat(
        rows[["query_id", "document_id", "grade", "relevant"]].assign(system=system, seed=seed, score=rows[system])
        for system, seed, rows in runs
    )
    return table.astype({"seed": "Int64"})


def main() -> None:
    params = load_crossval_params()
    run = pool(params)
    seeds = seed_runs(run, params)
    hits = {seed: hits_of(run, seed, params) for seed in params.crossval.seeds}
    folds = dict(zip(run["query_id"], run["fold"], strict=True))
    found = evaluate(seeds, hits, params, folds)
    queries, means, served = tables.read_texts(paths.SPLIT_QUERIES), found.measures.means, found.served
    assert served is not None  # the folds are by query
    shipped, served = compare_shipped(served, params, paths.CROSSVAL_CHANGED)
    tables.write_table(paths.CROSSVAL_RUN, long_run(seeds))
    strongest = found.comparison["headline"]["strongest"]
    tables.write_csv(paths.CROSSVAL_PER_QUERY, per_query_table(found.judged, queries, means, strongest))

    strongest = served.comparison["headline"]["strongest"]
    per_query = per_query_table(served.judged, queries, served.means, strongest)
    tables.write_csv(paths.CROSSVAL_RERANKED_PER_QUERY, per_query)
    tables.write_csv(paths.CROSSVAL_DEPTH_CURVE, served.curve)
    tables.write_run(paths.CROSSVAL_RERANKED_RUN, reranked_run(served.judged, served.ordered))
    scored, scale = (served.judged, served.ordered, served.firsts), params.join.grades
    found.comparison["decides"]["rows"] = write_list(paths.CROSSVAL_TO_JUDGE, *scored, strongest, scale)

    table = stack_table(served.stacks, shipped_stack(params).name, params.split.seed)
    # `fewer` trains with the params' seeds, and so must the last point of its curve.
    whole = hits.get(params.train.seed, next(iter(hits.values())))
    if more := judgements(served, params, whole, run["query_id"].nunique()):
        table["judgements"] = more
    found.comparison["stacks"] = table
    tables.write_table(paths.CROSSVAL_BY_QUERY, by_query(served.stacks))
    spread = {name: seed_spread(found.measures.tables[name]) for name in SEEDED}
    counts = {**undefined(run, found.judged, found.measures), "pairs": len(found.judged)}
    write_json(paths.CROSSVAL, {**counts, **found.comparison, **shipped, "seeds": spread})
    write_means(paths.CROSSVAL_RERANKED_METRICS, served.means)
    write_means(paths.CROSSVAL_STACK_METRICS, {each.name: mean_over_seeds(each.tables) for each in served.stacks})
    write_means(paths.CROSSVAL_METRICS, means)
    print("crossval: stacks")
    print(means_table({each.name: mean_over_seeds(each.tables) for each in served.stacks}))
    print("crossval: judged documents only")
    print(means_table(means))


if __name__ == "__main__":
    run_stage("crossval", main)

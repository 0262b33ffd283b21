"""Compare the out-of-fold scores of every system, with intervals, differences and verdicts.

python -m crossval.compare
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ranker.common.errors import run_stage
from ranker.common.files import atomic, write_json
from ranker.evaluation.crossval import (
    compare_seeds,
    hits_of,
    long_run,
    mean_over_seeds,
    measure,
    pool,
    rerank_seeds,
    seed_runs,
)
from ranker.evaluation.reranking import compared_systems, reranked_run
from ranker.evaluation.systems import undefined
from ranker.evaluation.to_judge import write_list
from ranker.metrics.ranking import mean_measures, per_query_table, relevant_queries
from ranker.project import paths, tables
from ranker.project.params import load_crossval_params


def write_means(folder: Path, measured: Mapping[str, pd.DataFrame]) -> None:
    """One flat file of metrics for each system, and all of them to the screen."""
    rows = {system: mean_measures(table) for system, table in measured.items()}
    with atomic(folder) as partial:
        partial.mkdir()
        for system, means in rows.items():
            write_json(partial / f"{system}.json", means)
    print(pd.DataFrame(rows).T.to_string(float_format="{:.3f}".format))


def main() -> None:
    params = load_crossval_params()
    seed = params.split.seed
    run = pool(params)
    seeds = seed_runs(run, params)
    unseen = {name: rows[rows["unseen"]] for name, rows in seeds.items()}
    compared = compare_seeds(run, seeds, seed)
    compared["unseen_documents"] = compare_seeds(run[run["unseen"]], unseen, seed)
    judged, queries = relevant_queries(run), tables.read_judged_texts(paths.SPLIT_QUERIES)
    fixed, by_seed = measure(judged, {name: relevant_queries(rows) for name, rows in seeds.items()})
    measured = {"cross_encoder": mean_over_seeds(by_seed)} | fixed.systems
    compared |= undefined(run, judged, fixed)
    reranked = rerank_seeds(judged, seed_runs(hits_of(run, params), params), params)
    compared |= reranked.comparison
    per_query = per_query_table(judged, queries, measured, compared["headline"]["strongest"])
    tables.write_csv(paths.CROSSVAL_PER_QUERY, per_query)
    strongest = compared["reranked"]["headline"]["strongest"]
    per_query = per_query_table(judged, queries, reranked.measured, strongest)
    tables.write_csv(paths.CROSSVAL_RERANKED_PER_QUERY, per_query)
    tables.write_csv(paths.CROSSVAL_DEPTH_CURVE, reranked.curve)
    tables.write_run(paths.CROSSVAL_RERANKED_RUN, reranked_run(reranked.judged, reranked.ordered))
    write_list(
        paths.CROSSVAL_TO_JUDGE, reranked.judged, reranked.ordered, compared_systems(strongest), params.join.grades
    )
    tables.write_table(paths.CROSSVAL_RUN, long_run(run, seeds))
    write_json(paths.CROSSVAL, compared)
    print(f"crossval: the best {params.vespa.rerank_count} hits by {params.first_stage.by}, reordered")
    write_means(paths.CROSSVAL_RERANKED_METRICS, reranked.measured)
    print("crossval: judged pairs among themselves")
    write_means(paths.CROSSVAL_METRICS, measured)


if __name__ == "__main__":
    run_stage("crossval", main)

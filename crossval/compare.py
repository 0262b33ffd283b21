"""Compare the out-of-fold scores of every system, with intervals, differences and verdicts.

python -m crossval.compare
"""

import pandas as pd

from ranker.common.errors import InputError, run_stage
from ranker.common.files import atomic, write_json
from ranker.evaluation.crossval import compare_seeds, long_run, measure, pool, seed_runs
from ranker.evaluation.systems import undefined_and_tied
from ranker.metrics.ranking import mean_measures, per_query_table, relevant_queries
from ranker.project import paths, tables
from ranker.project.params import Params, load_crossval_params


def check_mined(params: Params) -> None:
    """InputError where what is held out here has had a say in the negatives that others were trained on."""
    if params.first_stage.by == "bi_encoder" and len(tables.read_table(paths.MINED_PAIRS)):
        raise InputError(
            "first_stage.by: expected a first stage that no judgement has touched, because negatives were mined from "
            "its hits, found bi_encoder, which was trained on all folds but split.held_out"
        )


def main() -> None:
    params = load_crossval_params()
    check_mined(params)
    seed = params.split.seed
    run = pool(params)
    seeds = seed_runs(run, params)
    unseen = {name: rows[rows["unseen"]] for name, rows in seeds.items()}
    compared = compare_seeds(run, seeds, seed)
    compared["unseen_documents"] = compare_seeds(run[run["unseen"]], unseen, seed)
    fixed, by_seed = measure(relevant_queries(run), {name: relevant_queries(rows) for name, rows in seeds.items()})
    means = pd.concat(by_seed.values()).groupby("query_id", sort=False).mean().reset_index()
    measured = {"cross_encoder": means} | fixed.systems
    compared |= undefined_and_tied(run, relevant_queries(run), fixed)
    with atomic(paths.CROSSVAL_METRICS) as partial:
        partial.mkdir()
        for system, table in measured.items():
            write_json(partial / f"{system}.json", mean_measures(table))
    strongest = compared["headline"]["strongest"]
    per_query = per_query_table(
        relevant_queries(run), tables.read_judged_texts(paths.SPLIT_QUERIES), measured, strongest
    )
    tables.write_csv(paths.CROSSVAL_PER_QUERY, per_query)
    tables.write_table(paths.CROSSVAL_RUN, long_run(run, seeds))
    write_json(paths.CROSSVAL, compared)
    rows = {system: mean_measures(table) for system, table in measured.items()}
    print(pd.DataFrame(rows).T.to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    run_stage("crossval", main)

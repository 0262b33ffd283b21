"""Compare the out-of-fold scores of every system, with intervals, differences and verdicts.

python -m crossval.compare
"""

from typing import Any

import pandas as pd

from ranker.common.errors import run_stage
from ranker.common.files import write_json
from ranker.evaluation.crossval import (
    TRAINED,
    fit_fusion,
    inner_run,
    long_run,
    measure_all,
    measure_unseen,
    next_fold,
    pool,
    report,
    seed_run,
)
from ranker.metrics.ranking import mean_measures, measure_systems, per_query_table
from ranker.project import paths, tables
from ranker.project.params import load_crossval_params


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
    run = pool(params)
    inner = inner_run(run, params)
    weights = fit_fusion(inner, params)
    seeds = {seed: seed_run(run, seed, weights) for seed in params.crossval.seeds}
    measured = measure_all(run, seeds)
    result = report(measured, measure_unseen(run, seeds), weights, params.split.seed)
    means = {name: mean_measures(measured.systems[name]) for name in TRAINED}
    chosen_by = measure_systems(next_fold(inner, len(params.crossval.folds)), ("ranker",))
    means["inner"] = mean_measures(chosen_by["ranker"])
    tables.write_table(paths.CROSSVAL_RUN, long_run(run, seeds))
    tables.write_csv(paths.CROSSVAL_PER_QUERY, per_query_table(run, tables.read_table(paths.QUERIES), measured.systems))
    write_json(paths.CROSSVAL, result)
    write_json(paths.CROSSVAL_MEASURES, means)
    print_table(result)


if __name__ == "__main__":
    run_stage("crossval", main)

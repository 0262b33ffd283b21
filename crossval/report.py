"""Write the cross-validation's page: models rank only queries that they were not trained on.

python -m crossval.report
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from ranker.common.errors import run_stage
from ranker.common.files import read_json, sha256
from ranker.metrics.classification import precision_recall, reliability_curve, roc
from ranker.metrics.systems import BASELINES
from ranker.project import paths, tables
from ranker.project.params import Params, load_crossval_params
from ranker.project.sides import collection
from ranker.report.files import new_version, read_outcome, read_results, write_page
from ranker.report.outcome import verdict_lines
from ranker.report.page import render
from ranker.report.stacks import with_costs
from ranker.stacks.costs import read_costs

DATA = (paths.SPLIT_PAIRS, paths.SPLIT_QUERIES, paths.SPLIT_DOCUMENTS)


def wide(run: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One row per judged pair, with a column of scores for each system; trained systems have those of `seed`."""
    run = run[run["seed"].isna() | (run["seed"] == seed)]
    pairs = ["query_id", "document_id", "grade", "relevant"]
    return run.pivot(index=pairs, columns="system", values="score").reset_index()


def curves(run: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The curves over the pairs of all queries together."""
    systems = ("cross_encoder", *BASELINES)
    return {
        "reliability": reliability_curve(run["relevant"].to_numpy(), run["cross_encoder"].to_numpy()),
        "roc": roc(run, systems),
        "precision_recall": precision_recall(run, systems),
    }


def counted(count: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "seed"), counted(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{count} {what}{'s' * (count > 1)}"


def note(params: Params) -> str:
    """The scope of the figures."""
    seeds = params.crossval.seeds
    several = f"{counted(len(seeds), 'seed')} ({', '.join(map(str, seeds))})"
    return (
        f"Models trained without a query's fold rank it ({params.split.folds} folds), with scores and milliseconds of "
        f"fp32. The cross-encoder's and the retriever's figures are means over {several}, and their 95% intervals "
        "cover queries and seeds; other systems are trained once or not at all. The curves and rankings are "
        f"those of seed {seeds[0]}. A random order is given by its expectation."
    )


def digests(*files: Path) -> dict[str, str]:
    """Hex SHA-256 of each file."""
    return {file.as_posix(): sha256(file) for file in files}


def main() -> None:
    params = load_crossval_params()
    seeds = params.crossval.seeds
    run = wide(tables.read_table(paths.CROSSVAL_RUN), seeds[0])
    data, figures = digests(*DATA), digests(paths.CROSSVAL_RUN, paths.CROSSVAL)
    outcome = read_outcome(
        params,
        *(paths.CROSSVAL, paths.CROSSVAL_PER_QUERY, paths.CROSSVAL_RERANKED_PER_QUERY),
        scope=f"over {params.split.folds} folds and {counted(len(seeds), 'seed')}",
        crossval=True,
        now=new_version(params, collection(tables.read_table(paths.SPLIT_PAIRS)), data),
        to_judge=paths.CROSSVAL_TO_JUDGE,
    )
    results = read_results(
        outcome,
        *(run, paths.CROSSVAL_RERANKED_RUN, paths.CROSSVAL_DEPTH_CURVE),
        note=note(params),
        documents=tables.read_texts(paths.SPLIT_DOCUMENTS, paths.HIT_DOCUMENTS),
        curves=curves(run),
        counts={f"join: {group}": values for group, values in read_json(paths.JOIN_COUNTS).items()},
        params=params.model_dump(exclude={"evaluate", "export", "vespa"}),
        digests=data | figures,
        changed=tables.read_table(paths.CROSSVAL_CHANGED),
    )
    costs = read_costs(params, "fp32", "fp32")  # as the folds' models score
    if results.stacks:
        results = replace(results, comparison={**results.comparison, "stacks": with_costs(results.stacks, costs)})
    write_page(paths.CROSSVAL_REPORT, render(results))
    for line in (*verdict_lines(outcome), paths.CROSSVAL_REPORT):
        print(f"crossval: {line}")


if __name__ == "__main__":
    run_stage("crossval", main)

"""Write the page of the cross-validation, where every query is ranked by a model that has not seen it.

python -m crossval.report
"""

import json

import pandas as pd

from ranker.common.errors import run_stage
from ranker.common.files import atomic, sha256
from ranker.metrics.classification import precision_recall, reliability_curve, roc
from ranker.project import paths, tables
from ranker.project.params import load_crossval_params
from ranker.report.page import Results, render, unseen_counts
from ranker.report.plots import LABELS


def wide(run: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One row per judged pair, and a column of scores for each system; of those trained, of one seed."""
    run = run[run["seed"].isna() | (run["seed"] == seed)]
    return run.pivot(
        index=["query_id", "document_id", "grade", "label"], columns="system", values="score"
    ).reset_index()


def curves(run: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Over all pairs, whatever their query.

    Two systems are left out: fused scores are on a scale of their own for every query, and the topic prior is of one
    value a fold, high where the fold's own share is low.
    """
    systems = [name for name in LABELS if name in run and name not in ("fusion", "topic_prior")]
    return {
        "reliability": reliability_curve(run["label"].to_numpy(), run["ranker"].to_numpy()),
        "roc": roc(run, systems),
        "precision_recall": precision_recall(run, systems),
    }


def main() -> None:
    params = load_crossval_params()
    seeds = params.crossval.seeds
    run = wide(tables.read_table(paths.CROSSVAL_RUN), seeds[0])
    comparison = json.loads(paths.CROSSVAL.read_text(encoding="utf-8"))
    results = Results(
        title="Cross-validation",
        note=f"Every query is ranked by a model that was trained without its fold ({params.split.folds} folds). The "
        f"tables are means over {len(seeds)} seeds ({', '.join(map(str, seeds))}) with intervals of 95% by bootstrap "
        f"over queries; the curves and rankings are those of seed {seeds[0]}.",
        comparison=comparison,
        per_query=pd.read_csv(paths.CROSSVAL_PER_QUERY, dtype={"query_id": str, "query": str}, keep_default_na=False),
        run=run,
        documents=tables.read_table(paths.DOCUMENTS),
        curves=curves(run),
        counts={
            f"join: {group}": values
            for group, values in json.loads(paths.JOIN_COUNTS.read_text(encoding="utf-8")).items()
        }
        | {"unseen documents": unseen_counts(comparison["unseen_documents"])}
        | {f"fusion weights, fold {fold}": weights for fold, weights in comparison["fusion_weights"].items()},
        params=params.model_dump(exclude={"export", "vespa"}),
        digests={
            path.as_posix(): sha256(path)
            for path in (paths.RAW_LABELLED_DATA, paths.RAW_JUDGEMENTS, paths.CROSSVAL_RUN, paths.CROSSVAL)
        },
    )
    with atomic(paths.CROSSVAL_REPORT) as partial:
        partial.write_text(render(results), encoding="utf-8", newline="\n")
    print(f"crossval: {paths.CROSSVAL_REPORT}")


if __name__ == "__main__":
    run_stage("crossval", main)

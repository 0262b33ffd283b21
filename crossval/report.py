"""Write the page of the cross-validation, where every query is ranked by a model that has not seen it.

python -m crossval.report
"""

import json

import pandas as pd

from ranker import tables
from ranker.errors import run_stage
from ranker.files import atomic, sha256
from ranker.measures import precision_recall, reliability_curve, roc
from ranker.params import load_crossval_params
from ranker.plots import LABELS
from ranker.report import Results, render, unseen_counts


def wide(run: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One row per judged pair, and a column of scores for each system; of those trained, of one seed."""
    run = run[run["grade"].notna() & (run["seed"].isna() | (run["seed"] == seed))]
    pairs = run.pivot(index=["query_id", "document_id", "grade"], columns="system", values="score")
    return pairs.reset_index().astype({"grade": int})


def curves(run: pd.DataFrame, relevant_from: int) -> dict[str, pd.DataFrame]:
    """Over all pairs, whatever their query.

    Two systems are left out: fused scores are on a scale of their own for every query, and the topic prior is of one
    value a fold, high where the fold's own share is low.
    """
    run = run.assign(label=(run["grade"] >= relevant_from).astype(int))
    systems = [name for name in LABELS if name in run and name not in ("fusion", "topic_prior")]
    return {
        "reliability": reliability_curve(run["label"].to_numpy(), run["ranker"].to_numpy()),
        "roc": roc(run, systems),
        "precision_recall": precision_recall(run, systems),
    }


def main() -> None:
    params = load_crossval_params()
    seeds = params.crossval.seeds
    run = wide(tables.read_table(tables.CROSSVAL_RUN), seeds[0])
    comparison = json.loads(tables.CROSSVAL.read_text(encoding="utf-8"))
    results = Results(
        title="Cross-validation",
        note=f"Every query is ranked by a model that was trained without its fold ({params.split.folds} folds). The "
        f"tables are means over {len(seeds)} seeds ({', '.join(map(str, seeds))}) with intervals of 95% by bootstrap "
        f"over queries; the curves and rankings are those of seed {seeds[0]}.",
        comparison=comparison,
        per_query=pd.read_csv(tables.CROSSVAL_PER_QUERY, dtype={"query_id": str, "query": str}, keep_default_na=False),
        run=run,
        documents=tables.read_table(tables.DOCUMENTS),
        curves=curves(run, params.join.relevant_from),
        counts={
            f"join: {group}": values
            for group, values in json.loads(tables.JOIN_COUNTS.read_text(encoding="utf-8")).items()
        }
        | {"unseen documents": unseen_counts(comparison["unseen_documents"])}
        | {f"fusion weights, fold {fold}": weights for fold, weights in comparison["fusion_weights"].items()},
        params=params.model_dump(exclude={"export", "vespa"}),
        digests={
            path.as_posix(): sha256(path)
            for path in (tables.RAW_LABELLED_DATA, tables.RAW_JUDGEMENTS, tables.CROSSVAL_RUN, tables.CROSSVAL)
        },
    )
    with atomic(tables.CROSSVAL_REPORT) as partial:
        partial.write_text(render(results), encoding="utf-8", newline="\n")
    print(f"crossval: {tables.CROSSVAL_REPORT}")


if __name__ == "__main__":
    run_stage("crossval", main)

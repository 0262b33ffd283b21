"""Assign queries to folds, stratified by the share of relevant pairs, and audit what the held-out side leaks.

python -m stages.split
"""

import pandas as pd

from ranker.common.errors import run_stage
from ranker.common.files import write_json
from ranker.project import paths, tables
from ranker.project.params import load_params
from ranker.splits.folds import assign_folds, fold_shares, held_out_pairs
from ranker.splits.leakage import audit, check_queries


def side_counts(side: pd.DataFrame) -> dict[str, int]:
    return {"queries": side["query_id"].nunique(), "pairs": len(side)}


def main() -> None:
    params = load_params().split
    pairs, queries, documents = (tables.read_table(path) for path in (paths.PAIRS, paths.QUERIES, paths.DOCUMENTS))
    folds = assign_folds(pairs, queries, params.folds, params.seed, params.by)
    if params.by == "query":
        for fold in range(params.folds):
            check_queries(folds[folds["fold"] != fold], folds[folds["fold"] == fold], queries)
    training, held_out = held_out_pairs(pairs, folds, params.held_out)
    leakage = audit(training, held_out, documents)
    shares = fold_shares(pairs, folds)
    tables.write_table(paths.FOLDS, folds)
    counts = {
        "training": side_counts(training),
        "held_out": side_counts(held_out),
        "relevant_share": {
            "lowest_fold": float(shares["relevant_share"].min()),
            "highest_fold": float(shares["relevant_share"].max()),
        },
        "leakage": leakage,
    }
    write_json(paths.SPLIT_COUNTS, counts)
    print(shares.to_string(index=False, float_format="{:.3f}".format))
    for name, share in leakage.items():
        print(f"split: held out: {name.replace('_', ' ')}: {share:.1%}")


if __name__ == "__main__":
    run_stage("split", main)

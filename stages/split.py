"""Assign each query to a fold, stratified by the share of relevant pairs.

python -m stages.split
"""

import pandas as pd

from ranker import tables
from ranker.errors import run_stage
from ranker.files import write_json
from ranker.folds import assign_folds, fold_shares, held_out_pairs
from ranker.params import load_params


def split_counts(shares: pd.DataFrame, held_out: int) -> dict[str, dict[str, float]]:
    """The sizes of both sides, and how far folds are from alike."""
    held = shares["fold"] == held_out
    return {
        "training": {"queries": int(shares["queries"][~held].sum()), "pairs": int(shares["pairs"][~held].sum())},
        "held_out": {"queries": int(shares["queries"][held].sum()), "pairs": int(shares["pairs"][held].sum())},
        "relevant_share": {
            "lowest_fold": float(shares["relevant_share"].min()),
            "highest_fold": float(shares["relevant_share"].max()),
        },
    }


def main() -> None:
    params = load_params().split
    pairs = tables.read_table(tables.PAIRS)
    folds = assign_folds(pairs, params.folds, params.seed)
    held_out_pairs(pairs, folds, params.held_out)  # refuse here what training could not use
    shares = fold_shares(pairs, folds)
    tables.write_table(tables.FOLDS, folds)
    write_json(tables.SPLIT_COUNTS, split_counts(shares, params.held_out))
    print(shares.to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    run_stage("split", main)

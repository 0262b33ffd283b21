"""Folds over queries: a query's pairs are all in training or all held out, never on both sides."""

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from ranker.errors import InputError


def assign_folds(pairs: pd.DataFrame, folds: int, seed: int) -> pd.DataFrame:
    """Assign each query to a fold so that folds carry like shares of pairs and of relevant pairs.

    `pairs` has query_id and label. Returns query_id and fold (int8), in the order of `pairs`. InputError if there are
    fewer queries, relevant pairs or other pairs than folds.
    """
    for count, what in (
        (pairs["query_id"].nunique(), "queries"),
        (int((pairs["label"] == 1).sum()), "relevant pairs"),
        (int((pairs["label"] == 0).sum()), "other pairs"),
    ):
        if count < folds:
            raise InputError(f"split.folds: expected at most {count}, the number of {what}, found {folds}")
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    fold = np.zeros(len(pairs), dtype=np.int8)
    labels, groups = pairs["label"].to_numpy(), pairs["query_id"].to_numpy()
    for number, (_, held_out) in enumerate(splitter.split(labels, labels, groups)):
        fold[held_out] = number
    assigned = pd.DataFrame({"query_id": groups, "fold": fold}).drop_duplicates("query_id", ignore_index=True)
    if missing := set(range(folds)) - set(assigned["fold"]):
        raise InputError(f"split.folds: expected queries in each of {folds} folds, found none in fold {min(missing)}")
    return assigned


def fold_shares(pairs: pd.DataFrame, assigned: pd.DataFrame) -> pd.DataFrame:
    """One row per fold: fold, queries, pairs and the share of relevant pairs."""
    by_fold = pairs.merge(assigned).groupby("fold")
    return by_fold.agg(
        queries=("query_id", "nunique"), pairs=("label", "size"), relevant_share=("label", "mean")
    ).reset_index()


def held_out_pairs(pairs: pd.DataFrame, assigned: pd.DataFrame, held_out: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split pairs into training and held-out ones; InputError where either side lacks relevant or other pairs."""
    queries = set(assigned.loc[assigned["fold"] == held_out, "query_id"])
    mask = pairs["query_id"].isin(queries)
    training, held = pairs[~mask].reset_index(drop=True), pairs[mask].reset_index(drop=True)
    for name, side in (("training", training), ("held-out", held)):
        if side["label"].nunique() < 2:
            raise InputError(
                f"split.held_out {held_out}: expected relevant and other pairs on the {name} side, "
                f"found {int(side['label'].sum())} relevant among {len(side)}"
            )
    return training, held

"""Folds by query, which stay when data are added, or by pair, which leak as the tutorial's split did."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

from ranker.common.errors import InputError
from ranker.project.sides import NAMED


def query_folds(queries: Sequence[np.ndarray], folds: int, seed: int) -> np.ndarray:
    """The fold of each query, int8 [queries]; `queries` has the token ids of each.

    It is a hash of the seed and the query's tokens. So added data do not move existing queries, queries with equal
    tokens share a fold, and folds differ in size.
    """
    return np.array([_hash([seed, *tokens.tolist()]) % folds for tokens in queries], dtype=np.int8)


def _hash(numbers: list[int]) -> int:
    return int.from_bytes(hashlib.sha256(" ".join(map(str, numbers)).encode()).digest()[:8])


def named_folds(queries: pd.DataFrame, splits: pd.DataFrame, name: str) -> "pd.Series[int]":
    """NAMED for the queries that the split `name` judges, 0 for the others: by query_id.

    `queries` has query_id and tokens (bytes), `splits` query_id and qrels_split. A query of several splits is held out
    with all its pairs. Another query with the same tokens as a held-out one is on neither side, and absent. InputError
    if the split does not exist.
    """
    found = sorted(splits["qrels_split"].unique())
    if name not in found:
        has = ", ".join(found) or "the judgements have none"
        raise InputError(f"split.held_out: expected a fold, none or a split's name ({has}), found {name}")
    held_out = queries["query_id"].isin(splits.loc[splits["qrels_split"] == name, "query_id"])
    alike = queries["tokens"].isin(queries.loc[held_out, "tokens"]) & ~held_out
    folds = pd.Series(held_out.to_numpy(np.int8) * NAMED, index=queries["query_id"], dtype="int8")
    return folds[~alike.to_numpy()]


def assign_folds(
    pairs: pd.DataFrame, by_query: "pd.Series[int]", folds: int, seed: int, by: Literal["query", "pair"]
) -> np.ndarray:
    """The fold of each pair, int8: that of its query, or drawn pair by pair, as in the tutorial's random split.

    `pairs` has query_id and relevant (bool). InputError if a fold gets no pairs.
    """
    if by == "query":
        assigned = pairs["query_id"].map(by_query).to_numpy(np.int8)
        if missing := set(range(folds)) - set(assigned.tolist()):
            raise InputError(
                f"split.folds: expected queries in each of {folds} folds, found none of {len(by_query)} in fold "
                f"{min(missing)}: ask for fewer folds or another split.seed"
            )
        return assigned
    counts = pairs["relevant"].value_counts()
    if len(counts) < 2 or counts.min() < folds:
        found = f"{counts.get(True, 0)} relevant and {counts.get(False, 0)} other pairs"
        raise InputError(f"split.folds: expected at least {folds} pairs of both kinds, found {found}")
    assigned = np.zeros(len(pairs), dtype=np.int8)
    relevant = pairs["relevant"].to_numpy()
    sides = StratifiedKFold(folds, shuffle=True, random_state=seed).split(relevant, relevant)
    for fold, (_, held_out) in enumerate(sides):
        assigned[held_out] = fold
    return assigned


def fold_shares(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row per fold: fold, queries, pairs and the share of relevant pairs."""
    by_fold = pairs.groupby("fold")
    return by_fold.agg(
        queries=("query_id", "nunique"), pairs=("relevant", "size"), relevant_share=("relevant", "mean")
    ).reset_index()

"""Folds: each pair is in one, and so is each query unless the split is asked to leak as the tutorial's did."""

from typing import Literal

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from ranker.common.errors import InputError


def assign_folds(
    pairs: pd.DataFrame, queries: pd.DataFrame, folds: int, seed: int, by: Literal["query", "pair"]
) -> pd.DataFrame:
    """Assign each pair to a fold so that folds carry like shares of pairs and of relevant pairs.

    By `query`, the pairs of a query, and of all queries that read the same, share a fold; by `pair`, each pair is drawn
    by itself, as in the tutorial's random split. `pairs` has query_id, document_id and relevant (bool), `queries` has
    query_id and query. Returns query_id, document_id and fold (int8), in the order of `pairs`. InputError if there are
    fewer queries, relevant pairs or other pairs than folds.
    """
    texts = reading(queries)
    groups = pairs["query_id"].map(texts.map(dict(zip(texts[::-1], texts.index[::-1], strict=True))))  # the first such
    for count, what in (
        (groups.nunique(), "queries"),
        (int(pairs["relevant"].sum()), "relevant pairs"),
        (int((~pairs["relevant"]).sum()), "other pairs"),
    ):
        if count < folds:
            raise InputError(f"split.folds: expected at most {count}, the number of {what}, found {folds}")
    labels = pairs["relevant"].to_numpy()
    if by == "query":
        sides = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(labels, labels, groups.to_numpy())
    else:
        sides = StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
    assigned = pairs[["query_id", "document_id"]].assign(fold=np.int8(0)).reset_index(drop=True)
    for number, (_, held_out) in enumerate(sides):
        assigned.loc[held_out, "fold"] = np.int8(number)
    if missing := set(range(folds)) - set(assigned["fold"]):
        raise InputError(f"split.folds: expected queries in each of {folds} folds, found none in fold {min(missing)}")
    return assigned


def reading(queries: pd.DataFrame) -> "pd.Series[str]":
    """How each query reads, whatever its case and spaces: a Series of str by query_id."""
    return queries.set_index("query_id")["query"].map(lambda query: " ".join(query.casefold().split()))


def fold_shares(pairs: pd.DataFrame, assigned: pd.DataFrame) -> pd.DataFrame:
    """One row per fold: fold, queries, pairs and the share of relevant pairs."""
    by_fold = pairs.merge(assigned).groupby("fold")
    return by_fold.agg(
        queries=("query_id", "nunique"), pairs=("relevant", "size"), relevant_share=("relevant", "mean")
    ).reset_index()


def held_out_rows(pairs: pd.DataFrame, assigned: pd.DataFrame, *held_out: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of training and of held-out pairs, int64 each; InputError where a side lacks relevant or other pairs."""
    mask = pairs.merge(assigned, how="left", validate="one_to_one")["fold"].isin(held_out).to_numpy()
    sides = {"training": np.flatnonzero(~mask), "held-out": np.flatnonzero(mask)}
    for name, rows in sides.items():
        relevant = int(pairs["relevant"].iloc[rows].sum())
        if relevant in (0, len(rows)):
            where = f"split: held-out fold {', '.join(map(str, held_out))}"
            found = f"{relevant} relevant among {len(rows)}"
            raise InputError(f"{where}: expected relevant and other pairs on the {name} side, found {found}")
    return sides["training"], sides["held-out"]


def held_out_pairs(pairs: pd.DataFrame, assigned: pd.DataFrame, *held_out: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The pairs of `held_out_rows`."""
    training, held = (pairs.iloc[rows].reset_index(drop=True) for rows in held_out_rows(pairs, assigned, *held_out))
    return training, held

"""Folds: each query is in one and stays there when data grow; or the split leaks as the tutorial's did."""

import hashlib
import unicodedata
from typing import Literal

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedKFold

from ranker.common.errors import InputError

ROWS = 1024  # queries compared with all others at a time


def group_queries(tokens: list[bytes], vectors: np.ndarray, near: float) -> np.ndarray:
    """A number for each query, int [queries], equal for those that must share a fold.

    They are those of equal token ids (`tokens`), because the model sees no other difference; and, where `near` is below
    1, those whose `vectors`, float [queries, size] of length 1, have a cosine of at least `near`, directly or through
    others.
    """
    groups = np.unique(np.array(tokens, dtype=object), return_inverse=True)[1]
    if near >= 1:
        return groups
    close = near_pairs(vectors, near)
    same = np.arange(len(groups)), np.unique(groups, return_index=True)[1][groups]  # each with the first of its group
    rows, columns = (np.concatenate([one, other]) for one, other in zip(close, same, strict=True))
    graph = coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(len(groups), len(groups)))
    return connected_components(graph, directed=False)[1]


def near_pairs(vectors: np.ndarray, near: float) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of rows, the smaller first, whose cosine is at least `near`: int64 [pairs] each."""
    found = []
    for start in range(0, len(vectors), ROWS):
        rows, columns = np.nonzero(vectors[start : start + ROWS] @ vectors.T >= near)
        found.append(np.stack([rows + start, columns])[:, columns > rows + start])
    both = np.concatenate(found, axis=1) if found else np.zeros((2, 0), dtype=np.int64)
    return both[0], both[1]


def query_folds(queries: pd.DataFrame, groups: np.ndarray, folds: int, seed: int) -> "pd.Series[int]":
    """The fold of each query: a Series by query_id. `queries` has query_id and query; InputError for too few groups.

    Groups are put in the order of a hash of the seed and their text and cut into `folds` parts of as many. So a
    judgement more moves nobody, and a query more moves at most one group across each border between folds.
    """
    count = len(np.unique(groups))
    if count < folds:
        raise InputError(f"split.folds: expected at most {count}, the number of queries that differ, found {folds}")
    keys = queries["query"].map(lambda query: _key(query, seed))
    first = pd.Series(keys.to_numpy()).groupby(groups).min().sort_values()
    fold_of = {group: fold for fold, part in enumerate(np.array_split(first.index, folds)) for group in part}
    return pd.Series([fold_of[group] for group in groups], index=queries["query_id"], dtype="int8")


def _key(query: str, seed: int) -> str:
    """A hash of how a query reads, whatever its case, spaces and composition."""
    text = " ".join(unicodedata.normalize("NFKC", query).casefold().split())
    return hashlib.sha256(f"{seed}\n{text}".encode()).hexdigest()


def assign_folds(
    pairs: pd.DataFrame, by_query: "pd.Series[int]", folds: int, seed: int, by: Literal["query", "pair"]
) -> np.ndarray:
    """The fold of each pair, int8: that of its query, or drawn pair by pair, as in the tutorial's random split.

    `pairs` has query_id and relevant (bool). InputError where a fold would be without pairs.
    """
    if by == "query":
        assigned = pairs["query_id"].map(by_query).to_numpy(np.int8)
        if missing := set(range(folds)) - set(assigned.tolist()):
            raise InputError(f"split.folds: expected pairs in each of {folds} folds, found none in fold {min(missing)}")
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


def held_out_rows(pairs: pd.DataFrame, held_out: int | Literal["none"]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of training and of held-out pairs, int64 each; InputError where a side lacks relevant or other pairs.

    Of `none`, all pairs are trained on.
    """
    mask = (pairs["fold"] == held_out).to_numpy()
    sides = {"training": np.flatnonzero(~mask), "held-out": np.flatnonzero(mask)}
    for name, rows in sides.items():
        if name == "held-out" and held_out == "none":
            continue
        relevant = int(pairs["relevant"].iloc[rows].sum())
        if relevant in (0, len(rows)):
            where = f"split.held_out {held_out}"
            found = f"{relevant} relevant among {len(rows)}"
            raise InputError(f"{where}: expected relevant and other pairs on the {name} side, found {found}")
    return sides["training"], sides["held-out"]


def unseen_by_training(pairs: pd.DataFrame, mined: pd.DataFrame) -> np.ndarray:
    """The pairs' `unseen`, bool [pairs], less those whose document was mined for a query of another fold.

    `pairs` and `mined` have document_id and fold.
    """
    folds = mined.groupby("document_id")["fold"].agg(set).to_dict()
    elsewhere = [
        bool(folds.get(name, set()) - {fold}) for name, fold in zip(pairs["document_id"], pairs["fold"], strict=True)
    ]
    return pairs["unseen"].to_numpy() & ~np.array(elsewhere, bool)


def training_sides(pairs: pd.DataFrame, held_out: int | Literal["none"]) -> tuple[np.ndarray, np.ndarray]:
    """`held_out_rows` of pairs of which some are `mined` (bool), as training has them.

    A mined pair is never measured; what is mined of a query takes the place of its random stand-ins.
    """
    training, held = held_out_rows(pairs, held_out)
    mined, queries = pairs["mined"].to_numpy(), pairs["query_id"]
    replaced = ~pairs["judged"].to_numpy() & ~mined & queries.isin(queries.iloc[training[mined[training]]]).to_numpy()
    return training[~replaced[training]], held[~mined[held]]


def held_out_pairs(pairs: pd.DataFrame, held_out: int | Literal["none"]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The pairs of `held_out_rows`."""
    training, held = (pairs.iloc[rows].reset_index(drop=True) for rows in held_out_rows(pairs, held_out))
    return training, held

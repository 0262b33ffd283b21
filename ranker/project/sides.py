"""The training and the held-out side of stage split's pairs, and counts of all of them."""

import numpy as np
import pandas as pd

from ranker.common.errors import InputError

NAMED = -1  # the fold of queries that are held out because of their split's name


def fold_number(held_out: int | str) -> int:
    """Value of column fold on the held-out side; for `none`, a value that no pair has."""
    return held_out if isinstance(held_out, int) else NAMED


def held_out_rows(pairs: pd.DataFrame, held_out: int | str) -> tuple[np.ndarray, np.ndarray]:
    """Rows of training and of held-out pairs, int64 each; InputError if a side lacks relevant or other pairs.

    With `none`, all pairs are training pairs.
    """
    mask = (pairs["fold"] == fold_number(held_out)).to_numpy()
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


def collection(pairs: pd.DataFrame) -> dict[str, int]:
    """Counts of the judged pairs' queries and documents, and of the judgements."""
    judged = pairs[pairs["judged"]]
    counts = {"queries": judged["query_id"].nunique(), "judgements": len(judged)}
    return counts | {"judged_documents": judged["document_id"].nunique()}


def held_out_pairs(pairs: pd.DataFrame, held_out: int | str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The pairs of `held_out_rows`."""
    training, held = (pairs.iloc[rows].reset_index(drop=True) for rows in held_out_rows(pairs, held_out))
    return training, held


def training_sides(pairs: pd.DataFrame, held_out: int | str) -> tuple[np.ndarray, np.ndarray]:
    """`held_out_rows` of pairs with a column `mined` (bool): int64 rows of training and of held-out pairs.

    Mined pairs are left out of the held-out side; in training, a query's mined pairs replace its random stand-ins.
    """
    training, held = held_out_rows(pairs, held_out)
    mined, queries = pairs["mined"].to_numpy(), pairs["query_id"]
    replaced = ~pairs["judged"].to_numpy() & ~mined & queries.isin(queries.iloc[training[mined[training]]]).to_numpy()
    return training[~replaced[training]], held[~mined[held]]


def unseen_by_training(pairs: pd.DataFrame, mined: pd.DataFrame) -> np.ndarray:
    """The pairs' `unseen`, bool [pairs], but false if the document was mined for a query of another fold.

    `pairs` and `mined` have document_id and fold.
    """
    folds = mined.groupby("document_id")["fold"].agg(set).to_dict()
    elsewhere = [
        bool(folds.get(name, set()) - {fold}) for name, fold in zip(pairs["document_id"], pairs["fold"], strict=True)
    ]
    return pairs["unseen"].to_numpy() & ~np.array(elsewhere, bool)

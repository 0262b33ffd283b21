"""Pairs whose texts the model reads alike, whatever their ids: by `ranker.contract.tokens.readings`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def with_readings(pairs: pd.DataFrame, asked: "pd.Series[int]", texts: "pd.Series[int]") -> pd.DataFrame:
    """Pairs with the readings `asked` and `text` of their query and document: 0 where there is none."""
    return pairs.assign(
        asked=asked.reindex(pairs["query_id"], fill_value=0).to_numpy(),
        text=texts.reindex(pairs["document_id"], fill_value=0).to_numpy(),
    )


def among(pairs: pd.DataFrame, others: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Whether a pair is equal to one of `others` in these columns: bool [pairs]."""
    return pd.MultiIndex.from_frame(pairs[[*columns]]).isin(pd.MultiIndex.from_frame(others[[*columns]]))


def itself(pairs: pd.DataFrame) -> "pd.Series[bool]":
    """Whether a pair's document is its query, bool [pairs]: of one id, and `asked` reads like `text`."""
    return pairs["query_id"].eq(pairs["document_id"]) & pairs["asked"].eq(pairs["text"])

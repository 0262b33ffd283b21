"""Pairs with different ids but equal readings (`ranker.contract.tokens.readings`): the model cannot tell them apart."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def with_readings(pairs: pd.DataFrame, asked: "pd.Series[int]", texts: "pd.Series[int]") -> pd.DataFrame:
    """Add the readings of each pair's query (`asked`) and document (`text`), int64; 0 if missing."""
    return pairs.assign(
        asked=asked.reindex(pairs["query_id"], fill_value=0).to_numpy(),
        text=texts.reindex(pairs["document_id"], fill_value=0).to_numpy(),
    )


def among(pairs: pd.DataFrame, others: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Mark the pairs that equal one of `others` in these columns: bool [pairs]."""
    return pd.MultiIndex.from_frame(pairs[[*columns]]).isin(pd.MultiIndex.from_frame(others[[*columns]]))


def itself(pairs: pd.DataFrame) -> "pd.Series[bool]":
    """Mark the pairs whose document is their query, by id and reading: bool [pairs]."""
    return pairs["query_id"].eq(pairs["document_id"]) & pairs["asked"].eq(pairs["text"])

"""Pairs with different ids but equal readings (`ranker.contract.tokens.readings`): the model cannot tell them apart.

Random documents for a query leave out those that read like a relevant one.
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ranker.project.tables import IDS

Lookup = Callable[[np.ndarray], pd.DataFrame]


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


def draw(wanted: "pd.Series[int]", known: pd.DataFrame, documents: int, at: Lookup) -> pd.DataFrame:
    """Draw up to `wanted` documents for each query_id: query_id and document_id.

    `known` are judgements, at least one of each query in `wanted`: query_id, document_id, relevant (bool, or missing if
    the judgement was dropped), and `asked` and `text`, the readings of query and document
    (`ranker.contract.tokens.readings`). Leaves out documents known for a query with the same reading, documents that
    read like a known one that may be relevant, and the query itself. `documents` is the size of the collection; `at`
    gives document_id and text by row, int64. The query's id is the seed, so each query's draw is its own.
    """
    asked = known.drop_duplicates("query_id").set_index("query_id")["asked"].reindex(wanted.index)
    spares = known.groupby("asked")["document_id"].nunique().reindex(asked).to_numpy()  # for known documents
    counts = wanted + spares
    rows = [_rows(str(query_id), count, documents) for query_id, count in counts.items()]
    drawn = at(np.concatenate([np.empty(0, np.int64), *rows]))  # for all queries at once, to read the table once
    lengths = [len(row) for row in rows]
    drawn = drawn.assign(query_id=np.repeat(wanted.index, lengths), asked=np.repeat(asked.to_numpy(), lengths))
    judged = among(drawn, known, ["asked", "document_id"])
    alike = among(drawn, known[known["relevant"].ne(False)], ["asked", "text"])
    drawn = drawn[~(judged | alike | itself(drawn))]
    first = drawn.groupby("query_id").cumcount().to_numpy() < wanted.reindex(drawn["query_id"]).to_numpy()
    return drawn.loc[first, IDS].astype(str).reset_index(drop=True)


def _rows(query_id: str, count: int, documents: int) -> np.ndarray:
    """Distinct random rows, int64, of at most `count` documents."""
    seed = int.from_bytes(hashlib.sha256(query_id.encode()).digest()[:8])
    return np.random.default_rng(seed).choice(documents, min(count, documents), replace=False)

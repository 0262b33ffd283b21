"""Draw random unjudged documents for a query, leaving out those that read like a relevant one."""

import hashlib
from collections.abc import Callable

import numpy as np
import pandas as pd

from ranker.project.alike import among, itself
from ranker.project.tables import IDS

Lookup = Callable[[np.ndarray], pd.DataFrame]


def draw(wanted: "pd.Series[int]", known: pd.DataFrame, documents: int, at: Lookup) -> pd.DataFrame:
    """Draw up to `wanted` documents for each query_id: query_id and document_id.

    `known` are judgements, at least one of each query in `wanted`: query_id, document_id, relevant (bool, or missing if
    the judgement was dropped), and `asked` and `text`, the readings of query and document
    (`ranker.contract.tokens.readings`). Leaves out documents known for a query with the same reading, documents that
    read like a known one that may be relevant, and the query itself. `documents` is the size of the collection; `at`
    gives document_id and text by row, int64. The query's id is the seed, so each query's draw is its own.
    """
    asked = known.drop_duplicates("query_id").set_index("query_id")["asked"].reindex(wanted.index)
    counts = (
        wanted + known.groupby("asked")["document_id"].nunique().reindex(asked).to_numpy()
    )  # spares for known documents
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

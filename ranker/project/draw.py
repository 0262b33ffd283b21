"""Random documents that nobody judged for a query, and none that the model cannot tell from a relevant one."""

import hashlib
from collections.abc import Callable

import numpy as np
import pandas as pd

from ranker.project.alike import among, itself
from ranker.project.tables import IDS

Lookup = Callable[[np.ndarray], pd.DataFrame]


def draw(wanted: "pd.Series[int]", known: pd.DataFrame, documents: int, at: Lookup) -> pd.DataFrame:
    """As many documents of each query as `wanted` says, by query_id, or what there is: query_id and document_id.

    `known` are judgements: query_id, document_id, relevant (bool, or missing where the judgement was dropped), and
    `asked` and `text`, the readings of the query and the document (`ranker.contract.tokens.readings`). It has a row of
    each query of `wanted`. No document is drawn that is known for a query that reads alike, that reads like one of
    these which may be relevant, or that is the query itself. `documents` is how many there are; `at` gives document_id
    and text of some rows of them, int64. They are drawn by the query's id, so that other queries change nothing.
    """
    asked = known.drop_duplicates("query_id").set_index("query_id")["asked"].reindex(wanted.index)
    counts = wanted + known.groupby("asked")["document_id"].nunique().reindex(asked).to_numpy()  # some drawn are known
    rows = [_rows(str(query_id), count, documents) for query_id, count in counts.items()]
    drawn = at(np.concatenate([np.empty(0, np.int64), *rows]))  # of all queries at once: the table is read once
    lengths = [len(row) for row in rows]
    drawn = drawn.assign(query_id=np.repeat(wanted.index, lengths), asked=np.repeat(asked.to_numpy(), lengths))
    judged = among(drawn, known, ["asked", "document_id"])
    alike = among(drawn, known[known["relevant"].ne(False)], ["asked", "text"])
    drawn = drawn[~(judged | alike | itself(drawn))]
    first = drawn.groupby("query_id").cumcount().to_numpy() < wanted.reindex(drawn["query_id"]).to_numpy()
    return drawn.loc[first, IDS].astype(str).reset_index(drop=True)


def _rows(query_id: str, count: int, documents: int) -> np.ndarray:
    """Rows of `count` documents, or of all where there are fewer: int64, each once."""
    seed = int.from_bytes(hashlib.sha256(query_id.encode()).digest()[:8])
    return np.random.default_rng(seed).choice(documents, min(count, documents), replace=False)

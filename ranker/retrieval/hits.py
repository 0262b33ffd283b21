"""Hits: each query's best documents in the whole collection, as columns query_id, document_id and score."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ranker.stack.bm25 import Bm25

Part = tuple[pa.Array, np.ndarray]  # ids of some documents, a str array, and their vectors, float32 [documents, size]
Fields = Iterable[tuple[list[str], Iterable[Sequence[str]]]]  # chunks of the collection: ids, texts of each's fields


class Bm25Index:
    """BM25 over a collection, by ids."""

    def __init__(self, queries: pd.DataFrame, documents: Fields, language: str) -> None:
        ids: list[pa.Array] = []

        def texts() -> Iterator[Sequence[str]]:
            for names, part in documents:
                ids.append(pa.array(names, pa.string()))
                yield from part

        self.index = Bm25(dict(zip(queries["query_id"], queries["query"], strict=True)), texts(), language)
        self.names = pa.chunked_array(ids, pa.string())

    def hits(self, query_ids: "pd.Series[str]", depth: int) -> pd.DataFrame:
        """The `depth` best documents of each query, among those that share a word with it."""
        found = []
        for query_id in query_ids:
            scores = self.index.scores(query_id)
            rows = np.flatnonzero(scores >= max(kth(scores, depth), np.finfo(np.float32).tiny))
            document_ids = self.names.take(pa.array(rows)).to_pylist()
            found.append(pd.DataFrame({"query_id": query_id, "document_id": document_ids, "score": scores[rows]}))
        return ordered(pd.concat(found), depth)

    def scores(self, pairs: pd.DataFrame) -> np.ndarray:
        """The score of each pair's document for its query, float32 [pairs]; 0 without a common word."""
        found = np.empty(len(pairs), np.float32)
        columns = rows_of(pairs["document_id"], self.names)
        for query_id, rows in pairs.groupby("query_id", sort=False).indices.items():
            found[rows] = self.index.scores(str(query_id))[columns[rows]]
        return found


def rows_of(ids: "pd.Series[str]", names: pa.ChunkedArray) -> np.ndarray:
    """The place of each id among `names`, int64 [ids]."""
    return pc.index_in(pa.array(ids, pa.string()), value_set=names.combine_chunks()).to_numpy().astype(np.int64)


def kth(scores: np.ndarray, depth: int) -> float:
    """The score at rank `depth`, or the lowest if there are fewer; `scores` is float32 [documents]."""
    return float(np.partition(scores, -depth)[-depth] if len(scores) > depth else scores.min(initial=0))


def cosine_hits(query_ids: "pd.Series[str]", vectors: np.ndarray, parts: Iterable[Part], depth: int) -> pd.DataFrame:
    """The `depth` best documents of each query by the cosine of their vectors, which have length 1.

    `vectors` are the queries', float32 [queries, size]. Documents arrive in chunks; ties keep the earlier document.
    """
    scores = np.empty((len(vectors), 0), np.float32)
    rows = np.empty((len(vectors), 0), np.int64)
    ids: list[pa.Array] = []
    seen = 0
    for names, part in parts:
        ids.append(names)
        scores = np.concatenate([scores, vectors @ part.T], axis=1)
        rows = np.concatenate([rows, np.tile(np.arange(seen, seen + len(part)), (len(vectors), 1))], axis=1)
        seen += len(part)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
        scores, rows = np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)
    names = pa.chunked_array(ids, pa.string()).take(pa.array(rows.ravel()))
    asked = np.repeat(query_ids.to_numpy(object), scores.shape[1])
    found = pd.DataFrame({"query_id": asked, "document_id": names.to_pylist(), "score": scores.ravel()})
    return ordered(found, depth)


def ordered(hits: pd.DataFrame, depth: int) -> pd.DataFrame:
    """The `depth` best hits of each query with their ranks from 1, queries in the order of first appearance.

    Sorted by falling score, then falling document_id. The order is in the ranks, because float32 may make scores equal.
    """
    hits = hits.assign(place=pd.factorize(hits["query_id"])[0])
    hits = hits.sort_values(["place", "score", "document_id"], ascending=[True, False, False])
    return first_ranks(hits.drop(columns="place").astype({"score": np.float32}), depth)


def first_ranks(hits: pd.DataFrame, depth: int) -> pd.DataFrame:
    """The first `depth` hits of each query with ranks from 1; `hits` are sorted, best first."""
    hits = hits.assign(rank=hits.groupby("query_id", sort=False).cumcount().astype(np.int32) + 1)
    return hits[hits["rank"] <= depth].reset_index(drop=True)

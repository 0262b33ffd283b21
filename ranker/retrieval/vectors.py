"""Vectors of a collection: made once, kept on disk, searched exactly by blocks."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ranker.project.tables import Tokens
from ranker.retrieval.hits import Part, cosine_hits, rows_of

BLOCK = 8192  # documents whose scores for all queries are in memory at a time
Embed = Callable[[Tokens], np.ndarray]  # unit vectors, float32 [texts, size]


class Vectors:
    """Unit vectors of queries, and of all documents in a file: 4 bytes times size a document."""

    def __init__(self, queries: Tokens, embed_query: Embed, parts: Iterable[Tokens], embed: Embed, file: Path) -> None:
        self.ids = queries.ids
        self.queries = embed_query(queries)
        names, count = [], 0
        with file.open("wb") as out:
            for part in parts:
                names.append(part.ids)
                count += len(part)
                out.write(np.ascontiguousarray(embed(part), np.float32).tobytes())
        self.names = pa.chunked_array(names, pa.string())
        shape = count, self.queries.shape[1]
        self.documents = np.memmap(file, np.float32, "r", shape=shape) if count else np.empty(shape, np.float32)

    def _asked(self, query_ids: "pd.Series[str]") -> np.ndarray:
        return self.queries[rows_of(query_ids, pa.chunked_array([self.ids]))]

    def hits(self, query_ids: "pd.Series[str]", depth: int) -> pd.DataFrame:
        """The `depth` best documents of each query by cosine."""
        return cosine_hits(query_ids, self._asked(query_ids), self._blocks(), depth)

    def _blocks(self) -> Iterator[Part]:
        for start in range(0, len(self.documents), BLOCK):
            yield self.names.slice(start, BLOCK).combine_chunks(), self.documents[start : start + BLOCK]

    def cosines(self, pairs: pd.DataFrame) -> np.ndarray:
        """Cosine of each pair's query and document, float32 [pairs]."""
        found, asked = np.empty(len(pairs), np.float32), self._asked(pairs["query_id"])
        columns = rows_of(pairs["document_id"], self.names)
        for start in range(0, len(pairs), BLOCK):
            rows = slice(start, start + BLOCK)
            found[rows] = np.einsum("ij,ij->i", asked[rows], self.documents[columns[rows]])
        return found


def with_time_left(parts: Iterable[Tokens], total: int, name: str) -> Iterator[Tokens]:
    """Yield the parts; after each but the last, print how many of `total` documents have vectors, and the minutes."""
    done, start = 0, time.monotonic()
    for part in parts:
        yield part
        done += len(part)
        if done < total:
            minutes = (time.monotonic() - start) / done * (total - done) / 60
            print(f"{name}: {done} of {total} documents embedded, {minutes:.0f} min left", flush=True)

"""Find each query's best documents in the whole collection, for the ranker to reorder.

python -m stages.first_stage
"""

import time
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ranker.common.errors import run_stage
from ranker.contract.words import STEMMERS, stemmer_of
from ranker.project import paths, tables
from ranker.project.alike import itself, with_readings
from ranker.project.documents import (
    count_documents,
    read_documents,
    read_fields,
    read_some_documents,
    read_some_tokens,
    read_token_parts,
)
from ranker.project.params import FirstStage, load_params
from ranker.project.preflight import say_other_versions
from ranker.project.tables import Tokens
from ranker.retrieval.hits import Part, bm25_hits, cosine_hits, first_ranks, fuse
from ranker.retrieval.run_file import read_run_file

if TYPE_CHECKING:
    from ranker.model.embedding import Embedder


class Vectors:
    """The base model's unit vectors of all queries, and of documents on demand."""

    def __init__(self) -> None:
        self.queries = tables.read_embeddings(paths.EMBEDDED_QUERIES)
        self.known = tables.read_embeddings(paths.EMBEDDED_DOCUMENTS)

    @cached_property
    def embed(self) -> "Embedder":
        """The base model, loaded at the first unjudged document, because torch takes seconds to import."""
        from ranker.model.embedding import Embedder

        return Embedder(paths.BASE_MODEL)

    def documents(self, tokens: Tokens) -> Part:
        """Ids and vectors, float32 [texts, size], of documents; embeds those that stage embed did not."""
        ids = tokens.ids.to_pylist()
        unknown = [row for row, name in enumerate(ids) if name not in self.known.index]
        values = np.empty((len(ids), self.known.values.shape[1]), np.float32)
        if unknown:
            values[unknown] = self.embed(tokens.take(unknown), "document")
        for row, name in enumerate(ids):
            if (place := self.known.index.get(name)) is not None:
                values[row] = self.known.values[place]
        return tokens.ids, values


def find(params: FirstStage, queries: pd.DataFrame, vectors: Vectors) -> pd.DataFrame:
    """query_id, document_id, score and rank of each query's best documents, the query itself excluded."""
    depth = params.depth + 1  # one of them may be the query itself
    found = []
    if params.retriever == "run":
        found.append(own_hits(params, queries))
    if params.retriever == "bi_encoder":
        found.append(bi_encoder_hits(queries, depth))
    if params.retriever in ("bm25", "fusion"):
        say_unstemmed(params.language)
        found.append(bm25_hits(queries, read_fields(), params.language, depth))
    if params.retriever in ("cosine", "fusion"):
        asked = vectors.queries.values[[vectors.queries.index[name] for name in queries["query_id"]]]
        parts = with_time_left(map(vectors.documents, read_token_parts()))
        found.append(cosine_hits(queries["query_id"], asked, parts, depth))
    found = [first_ranks(without_itself(hits), params.depth) for hits in found]
    return found[0] if len(found) == 1 else fuse(found, params.depth)


def with_time_left(parts: Iterable[Part]) -> Iterator[Part]:
    """Yield the parts; after each but the last, print how many documents have vectors, and the minutes left."""
    total, done, start = count_documents(), 0, time.monotonic()
    for part in parts:
        yield part
        done += len(part[0])
        if done < total:
            minutes = (time.monotonic() - start) / done * (total - done) / 60
            print(f"first_stage: {done} of {total} documents embedded, {minutes:.0f} min left", flush=True)


def say_unstemmed(language: str) -> None:
    """A line where BM25 stems no word: a tag of three letters, such as deu, is accepted, but no stemmer's."""
    if not stemmer_of(language):
        print(f"first_stage: BM25 stems no words of language {language}: it has stemmers for {', '.join(STEMMERS)}")


def without_itself(hits: pd.DataFrame) -> pd.DataFrame:
    """Drop the hits that are their own query, by id and text, and print their number."""
    same = hits[hits["query_id"] == hits["document_id"]]
    asked = tables.read_as(tables.read_tokens(paths.ENCODED_QUERIES))
    texts = tables.read_as(read_some_tokens(pa.array(same["document_id"], pa.string())))
    left_out = same.index[itself(with_readings(same, asked, texts))]
    if len(left_out):
        print(f"first_stage: {len(left_out)} hits are the query itself, by id and text, and are left out")
    return hits.drop(left_out)


def bi_encoder_hits(queries: pd.DataFrame, depth: int) -> pd.DataFrame:
    """Hits by the vectors of stage bi_encoder's model."""
    from ranker.model.embedding import Embedder

    embed = Embedder(paths.BI_ENCODER)
    tokens = tables.read_tokens(paths.ENCODED_QUERIES)
    asked = embed(tokens.take(tokens.rows(queries["query_id"]).tolist()), "query")
    parts = with_time_left((part.ids, embed(part, "document")) for part in read_token_parts())
    return cosine_hits(queries["query_id"], asked, parts, depth)


def own_hits(params: FirstStage, queries: pd.DataFrame) -> pd.DataFrame:
    """Hits of the user's own run file."""
    ids = set(chain.from_iterable(part for part, _, _ in read_documents()))
    run = read_run_file(paths.RUNS / params.run, set(queries["query_id"]), ids)
    if run.unknown_queries or run.unknown_documents:
        counts = f"{run.unknown_queries} hits of other queries and {run.unknown_documents} of other documents"
        print(f"first_stage: warning: {paths.RUNS / params.run}: {counts} are left out", flush=True)
    return run.hits


def cosines(hits: pd.DataFrame, wanted: pa.Array, vectors: Vectors) -> np.ndarray:
    """Cosine of each hit's query and document, float32 [hits], in parts; `wanted` are the hits' document ids."""
    found = np.empty(len(hits), np.float32)
    asked = np.array([vectors.queries.index[name] for name in hits["query_id"]], np.int64)
    document_ids = pa.array(hits["document_id"], pa.string())
    for ids, values in map(vectors.documents, read_token_parts(wanted)):
        column = pc.index_in(document_ids, value_set=ids)
        rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        columns = column.drop_null().to_numpy()
        found[rows] = np.einsum("ij,ij->i", vectors.queries.values[asked[rows]], values[columns])
    return found


def main() -> None:
    params = load_params().first_stage
    say_other_versions("first_stage")
    queries, vectors = tables.read_table(paths.QUERIES), Vectors()
    hits = find(params, queries, vectors)
    wanted = pa.array(hits["document_id"].unique(), pa.string())
    hits["base_cosine"] = cosines(hits, wanted, vectors)
    tables.write_table(paths.HITS, hits[tables.SCHEMAS[paths.HITS].names])
    tables.write_texts(paths.HIT_DOCUMENTS, read_some_documents(set(wanted.to_pylist())), read_some_tokens(wanted))
    without = len(queries) - hits["query_id"].nunique()
    print(f"first_stage: {params.retriever}: {len(hits)} hits of {len(queries)} queries, {len(wanted)} documents")
    if without:
        print(f"first_stage: warning: {without} queries have no hits, so their results stay empty")


if __name__ == "__main__":
    run_stage("first_stage", main)

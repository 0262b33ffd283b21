"""Vectors of the collection by the untrained base model."""

import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from ranker.project import paths, tables
from ranker.project.documents import count_documents, read_token_parts
from ranker.project.tables import Tokens
from ranker.retrieval.vectors import Vectors, with_time_left

if TYPE_CHECKING:
    from ranker.model.embedding import Embedder


class _Base:
    """The base model's vectors: stage embed's, and of other documents on demand."""

    def __init__(self) -> None:
        self.queries = tables.read_embeddings(paths.EMBEDDED_QUERIES)
        self.known = tables.read_embeddings(paths.EMBEDDED_DOCUMENTS)

    @cached_property
    def embed(self) -> "Embedder":
        """The base model, loaded at the first unjudged document, because torch takes seconds to import."""
        from ranker.model.embedding import Embedder

        return Embedder(paths.BASE_MODEL)

    def of_queries(self, tokens: Tokens) -> np.ndarray:
        return self.queries.values[[self.queries.index[name] for name in tokens.ids.to_pylist()]]

    def of_documents(self, tokens: Tokens) -> np.ndarray:
        places = [self.known.index.get(name, -1) for name in tokens.ids.to_pylist()]
        unknown = [row for row, place in enumerate(places) if place < 0]
        values = self.known.values[places]
        if unknown:
            values[unknown] = self.embed(tokens.take(unknown), "document")
        return values


def base_vectors(file: Path) -> Vectors:
    """Unit vectors of all queries and documents by the base model; `file` keeps the documents'."""
    base, queries = _Base(), tables.read_tokens(paths.ENCODED_QUERIES)
    parts = with_time_left(read_token_parts(), count_documents(), "first_stage")
    return Vectors(queries, base.of_queries, parts, base.of_documents, file)


def base_cosines(pairs: pd.DataFrame) -> np.ndarray:
    """The base model's cosine of each pair, float32 [pairs]; embeds only documents of these pairs."""
    base, queries = _Base(), tables.read_tokens(paths.ENCODED_QUERIES)
    parts = read_token_parts(pa.array(pairs["document_id"].unique(), pa.string()))
    with tempfile.TemporaryDirectory() as folder:
        return Vectors(queries, base.of_queries, parts, base.of_documents, Path(folder) / "base.f32").cosines(pairs)

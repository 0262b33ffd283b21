"""Pairs with their token ids, looked up from shared tables; truncated and laid out batch by batch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ranker.contract.batching import MULTIPLE
from ranker.contract.layout import Layout, TokenIds, lay_out
from ranker.contract.tokens import load_layout
from ranker.project import paths, tables
from ranker.project.params import Params
from ranker.project.tables import Tokens

Example = tuple[TokenIds, TokenIds, float]  # token ids of the query, of the document; target


@dataclass(frozen=True)
class EncodedPairs:
    """Pair i is text `query_rows[i]` of `queries` and text `document_rows[i]` of `documents`: 32 bytes a pair."""

    queries: Tokens
    documents: Tokens
    query_rows: np.ndarray  # int64 [pairs]
    document_rows: np.ndarray  # int64 [pairs]
    lengths: np.ndarray  # int64 [pairs], laid out, special tokens included
    targets: np.ndarray  # float32 [pairs], the probability of relevance to learn
    layout: Layout

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> Example:
        query = self.queries[self.query_rows[row]]
        return query, self.documents[self.document_rows[row]], float(self.targets[row])

    def take(self, rows: slice | np.ndarray) -> "EncodedPairs":
        """The pairs at `rows`, in that order."""
        return replace(
            self,
            query_rows=self.query_rows[rows],
            document_rows=self.document_rows[rows],
            lengths=self.lengths[rows],
            targets=self.targets[rows],
        )

    def with_targets(self, targets: np.ndarray) -> "EncodedPairs":
        """The same pairs with new targets, float [pairs]."""
        return replace(self, targets=targets.astype(np.float32))

    def inputs(self, rows: Sequence[int] | np.ndarray, length: int | None = None) -> dict[str, np.ndarray]:
        """The model's inputs for the pairs at `rows`, int64 [rows, length] each."""
        queries, documents, _ = zip(*(self[row] for row in rows), strict=True)
        return lay_out(self.layout, queries, documents, length, multiple_of=MULTIPLE)


def project_layout(params: Params, folder: Path) -> Layout:
    """The layout of params.yaml's sizes, with the special ids of the tokenizer in `folder`."""
    return load_layout(folder, params.encode.query_input_size, params.encode.doc_input_size)


def load_pairs(params: Params, folder: Path = paths.BASE_MODEL) -> tuple[pd.DataFrame, EncodedPairs]:
    """Stage split's pairs, and the same pairs with token ids; `folder` has the tokenizer."""
    pairs, queries = tables.read_table(paths.SPLIT_PAIRS), tables.read_tokens(paths.SPLIT_QUERIES)
    documents = tables.read_tokens(paths.SPLIT_DOCUMENTS)
    return pairs, encode_pairs(pairs, queries, documents, project_layout(params, folder))


def load_training_pairs(params: Params) -> tuple[pd.DataFrame, EncodedPairs]:
    """The pairs of `load_pairs`, then those that stage negatives mined; the column `mined` tells them apart."""
    pairs = tables.read_table(paths.SPLIT_PAIRS).assign(mined=False)
    pairs = pd.concat([pairs, tables.read_table(paths.MINED_PAIRS).assign(mined=True)], ignore_index=True)
    queries = tables.read_tokens(paths.SPLIT_QUERIES)
    documents = tables.read_tokens(paths.SPLIT_DOCUMENTS, paths.MINED_DOCUMENTS)
    return pairs, encode_pairs(pairs, queries, documents, project_layout(params, paths.BASE_MODEL))


def targets(pairs: pd.DataFrame, kind: Literal["graded", "binary"], scale: Sequence[int] = ()) -> np.ndarray:
    """Training targets, float32 [pairs], as probabilities of relevance: 0 or 1, or the grade over the largest grade.

    The largest grade is that of `scale` or, if it is empty, of the pairs.
    """
    if kind == "binary":
        return pairs["relevant"].to_numpy(np.float32)
    grades = pairs["grade"].clip(lower=0).to_numpy(np.float32)
    return grades / np.float32(max(scale, default=grades.max()))


def encode_pairs(pairs: pd.DataFrame, queries: Tokens, documents: Tokens, layout: Layout) -> EncodedPairs:
    """Look up the token ids of each pair, in order. Targets are binary. KeyError if a text is missing."""
    query_rows, document_rows = queries.rows(pairs["query_id"]), documents.rows(pairs["document_id"])
    lengths = layout.lengths(queries.lengths[query_rows], documents.lengths[document_rows])
    relevant = targets(pairs, "binary")
    return EncodedPairs(queries, documents, query_rows, document_rows, lengths, relevant, layout)

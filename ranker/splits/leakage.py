"""Overlap of a split's held-out and training sides: queries must not overlap, shared documents are counted."""

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from ranker.contract.tokens import Ragged

NEAR_TITLES = 0.8  # Jaccard of two titles' tokens: a preprint and its article, a title with and without its subtitle
NEAR_QUERIES = 0.75  # cosine of the base model: two of TREC-COVID's topics on masks share 43 judged documents
QUERY_ROWS = 1024  # queries compared with all others at a time
ROWS = 128  # titles compared with all others at a time: some 130 MiB against 38,000 that share common tokens


def near_duplicates(titles: Ragged, others: Ragged) -> np.ndarray:
    """True for titles whose tokens have a Jaccard of at least NEAR_TITLES with one of `others`: bool [titles].

    Tokens are the model's own, so its tokenizer decides on case, accents and forms of a character, and splits scripts
    without spaces into characters. Order and repetition do not count. A title without tokens matches no other.
    """
    size = 1 + max(titles.values.max(initial=0), others.values.max(initial=0))
    a, b = (_incidence(texts, int(size)) for texts in (titles, others))
    counts, other_counts = a.sum(axis=1), b.sum(axis=1)
    found = np.zeros(len(titles), dtype=bool)
    for start in range(0, len(titles), ROWS):
        shared = (a[start : start + ROWS] @ b.T).tocoo()
        union = counts[start + shared.row] + other_counts[shared.col] - shared.data
        found[start + shared.row[shared.data >= NEAR_TITLES * union]] = True
    return found


def _incidence(texts: Ragged, size: int) -> csr_array:
    """Incidence of tokens in texts, int32 [texts, size] of 0 and 1."""
    matrix = csr_array((np.ones(len(texts.values), np.int32), texts.values, texts.offsets), shape=(len(texts), size))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def seen_documents(pairs: pd.DataFrame, fold: int, documents: Ragged, rows: dict[str, int]) -> pd.DataFrame:
    """One row per document of a fold: document_id, `seen` (judged in other folds too), `near` (or a near-duplicate is).

    `pairs` has document_id and fold; `rows` maps ids to texts of `documents`.
    """
    held_out = pairs.loc[pairs["fold"] == fold, "document_id"].drop_duplicates()
    learned = pairs.loc[pairs["fold"] != fold, "document_id"].drop_duplicates()
    seen = held_out.isin(set(learned)).to_numpy()
    titles = documents.take([rows[name] for name in held_out])
    others = documents.take([rows[name] for name in learned])
    near = seen | near_duplicates(titles, others)
    return pd.DataFrame({"document_id": held_out.to_numpy(), "seen": seen, "near": near})


def unseen_pairs(pairs: pd.DataFrame, seen: dict[int, pd.DataFrame]) -> np.ndarray:
    """True if other folds judge neither a pair's document nor a near-duplicate of it: bool [pairs].

    `seen` has `seen_documents` by fold.
    """
    unseen = np.zeros(len(pairs), dtype=bool)
    for fold, table in seen.items():
        near = set(table.loc[table["near"], "document_id"])
        unseen |= ((pairs["fold"] == fold) & ~pairs["document_id"].isin(near)).to_numpy()
    return unseen


def near_queries(vectors: np.ndarray, held_out: np.ndarray) -> int:
    """Number of pairs of a held-out and a training query with a cosine of at least NEAR_QUERIES.

    `vectors` is float32 [queries, size], `held_out` bool [queries].
    """
    held, training = vectors[held_out], vectors[~held_out]
    starts = range(0, len(held), QUERY_ROWS)
    return sum(int((held[start : start + QUERY_ROWS] @ training.T >= NEAR_QUERIES).sum()) for start in starts)


def audit(pairs: pd.DataFrame, fold: int, seen: pd.DataFrame) -> dict[str, float]:
    """Shares, 0 to 1, of a held-out fold's queries and documents that training has seen, and of its unseen pairs."""
    held_out, training = pairs[pairs["fold"] == fold], pairs[pairs["fold"] != fold]
    return {
        "queries_seen": float(held_out["query_id"].drop_duplicates().isin(set(training["query_id"])).mean()),
        "documents_seen": float(seen["seen"].mean()),
        "documents_or_near_duplicate_texts_seen": float(seen["near"].mean()),
        "pairs_of_unseen_documents": float(held_out["unseen"].mean()),
    }

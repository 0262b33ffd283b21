"""Pairs that other tools cut elsewhere: they cut a pair as a whole, where the contract cuts each text by itself."""

import numpy as np

from ranker.contract.layout import Layout


def cut_as_one(queries: np.ndarray, documents: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of each query and document, int64 [pairs], where both together have `room`: the longer one is cut first.

    So do tokenizers, transformers and what is built on them by default (`longest_first`).

    >>> [cut.tolist() for cut in cut_as_one(np.array([2, 9, 9]), np.array([9, 9, 1]), 10)]
    [[2, 5, 9], [8, 5, 1]]
    """
    shorter = np.where(queries + documents > room, np.minimum(np.minimum(queries, documents), room // 2), 0)
    first = np.where(queries <= documents, shorter, room - shorter)
    fits = queries + documents <= room
    return np.where(fits, queries, first), np.where(fits, documents, room - first)


def read_otherwise(layout: Layout, queries: np.ndarray, documents: np.ndarray) -> int:
    """The number of pairs, by their texts' tokens, int64 [pairs], of which such tools read other tokens than we."""
    other = cut_as_one(queries, documents, layout.max_length - 3)
    own = np.minimum(queries, layout.max_query_tokens), np.minimum(documents, layout.max_document_tokens)
    return int(np.any([theirs != ours for theirs, ours in zip(other, own, strict=True)], axis=0).sum())

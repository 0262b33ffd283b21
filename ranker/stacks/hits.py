"""Stacks over tables of hits: the hits that a stack orders, and its scores of them."""

from dataclasses import replace

import numpy as np
import pandas as pd

from ranker.stack.stack import Stack

DEEPEST = 2**30  # beyond every list
VECTORS = {"dense": "retriever", "base": "base_cosine"}  # column of the cosine by these vectors


def candidates(hits: pd.DataFrame, stack: Stack) -> pd.DataFrame:
    """The rows of `hits` that the stack orders: its lists' best ones, to its depth."""
    ranks = hits[[f"{name}_rank" for name in stack.found_by]]
    return hits[ranks.le(stack.depth).any(axis=1).to_numpy(bool)].reset_index(drop=True)


def stack_scores(hits: pd.DataFrame, stack: Stack) -> np.ndarray:
    """The stack's score of each of its `candidates`, float64 [hits]; equal ones are ordered by `trec_order`.

    `hits` has query_id, the ranks of the stack's lists, and the scores that it adds: bm25, base_cosine or retriever,
    and cross_encoder.
    """
    columns = {"bm25": "bm25"}
    if stack.vectors:
        columns["cosine"] = VECTORS[stack.vectors]
    if stack.runs_cross_encoder:
        columns["cross_encoder"] = "cross_encoder"
    parts = {name: hits[column].to_numpy(np.float64) for name, column in columns.items()}
    own = -hits[f"{stack.found_by[0]}_rank"].to_numpy(np.float64, na_value=np.nan)
    found = np.empty(len(hits))
    for rows in hits.groupby("query_id", sort=False).indices.values():
        found[rows] = stack.scores({name: scores[rows] for name, scores in parts.items()}, own[rows])
    return found


def ranks_as_found(hits: pd.DataFrame, stack: Stack, depth: int = DEEPEST) -> "pd.Series[int]":
    """Each hit's rank, Int32 from 1, in the first stage's own order of its lists to `depth`; null for other hits."""
    found = replace(stack, order="as_found", depth=depth)
    inside = candidates(hits.assign(row=np.arange(len(hits))), found)
    scores = pd.Series(stack_scores(inside, found), index=inside["row"], name="score")
    table = hits.iloc[inside["row"]][["query_id", "document_id"]].assign(score=scores.to_numpy())
    table = table.sort_values(["query_id", "score", "document_id"], ascending=[True, False, False])
    return (table.groupby("query_id").cumcount() + 1).astype("Int32").reindex(hits.index)

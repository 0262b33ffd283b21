"""What a ranker has to beat and what costs nothing: BM25, the base model untrained, and a random order."""

import numpy as np
import pandas as pd

from ranker.project.tables import Embeddings
from ranker.retrieval.bm25 import Bm25
from ranker.retrieval.hits import cosine_scores

SCORED = ("bm25", "base_cosine")  # the untrained systems that give a score to each pair
UNTRAINED = (*SCORED, "random")  # random by its expectation (ranker.metrics.ranking.expected_measures)


def baseline_scores(
    run: pd.DataFrame,
    queries: pd.DataFrame,
    documents: pd.DataFrame,
    embedded: tuple[Embeddings, Embeddings],
    language: str,
) -> pd.DataFrame:
    """Scores of each of SCORED for each pair, float32 columns in the order of `run`.

    `documents` has document_id and the fields. `embedded` are the vectors of the queries and of the documents.
    """
    found = {"bm25": bm25_scores(run, queries, documents, language), "base_cosine": cosine_scores(run, *embedded)}
    return pd.DataFrame(found, run.index)


def bm25_scores(run: pd.DataFrame, queries: pd.DataFrame, documents: pd.DataFrame, language: str) -> np.ndarray:
    """BM25 score of each pair's document for its query, float32 [pairs]."""
    fields = documents.drop(columns="document_id")
    index = Bm25(queries, fields.itertuples(index=False, name=None), language)
    column = pd.Series(range(len(documents)), index=documents["document_id"])
    scores = np.zeros(len(run), dtype=np.float32)
    for query_id, rows in run.groupby("query_id").indices.items():
        scores[rows] = index.scores(str(query_id))[column[run["document_id"].iloc[rows]]]
    return scores

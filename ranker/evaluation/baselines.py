"""What a ranker has to beat and what costs nothing: BM25, the base model untrained, and a random order."""

import numpy as np
import pandas as pd

from ranker.project.tables import Embeddings
from ranker.retrieval.bm25 import Bm25
from ranker.retrieval.hits import cosine_scores

SCORED = ("bm25", "base_cosine")  # the untrained systems that give a score to each pair
UNTRAINED = (*SCORED, "random")  # random by its expectation (ranker.metrics.ranking.expected_measures)


def baseline_scores(
    run: pd.DataFrame, texts: tuple[pd.DataFrame, pd.DataFrame], embedded: tuple[Embeddings, Embeddings]
) -> pd.DataFrame:
    """Scores of each of SCORED for each pair, float32 columns in the order of `run`.

    `texts` and `embedded` are those of the queries and of the documents.
    """
    return pd.DataFrame({"bm25": bm25_scores(run, *texts), "base_cosine": cosine_scores(run, *embedded)}, run.index)


def bm25_scores(run: pd.DataFrame, queries: pd.DataFrame, documents: pd.DataFrame) -> np.ndarray:
    """BM25 score of each pair's document for its query, float32 [pairs]."""
    index = Bm25(queries, documents["text"])
    column = pd.Series(range(len(documents)), index=documents["document_id"])
    scores = np.zeros(len(run), dtype=np.float32)
    for query_id, rows in run.groupby("query_id").indices.items():
        scores[rows] = index.scores(str(query_id))[column[run["document_id"].iloc[rows]]]
    return scores

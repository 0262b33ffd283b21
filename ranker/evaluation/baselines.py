"""Untrained baselines: BM25 and the base model's cosine."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ranker.metrics.systems import BASELINES
from ranker.project import paths, tables
from ranker.project.documents import read_some_fields
from ranker.project.tables import Embeddings, cosine_scores
from ranker.stack.bm25 import Bm25


@dataclass(frozen=True)
class JudgedTexts:
    """The judged queries' and documents' texts, with their embeddings by the base model."""

    queries: pd.DataFrame  # query_id and query
    documents: pd.DataFrame  # document_id and the fields
    embedded_queries: Embeddings
    embedded_documents: Embeddings
    language: str  # of BM25's words


def read_judged(pairs: pd.DataFrame, language: str) -> JudgedTexts:
    """Read the texts and embeddings of the split's `pairs`."""
    return JudgedTexts(
        tables.read_texts(paths.SPLIT_QUERIES),
        read_some_fields(pairs["document_id"]),
        tables.read_embeddings(paths.EMBEDDED_QUERIES),
        tables.read_embeddings(paths.EMBEDDED_DOCUMENTS),
        language,
    )


Scorer = Callable[[pd.DataFrame, JudgedTexts], np.ndarray]  # scores of a run's pairs, float32 [pairs]
SCORERS: dict[str, Scorer] = {}


def baseline(scorer: Scorer) -> Scorer:
    """Register a function as the scorer of the system with its name in ranker.metrics.systems."""
    SCORERS[scorer.__name__] = scorer
    return scorer


def baseline_scores(run: pd.DataFrame, texts: JudgedTexts) -> pd.DataFrame:
    """A float32 column of scores for each of BASELINES, in the order of `run`."""
    return pd.DataFrame({name: SCORERS[name](run, texts) for name in BASELINES}, run.index)


@baseline
def bm25(run: pd.DataFrame, texts: JudgedTexts) -> np.ndarray:
    return bm25_scores(run, texts.queries, texts.documents, texts.language)


@baseline
def base_cosine(run: pd.DataFrame, texts: JudgedTexts) -> np.ndarray:
    return cosine_scores(run, texts.embedded_queries, texts.embedded_documents)


def bm25_scores(run: pd.DataFrame, queries: pd.DataFrame, documents: pd.DataFrame, language: str) -> np.ndarray:
    """BM25 score of each pair's document for its query, float32 [pairs]."""
    fields = documents.drop(columns="document_id")
    index = Bm25(
        dict(zip(queries["query_id"], queries["query"], strict=True)),
        fields.itertuples(index=False, name=None),
        language,
    )
    column = pd.Series(range(len(documents)), index=documents["document_id"])
    scores = np.zeros(len(run), dtype=np.float32)
    for query_id, rows in run.groupby("query_id").indices.items():
        scores[rows] = index.scores(str(query_id))[column[run["document_id"].iloc[rows]]]
    return scores

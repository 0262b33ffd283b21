"""What a ranker has to beat: BM25, the base model untrained, what a query alone tells, and a random order."""

import bm25s
import numpy as np
import pandas as pd
import Stemmer

from ranker.project.tables import Embeddings

BASELINES = ("bm25", "base_cosine", "topic_prior", "random")


def baseline_scores(
    pairs: pd.DataFrame,
    training: pd.DataFrame,
    texts: tuple[pd.DataFrame, pd.DataFrame],
    embedded: tuple[Embeddings, Embeddings],
    seed: int,
) -> pd.DataFrame:
    """Scores of each of BASELINES for each pair, float32 columns in the order of `pairs`.

    `texts` and `embedded` are those of the queries and of the documents; `seed` is that of the random order.
    """
    return pd.DataFrame(
        {
            "bm25": bm25_scores(pairs, *texts),
            "base_cosine": cosine_scores(pairs, *embedded),
            "topic_prior": topic_prior_scores(pairs, training),
            "random": random_scores(pairs, seed),
        },
        index=pairs.index,
    )


class Bm25:
    """BM25 over titles: bm25s's defaults (Lucene's formula, k1 1.5, b 0.75), English stop words, Snowball stemming.

    `queries` has query_id and query, `documents` has document_id and title. Document frequencies are those of all
    documents, for they are known before any judgement.
    """

    def __init__(self, queries: pd.DataFrame, documents: pd.DataFrame) -> None:
        terms = _terms(documents["title"])
        self.index = bm25s.BM25() if any(terms) else None
        if self.index:
            self.index.index(terms, show_progress=False)
        self.documents = documents["document_id"].to_numpy()
        self.terms = dict(zip(queries["query_id"], _terms(queries["query"]), strict=True))

    def scores(self, query_id: str) -> np.ndarray:
        """Score of every title for a query, float32 [documents]."""
        terms = self.terms[query_id]
        return self.index.get_scores(terms) if self.index and terms else np.zeros(len(self.documents), np.float32)


def _terms(texts: "pd.Series[str]") -> list[list[str]]:
    stemmer = Stemmer.Stemmer("english")
    return bm25s.tokenize(texts.tolist(), stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)


def bm25_scores(pairs: pd.DataFrame, queries: pd.DataFrame, documents: pd.DataFrame) -> np.ndarray:
    """BM25 score of each pair's title for its query, float32 [pairs]."""
    index = Bm25(queries, documents)
    column = pd.Series(range(len(documents)), index=documents["document_id"])
    scores = np.zeros(len(pairs), dtype=np.float32)
    for query_id, rows in pairs.groupby("query_id").indices.items():
        scores[rows] = index.scores(str(query_id))[column[pairs["document_id"].iloc[rows]]]
    return scores


def random_scores(pairs: pd.DataFrame, seed: int) -> np.ndarray:
    """Scores of a random order, float32 [pairs]."""
    return np.random.default_rng(seed).random(len(pairs), dtype=np.float32)


def cosine_scores(pairs: pd.DataFrame, queries: Embeddings, documents: Embeddings) -> np.ndarray:
    """Cosine of each pair's two embeddings, float32 [pairs]: what the base model knows without any judgement."""
    rows = queries.values[[queries.index[query_id] for query_id in pairs["query_id"]]]
    columns = documents.values[[documents.index[document_id] for document_id in pairs["document_id"]]]
    return np.einsum("ij,ij->i", rows, columns, dtype=np.float32)


def topic_prior_scores(pairs: pd.DataFrame, training: pd.DataFrame) -> np.ndarray:
    """The share of relevant pairs that a query has in training, float32 [pairs]: all that a query alone can tell.

    Both frames have query_id, `training` has label (0 or 1). A query without training pairs gets the share of all
    training pairs: its ranking is then the order of ties.
    """
    shares = training.groupby("query_id")["label"].mean()
    return pairs["query_id"].map(shares).fillna(training["label"].mean()).to_numpy(np.float32)

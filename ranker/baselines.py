"""What a ranker has to beat: BM25 on titles, and a random order."""

import bm25s
import numpy as np
import pandas as pd
import Stemmer


def bm25_scores(pairs: pd.DataFrame, queries: pd.DataFrame, documents: pd.DataFrame) -> np.ndarray:
    """BM25 score of each pair's title for its query, float32 [pairs].

    bm25s's defaults (Lucene's formula, k1 1.5, b 0.75), English stop words and Snowball stemming; document frequencies
    are those of `documents`, all of them, for they are known before any judgement.
    """
    stemmer = Stemmer.Stemmer("english")

    def terms(texts: "pd.Series[str]") -> list[list[str]]:
        return bm25s.tokenize(texts.tolist(), stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)

    index = bm25s.BM25()
    index.index(terms(documents["title"]), show_progress=False)
    column = pd.Series(range(len(documents)), index=documents["document_id"])
    query_terms = dict(zip(queries["query_id"], terms(queries["query"]), strict=True))
    scores = np.zeros(len(pairs), dtype=np.float32)
    for query_id, rows in pairs.groupby("query_id").indices.items():
        if query_terms[query_id]:
            scores[rows] = index.get_scores(query_terms[query_id])[column[pairs["document_id"].iloc[rows]]]
    return scores


def random_scores(pairs: pd.DataFrame, seed: int) -> np.ndarray:
    """Scores of a random order, float32 [pairs]."""
    return np.random.default_rng(seed).random(len(pairs), dtype=np.float32)

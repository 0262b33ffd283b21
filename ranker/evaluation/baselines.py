"""What a ranker has to beat and what costs nothing: BM25, the base model untrained, and a random order."""

import unicodedata

import bm25s
import numpy as np
import pandas as pd
import regex
import Stemmer
from bm25s.stopwords import STOPWORDS_EN

from ranker.project.tables import Embeddings

SCORED = ("bm25", "base_cosine")  # the untrained systems that give a score to each pair
UNTRAINED = (*SCORED, "random")  # random by its expectation (ranker.metrics.ranking.expected_measures)

# Words as Lucene's and Vespa's analysers have them: one letter or digit is a word (vitamin D, type 2), and where a
# script puts no spaces between words, each character is.
_NO_SPACES = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(rf"[{_NO_SPACES}]\p{{M}}*|[[\p{{L}}\p{{M}}\p{{N}}_]--[{_NO_SPACES}]]+", regex.VERSION1)


def baseline_scores(
    run: pd.DataFrame, texts: tuple[pd.DataFrame, pd.DataFrame], embedded: tuple[Embeddings, Embeddings]
) -> pd.DataFrame:
    """Scores of each of SCORED for each pair, float32 columns in the order of `run`.

    `texts` and `embedded` are those of the queries and of the documents.
    """
    return pd.DataFrame({"bm25": bm25_scores(run, *texts), "base_cosine": cosine_scores(run, *embedded)}, run.index)


class Bm25:
    """BM25 over documents: bm25s's defaults (Lucene's formula, k1 1.5, b 0.75), English stop words, Snowball stemming.

    `queries` has query_id and query, `documents` has document_id and text. Document frequencies are those of all
    of them.
    """

    def __init__(self, queries: pd.DataFrame, documents: pd.DataFrame) -> None:
        stem = Stemmer.Stemmer("english").stemWord
        words = [[stem(word) for word in terms(text)] for text in documents["text"]]
        self.index = bm25s.BM25() if any(words) else None
        if self.index:
            self.index.index(words, show_progress=False)
        self.count = len(documents)
        asked = ([stem(word) for word in terms(query)] for query in queries["query"])
        self.terms = dict(zip(queries["query_id"], asked, strict=True))

    def scores(self, query_id: str) -> np.ndarray:
        """Score of every document for a query, float32 [documents]."""
        words = self.terms[query_id]
        return self.index.get_scores(words) if self.index and words else np.zeros(self.count, np.float32)


def terms(text: str) -> list[str]:
    """The words of a text that count, in lower case.

    >>> terms("Vitamin D and the type 2 of 冠状 (Études)")
    ['vitamin', 'd', 'type', '2', '冠', '状', 'études']
    """
    words = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
    return [word for word in words if word not in STOPWORDS_EN]


def bm25_scores(run: pd.DataFrame, queries: pd.DataFrame, documents: pd.DataFrame) -> np.ndarray:
    """BM25 score of each pair's document for its query, float32 [pairs]."""
    index = Bm25(queries, documents)
    column = pd.Series(range(len(documents)), index=documents["document_id"])
    scores = np.zeros(len(run), dtype=np.float32)
    for query_id, rows in run.groupby("query_id").indices.items():
        scores[rows] = index.scores(str(query_id))[column[run["document_id"].iloc[rows]]]
    return scores


def cosine_scores(run: pd.DataFrame, queries: Embeddings, documents: Embeddings) -> np.ndarray:
    """Cosine of each pair's two embeddings, float32 [pairs]: what the base model knows without any judgement."""
    rows = queries.values[[queries.index[query_id] for query_id in run["query_id"]]]
    columns = documents.values[[documents.index[document_id] for document_id in run["document_id"]]]
    return np.einsum("ij,ij->i", rows, columns, dtype=np.float32)

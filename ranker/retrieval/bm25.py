"""BM25 over all documents: what costs nothing, and what a search engine finds by default."""

import unicodedata
from collections.abc import Iterable

import bm25s
import numpy as np
import pandas as pd
import regex
import Stemmer
from bm25s.stopwords import STOPWORDS_EN

# Words as Lucene's and Vespa's analysers have them: one letter or digit is a word (vitamin D, type 2), and where a
# script puts no spaces between words, each character is.
_NO_SPACES = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(rf"[{_NO_SPACES}]\p{{M}}*|[[\p{{L}}\p{{M}}\p{{N}}_]--[{_NO_SPACES}]]+", regex.VERSION1)


class Bm25:
    """BM25 over documents: bm25s's defaults (Lucene's formula, k1 1.5, b 0.75), English stop words, Snowball stemming.

    `queries` has query_id and query; `texts` are those of all documents, which are read once, a number kept for each
    word: the same one for all words that no query has, which count for nothing but a document's length. Document
    frequencies are those of all documents.
    """

    def __init__(self, queries: pd.DataFrame, texts: Iterable[str]) -> None:
        stem = Stemmer.Stemmer("english").stemWord
        asked = ([stem(word) for word in terms(query)] for query in queries["query"])
        self.terms = dict(zip(queries["query_id"], asked, strict=True))
        known = dict.fromkeys(word for words in self.terms.values() for word in words)
        vocabulary = {word: number for number, word in enumerate(["", *known])}  # no word is empty
        words = [[vocabulary.get(stem(word), 0) for word in terms(text)] for text in texts]
        self.index = bm25s.BM25() if any(words) else None
        if self.index:
            self.index.index((words, vocabulary), show_progress=False)
        self.count = len(words)

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

"""BM25 over all documents as Vespa computes it: the same tokenisation and formula, summed over fields."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain

import bm25s
import numpy as np
import regex
import Stemmer

from ranker.contract.words import DROPPED, stemmer_of

K1, B = 1.2, 0.75  # Vespa's defaults
# A symbol is a word by itself. A script without spaces between words gives one word between two spaces.
_WORD = regex.compile(r"\p{So}|[\p{L}\p{Mn}\p{Mc}\p{N}]+")
_ACCENTS = regex.compile("[\u0300-\u036f]+")
KEPT = 2**17  # cached stems; text repeats few words often


def analyser(language: str) -> Callable[[str], list[str]]:
    """A function from text to stems, equal to Vespa's OpenNlpLinguistics with Snowball's stemmers.

    >>> analyser("en")("Children's toys, Type-2 (Études)")
    ['children', 's', 'toy', 'type', '2', 'etud']
    """
    algorithm = stemmer_of(language)
    stem = Stemmer.Stemmer(algorithm).stemWord if algorithm else str

    @lru_cache(KEPT)
    def term(word: str) -> str:
        word = unicodedata.normalize("NFKC", word).lower()
        return stem(_ACCENTS.sub("", unicodedata.normalize("NFD", word)))

    return lambda text: [found for word in _WORD.findall(text.translate(DROPPED)) if (found := term(word))]


class Bm25:
    """The sum over fields of Vespa's bm25(field): k1 1.2, b 0.75, no stop words, statistics by field.

    `queries` maps ids to texts. `documents` yields the texts of each document's fields, and is read once. A text
    is stored as a number for each word; words that are in no query share one number, because they only add to the
    text's length. Without `queries`, each word has a number, for queries that come later. Document frequencies and mean
    lengths are those of all documents.
    """

    def __init__(self, queries: Mapping[str, str] | None, documents: Iterable[Sequence[str]], language: str) -> None:
        self.words = analyser(language)
        self.takes_any = queries is None
        self.terms = {query_id: self.words(text) for query_id, text in (queries or {}).items()}
        known = dict.fromkeys(chain.from_iterable(self.terms.values()))
        vocabulary = {word: number for number, word in enumerate(["", *known])}  # no word is empty

        def number(word: str) -> int:
            return vocabulary.setdefault(word, len(vocabulary)) if self.takes_any else vocabulary.get(word, 0)

        fields: list[list[list[int]]] = []
        for texts in documents:
            fields = fields or [[] for _ in texts]
            for field, text in zip(fields, texts, strict=True):
                field.append([number(word) for word in self.words(text)])
        self.count = len(fields[0]) if fields else 0
        self.indexes = [_index(field, vocabulary) for field in fields if any(field)]

    def scores(self, query_id: str) -> np.ndarray:
        """Score of every document for a query, float32 [documents]."""
        return self._scores(self.terms[query_id])

    def scores_of(self, query: str) -> np.ndarray:
        """Score of every document for a query's text, float32 [documents]; ValueError if made for other queries."""
        if not self.takes_any:
            raise ValueError("expected an index without queries, found one that knows the words of its own alone")
        return self._scores(self.words(query))

    def _scores(self, asked: list[str]) -> np.ndarray:
        scores = np.zeros(self.count, np.float32)
        if asked:
            for index in self.indexes:
                scores += index.get_scores(asked)
        return scores


def _index(field: list[list[int]], vocabulary: dict[str, int]) -> bm25s.BM25:
    index = bm25s.BM25(k1=K1, b=B, method="atire", idf_method="lucene")
    index.index((field, vocabulary), show_progress=False)
    return index

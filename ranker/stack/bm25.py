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
    text's length. Document frequencies and mean lengths are those of all documents.
    """

    def __init__(self, queries: Mapping[str, str], documents: Iterable[Sequence[str]], language: str) -> None:
        words = analyser(language)
        self.terms = {query_id: words(text) for query_id, text in queries.items()}
        known = dict.fromkeys(chain.from_iterable(self.terms.values()))
        vocabulary = {word: number for number, word in enumerate(["", *known])}  # no word is empty
        fields: list[list[list[int]]] = []
        for texts in documents:
            fields = fields or [[] for _ in texts]
            for field, text in zip(fields, texts, strict=True):
                field.append([vocabulary.get(word, 0) for word in words(text)])
        self.count = len(fields[0]) if fields else 0
        self.indexes = [_index(field, vocabulary) for field in fields if any(field)]

    def scores(self, query_id: str) -> np.ndarray:
        """Score of every document for a query, float32 [documents]."""
        scores = np.zeros(self.count, np.float32)
        if asked := self.terms[query_id]:
            for index in self.indexes:
                scores += index.get_scores(asked)
        return scores


def _index(field: list[list[int]], vocabulary: dict[str, int]) -> bm25s.BM25:
    index = bm25s.BM25(k1=K1, b=B, method="atire", idf_method="lucene")
    index.index((field, vocabulary), show_progress=False)
    return index

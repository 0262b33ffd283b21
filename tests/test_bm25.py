"""ranker.retrieval.bm25: words of every script, and scores of all documents by the formula."""

from collections import Counter
from math import log

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.retrieval.bm25 import Bm25, terms


def asked(*texts: str) -> pd.DataFrame:
    return pd.DataFrame({"query_id": [str(i) for i in range(len(texts))], "query": texts})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Vitamin D, type 2 (of the) SARS-CoV-2", ["vitamin", "d", "type", "2", "sars", "cov", "2"]),
        ("snake_case Ångström cafe\u0301", ["snake_case", "ångström", "café"]),
        ("\uff21\uff22\uff23 \u2460", ["abc", "1"]),  # what is as good as ASCII
        ("病毒起源", ["病", "毒", "起", "源"]),
        ("ウイルスの起源 SARS", ["ウ", "イ", "ル", "ス", "の", "起", "源", "sars"]),
        ("ไวรัส", ["ไ", "ว", "รั", "ส"]),  # a vowel above stays with its consonant
        ("바이러스 기원", ["바이러스", "기원"]),  # Korean has spaces
        ("вирус происхождение", ["вирус", "происхождение"]),
        ("of the", []),
        (" \t—!", []),
    ],
)
def test_terms(text: str, words: list[str]) -> None:
    assert terms(text) == words


@pytest.mark.parametrize(
    ("query", "title", "other"),
    [
        ("vitamin D", "Vitamin D and masks", "Vitamin C and masks"),
        ("type 2 diabetes", "Diabetes of type 2", "Diabetes of type 1"),
        ("hepatitis B", "Hepatitis B in wards", "Hepatitis C in wards"),
    ],
)
def test_bm25_has_words_of_one_letter(query: str, title: str, other: str) -> None:
    for titles in ([title, other], [other, title]):
        scores = Bm25(asked(query), titles).scores("0")
        assert titles[int(np.argmax(scores))] == title
        assert scores.max() > scores.min() > 0


WORDS = st.lists(st.sampled_from(["masks", "bats", "ward", "d", "2"]), max_size=6)  # which no stemmer makes one


def by_formula(query: list[str], texts: list[list[str]]) -> list[float]:
    """Lucene's BM25 with k1 1.5 and b 0.75, a query's word as often as it has it."""
    counts, mean = [Counter(text) for text in texts], sum(map(len, texts)) / len(texts)
    scores = []
    for text, count in zip(texts, counts, strict=True):
        score = 0.0
        for word in query:
            having = sum(word in other for other in counts)
            rarity = log(1 + (len(texts) - having + 0.5) / (having + 0.5))
            if count[word]:
                score += rarity * count[word] / (count[word] + 1.5 * (1 - 0.75 + 0.75 * len(text) / mean))
        scores.append(score)
    return scores


@given(WORDS, st.lists(WORDS, min_size=1, max_size=6))
def test_scores_are_the_formulas(query: list[str], texts: list[list[str]]) -> None:
    found = Bm25(asked(" ".join(query)), [" ".join(text) for text in texts]).scores("0")
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx(by_formula(query, texts) if any(texts) else [0] * len(texts), abs=1e-5)


def test_texts_are_read_once_in_whatever_comes() -> None:
    index = Bm25(asked("bats", "of the", "masks"), iter(["Bats", "", "Masks and bats"]))
    assert index.count == 3
    assert (index.scores("0") > 0).tolist() == [True, False, True]
    assert index.scores("1").tolist() == [0, 0, 0]
    assert (index.scores("2") > 0).tolist() == [False, False, True]

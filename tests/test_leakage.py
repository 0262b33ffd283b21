"""ranker.splits.leakage: the audit finds exactly the planted leaks."""

import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer  # type: ignore[attr-defined]

from ranker.contract.tokens import Ragged, ragged, tokenize
from ranker.splits import leakage
from ranker.splits.leakage import (
    NEAR_QUERIES,
    NEAR_TITLES,
    audit,
    near_duplicates,
    near_queries,
    seen_documents,
    unseen_pairs,
)

tokens = st.lists(st.integers(0, 12), max_size=12)


@given(st.lists(tokens, max_size=8), st.lists(tokens, min_size=1, max_size=8))
def test_near_duplicates_are_those_of_the_definition(titles: list[list[int]], others: list[list[int]]) -> None:
    """Sets of token ids with eight in ten shared; order and repetition do not count."""
    expected = [
        any(title and len({*title} & {*other}) >= NEAR_TITLES * len({*title} | {*other}) for other in others)
        for title in titles
    ]
    assert near_duplicates(ragged(titles), ragged(others)).tolist() == expected


def test_near_duplicates_are_found_beyond_the_first_block() -> None:
    titles = ragged([[1, 2, 3, 4, 10 + i] for i in range(2500)])
    found = near_duplicates(titles, ragged([[10, 4, 3, 2, 1], [1, 2, 3, 4, 2410, 2410]]))
    assert np.flatnonzero(found).tolist() == [0, 2400]


CHINESE = "基于人群的口罩效果的回顾性分析"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(set(CHINESE)), "origin", "of", "sars", "cov", "in", "bats"]
VOCABULARY += ["study", "-", ".", "2", "a", "clinical", "etude", "bird"]


def encoded(*titles: str) -> Ragged:
    vocabulary = {token: number for number, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer.from_str(BertWordPieceTokenizer(vocabulary, lowercase=True).to_str())
    return ragged(tokenize(tokenizer, titles))


@pytest.mark.parametrize(
    ("title", "other", "near"),
    [
        ("Origin of SARS-CoV-2 in bats", "ORIGIN of SARS-CoV-2 in bats.", True),
        ("Étude clinical", unicodedata.normalize("NFD", "Étude clinical"), True),
        ("Étude clinical", "etude Clinical", True),
        ("Origin of SARS in bats", "Origin of bird in a study", False),
        (CHINESE, CHINESE.replace("性", ""), True),  # one character of thirteen
        (CHINESE, CHINESE[:9], False),
        (CHINESE, "口罩效果", False),
        ("", "", False),
    ],
)
def test_near_duplicates_are_of_what_the_model_sees(title: str, other: str, near: bool) -> None:
    """Case, accents and composition do not matter; a script without spaces is compared by characters."""
    assert near_duplicates(encoded(title), encoded("study", other)).tolist() == [near]


DOCUMENTS = ragged([[1, 2, 3, 4, 5], [6, 7], [5, 4, 3, 2, 1, 1], [8], []])
ROWS = {document: row for row, document in enumerate("abcde")}


def test_audit_by_hand() -> None:
    """Fold 1 has b, which fold 0 has too; c, whose title is a's; d and e (empty), which have no near title."""
    pairs = pd.DataFrame(
        [("1", "a", 0), ("1", "b", 0), ("2", "b", 1), ("2", "c", 1), ("2", "d", 1), ("2", "e", 1)],
        columns=["query_id", "document_id", "fold"],
    )
    seen = {fold: seen_documents(pairs, fold, DOCUMENTS, ROWS) for fold in (0, 1)}
    assert seen[1].set_index("document_id")["seen"].to_dict() == {"b": True, "c": False, "d": False, "e": False}
    assert seen[1].set_index("document_id")["near"].to_dict() == {"b": True, "c": True, "d": False, "e": False}
    pairs["unseen"] = unseen_pairs(pairs, seen)
    assert pairs["unseen"].tolist() == [False, False, False, False, True, True]
    assert audit(pairs, 1, seen[1]) == {
        "queries_seen": 0,
        "documents_seen": 1 / 4,
        "documents_or_near_duplicate_texts_seen": 2 / 4,
        "pairs_of_unseen_documents": 2 / 4,
    }


def test_near_queries_are_found_beyond_the_first_block(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1).normal(size=(50, 4))
    vectors, held_out = random / np.linalg.norm(random, axis=1, keepdims=True), np.arange(50) % 3 == 0
    cosines = vectors @ vectors.T
    across = [(i, j) for i in np.flatnonzero(held_out) for j in np.flatnonzero(~held_out)]
    expected = sum(cosines[pair] >= NEAR_QUERIES for pair in across)
    assert expected > 10
    for rows in (1024, 7):
        monkeypatch.setattr(leakage, "QUERY_ROWS", rows)
        assert near_queries(vectors, held_out) == expected
    assert near_queries(np.zeros((0, 3)), np.zeros(0, bool)) == 0


def test_near_queries_by_hand() -> None:
    """Cosines are 0.8 (one across), 0.76 (both held out) and 0.74 (across, too far)."""
    assert NEAR_QUERIES == 0.75
    vectors = np.array([[1, 0, 0, 0], [0.8, 0.6, 0, 0], [0, 0, 1, 0], [0, 0, 0.76, 0.65], [0, 0.74, 0, 0.67]])
    held_out = np.array([True, False, True, True, False])
    assert near_queries(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), held_out) == 1
    assert near_queries(vectors, ~held_out) == 1
    assert near_queries(vectors, np.ones(5, dtype=bool)) == 0

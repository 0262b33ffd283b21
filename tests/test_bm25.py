"""ranker.stack.bm25: words as Vespa makes them, and the formula summed over fields.

tests/engines/test_vespa_words.py compares the words with those of Vespa's own code.
"""

import json
from collections import Counter
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.stack.bm25 import Bm25, analyser
from ranker.vespa.feed import feed_lines
from stages.first_stage import say_unstemmed


def asked(*texts: str) -> dict[str, str]:
    return {str(i): text for i, text in enumerate(texts)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Vitamin D, type 2 (of the) SARS-CoV-2", "vitamin d type 2 of the sar cov 2"),
        ("snake_case Ångström cafe\u0301 naïve", "snake case angstrom cafe naiv"),
        ("\uff21\uff22\uff23 \u2460 ½ x²", "abc 1 1\u20442 x2"),
        ("it's Children's U.S. Parkinson\u2019s", "it s children s u s parkinson s"),
        ("corona\u00advirus zero\u200bwidth nul\u0000l", "coronavirus zerowidth null"),
        ("病毒起源 ウイルスの起源 SARS", "病毒起源 ウイルスの起源 sar"),  # one word between two spaces, as in Vespa
        ("🦠🦠masks 5°C", "🦠 🦠 mask 5 ° c"),
        ("вирус происхождение", "вирус происхождение"),
        (" \t—! \u0301", ""),
    ],
)
def test_words(text: str, words: str) -> None:
    assert analyser("en")(text) == words.split()


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("de", "Impfungen der Kinder, Schulen", "impfung der kind schul"),
        ("fr", "Maladies infectieuses", "malad infecti"),
        ("pt-br", "vacinas", "vacin"),
        ("no", "sykdommer", "sykdomm"),
        ("pl", "running Łódź", "running łodz"),  # Vespa has no stemmer for this language
        ("zh-hans", "running", "running"),
    ],
)
def test_words_are_stemmed_by_their_language(language: str, text: str, words: str) -> None:
    assert analyser(language)(text) == words.split()


@given(st.text(max_size=30))
def test_characters_that_the_feed_drops_make_no_difference(text: str) -> None:
    (line,) = feed_lines([("a", text)])
    fed = json.loads(line)["fields"]["title"]
    assert analyser("en")(fed) == analyser("en")(text)


WORDS = st.lists(st.sampled_from(["masks", "bats", "ward", "d", "2"]), max_size=6)  # no stemmer changes it
FIELDS = st.tuples(WORDS, WORDS)


def by_formula(query: list[str], texts: list[list[str]]) -> np.ndarray:
    """Vespa's bm25(field) with k1 1.2 and b 0.75; a repeated word of the query counts each time."""
    counts, mean = [Counter(text) for text in texts], sum(map(len, texts)) / len(texts)
    scores = np.zeros(len(texts))
    for row, (text, count) in enumerate(zip(texts, counts, strict=True)):
        for word in query:
            having = sum(word in other for other in counts)
            rarity = log(1 + (len(texts) - having + 0.5) / (having + 0.5))
            if count[word]:
                length = 1.2 * (1 - 0.75 + 0.75 * len(text) / mean)
                scores[row] += rarity * count[word] * (1.2 + 1) / (count[word] + length)
    return scores


@given(WORDS, st.lists(FIELDS, min_size=1, max_size=6))
def test_scores_are_the_formulas_summed_over_fields(query: list[str], texts: list[tuple[list[str], ...]]) -> None:
    found = Bm25(asked(" ".join(query)), [tuple(map(" ".join, fields)) for fields in texts], "en").scores("0")
    assert found.dtype == np.float32
    expected = sum((by_formula(query, list(field)) for field in zip(*texts, strict=True)), np.zeros(len(texts)))
    assert found == pytest.approx(expected, abs=1e-5)


def test_documents_are_read_once_in_parts_of_any_size() -> None:
    index = Bm25(asked("bats", "...", "masks"), iter([("Bats",), ("",), ("Masks and bats",)]), "en")
    assert index.count == 3
    assert (index.scores("0") > 0).tolist() == [True, False, True]
    assert index.scores("1").tolist() == [0, 0, 0]
    assert (index.scores("2") > 0).tolist() == [False, False, True]


@given(WORDS, st.lists(FIELDS, max_size=6))
def test_an_index_for_later_queries_gives_the_same_scores(query: list[str], texts: list[tuple[list[str], ...]]) -> None:
    documents = [tuple(map(" ".join, fields)) for fields in texts]
    known = Bm25(asked(" ".join(query)), documents, "en")
    assert Bm25(None, documents, "en").scores_of(" ".join(query)).tolist() == known.scores("0").tolist()
    with pytest.raises(ValueError, match="expected an index without queries"):
        known.scores_of("masks")


@pytest.mark.parametrize("language", ["deu", "pl", "zh-hans"])
def test_a_language_that_no_stemmer_is_for_is_said(language: str, capsys: pytest.CaptureFixture[str]) -> None:
    say_unstemmed(language)
    assert capsys.readouterr().out.startswith(f"first_stage: BM25 stems no words of language {language}: it has ")
    say_unstemmed("de-at")
    assert capsys.readouterr().out == ""

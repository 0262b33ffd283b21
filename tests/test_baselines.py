"""ranker.evaluation.baselines: BM25 of a pair's own texts by its formula, and the cosine of their vectors."""

from math import log

import numpy as np
import pandas as pd
import pytest

from ranker.evaluation.baselines import SCORERS, JudgedTexts, baseline_scores, bm25_scores
from ranker.metrics.systems import BASELINES
from ranker.project.tables import Embeddings, cosine_scores


def queries(*texts: str) -> pd.DataFrame:
    return pd.DataFrame({"query_id": [str(i) for i in range(len(texts))], "query": texts})


def documents(*titles: str) -> pd.DataFrame:
    return pd.DataFrame({"document_id": [f"d{i}" for i in range(len(titles))], "title": titles})


def all_pairs(queries: pd.DataFrame, documents: pd.DataFrame) -> pd.DataFrame:
    return queries[["query_id"]].merge(documents[["document_id"]], how="cross")


def test_bm25_is_vespas_formula() -> None:
    """By hand: four titles of 3, 4, 1 and 3 words, k1 1.2, b 0.75; every word counts."""
    titles = documents("Masks in hospitals", "Bats and viruses: bats", "Virus", "Hospitals and wards")
    asked = queries("virus and bat")

    def weight(count: int, length: int, having: int) -> float:
        rarity = log(1 + (4 - having + 0.5) / (having + 0.5))
        return rarity * count * 2.2 / (count + 1.2 * (1 - 0.75 + 0.75 * length / 2.75))

    expected = [0, weight(2, 4, 1) + 2 * weight(1, 4, 2), weight(1, 1, 2), weight(1, 3, 2)]
    found = bm25_scores(all_pairs(asked, titles), asked, titles, "en")
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_bm25_scores_are_in_the_order_of_the_pairs() -> None:
    asked, titles = queries("bats", "masks"), documents("Bats", "Masks")
    pairs = pd.DataFrame(
        {"query_id": ["1", "0", "1", "0"], "document_id": ["d0", "d0", "d1", "d1"]}, index=[7, 3, 5, 1]
    )
    none, first, second, other = bm25_scores(pairs, asked, titles, "en")
    assert none == other == 0
    assert first == second > 0


def test_bm25_is_the_sum_over_fields_of_a_pairs_document() -> None:
    """By hand: the word is in one title and in two texts of two words each; each field has its own statistics."""
    asked = queries("masks")
    texts = documents("Masks", "Bats", "Masks").assign(text=["Of wards", "Masks indoors", "Masks outdoors"])
    once = log(1 + 1.5 / 2.5)  # in each field, whose texts are of one length and of which two of three have it
    found = bm25_scores(all_pairs(asked, texts), asked, texts, "en")
    assert found.tolist() == pytest.approx([once, once, 2 * once], abs=1e-6)


def test_cosine_scores_are_of_the_pairs_own_texts() -> None:
    own_queries = Embeddings({"2": 0, "1": 1}, np.array([[0, 1], [1, 0]], dtype=np.float32))
    own_documents = Embeddings({"a": 0, "b": 1}, np.array([[0.6, 0.8], [1, 0]], dtype=np.float32))
    pairs = pd.DataFrame({"query_id": ["1", "1", "2"], "document_id": ["a", "b", "a"]})
    assert cosine_scores(pairs, own_queries, own_documents).tolist() == pytest.approx([0.6, 1, 0.8])


def test_baseline_scores_keep_the_pairs_index() -> None:
    texts = queries("bat", "mask"), documents("Bats", "Masks")
    vectors = np.array([[1, 0], [0.6, 0.8]], dtype=np.float32)
    embedded = Embeddings({"0": 0, "1": 1}, vectors), Embeddings({"d0": 0, "d1": 1}, vectors)
    scores = baseline_scores(all_pairs(*texts)[1:], JudgedTexts(*texts, *embedded, "en"))
    assert tuple(scores) == BASELINES == ("bm25", "base_cosine")
    assert set(SCORERS) == set(BASELINES)
    assert scores.index.tolist() == [1, 2, 3]
    assert scores["base_cosine"].tolist() == pytest.approx([0.6, 0.6, 1])
    assert (scores["bm25"] > 0).tolist() == [False, False, True]

"""ranker.evaluation.baselines: BM25 of a pair's own texts by its formula, the cosine of their vectors."""

from math import log

import numpy as np
import pandas as pd
import pytest

from ranker.evaluation.baselines import SCORERS, JudgedTexts, baseline_scores, bm25_scores
from ranker.metrics.ranking import mean_measures, ranking_measures
from ranker.metrics.systems import BASELINES
from ranker.project.tables import Embeddings
from ranker.retrieval.hits import cosine_scores


def queries(*texts: str) -> pd.DataFrame:
    return pd.DataFrame({"query_id": [str(i) for i in range(len(texts))], "query": texts})


def documents(*titles: str) -> pd.DataFrame:
    return pd.DataFrame({"document_id": [f"d{i}" for i in range(len(titles))], "text": titles})


def all_pairs(queries: pd.DataFrame, documents: pd.DataFrame) -> pd.DataFrame:
    return queries[["query_id"]].merge(documents[["document_id"]], how="cross")


def test_bm25_is_lucenes_formula() -> None:
    """By hand: four titles of 2, 3, 1 and 2 words that count, k1 1.5, b 0.75."""
    titles = documents("Masks in hospitals", "Bats and viruses: bats", "Virus", "Hospitals and wards")
    asked = queries("the virus of a bat")

    def weight(count: int, length: int, having: int) -> float:
        return log(1 + (4 - having + 0.5) / (having + 0.5)) * count / (count + 1.5 * (1 - 0.75 + 0.75 * length / 2))

    expected = [0, weight(2, 3, 1) + weight(1, 3, 2), weight(1, 1, 2), 0]
    found = bm25_scores(all_pairs(asked, titles), asked, titles)
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_bm25_scores_are_in_the_order_of_the_pairs() -> None:
    asked, titles = queries("bats", "masks"), documents("Bats", "Masks")
    pairs = pd.DataFrame(
        {"query_id": ["1", "0", "1", "0"], "document_id": ["d0", "d0", "d1", "d1"]}, index=[7, 3, 5, 1]
    )
    none, first, second, other = bm25_scores(pairs, asked, titles)
    assert none == other == 0
    assert first == second > 0


def test_bm25_has_words_where_a_script_has_no_spaces() -> None:
    """Each query's own title holds its text; all others hold a character or two of it."""
    asked = queries("口罩效果", "病毒起源", "社区传播", "マスクの効果")
    titles = documents(
        *(
            "基于人群的口罩效果的回顾性分析",
            "关于病毒起源的多中心调查",
            "初步社区传播的综述",
            "病院でのマスクの効果について",
        ),
        *("药物治疗效果的研究", "流感病人的起居调查", "社会传染源的综述", "ウイルスの起源について"),
    )
    grades = [int(query == title) for query in range(4) for title in range(8)]
    run = all_pairs(asked, titles).assign(grade=grades, relevant=[grade > 0 for grade in grades])
    found = ranking_measures(run, bm25_scores(run, asked, titles))
    assert mean_measures(found)["nDCG@10"] == 1


def test_bm25_without_words_scores_nothing() -> None:
    for asked, titles in (
        (queries("bats"), documents("The", "of")),
        (queries("of the"), documents("Bats", "Masks")),
        (queries("..."), documents("Bats", "")),
    ):
        assert bm25_scores(all_pairs(asked, titles), asked, titles).tolist() == [0, 0]


def test_cosine_scores_are_of_the_pairs_own_texts() -> None:
    own_queries = Embeddings({"2": 0, "1": 1}, np.array([[0, 1], [1, 0]], dtype=np.float32))
    own_documents = Embeddings({"a": 0, "b": 1}, np.array([[0.6, 0.8], [1, 0]], dtype=np.float32))
    pairs = pd.DataFrame({"query_id": ["1", "1", "2"], "document_id": ["a", "b", "a"]})
    assert cosine_scores(pairs, own_queries, own_documents).tolist() == pytest.approx([0.6, 1, 0.8])


def test_baseline_scores_keep_the_pairs_index() -> None:
    texts = queries("a bat", "a mask"), documents("Bats", "Masks")
    vectors = np.array([[1, 0], [0.6, 0.8]], dtype=np.float32)
    embedded = Embeddings({"0": 0, "1": 1}, vectors), Embeddings({"d0": 0, "d1": 1}, vectors)
    scores = baseline_scores(all_pairs(*texts)[1:], JudgedTexts(*texts, *embedded))
    assert tuple(scores) == BASELINES == ("bm25", "base_cosine")
    assert set(SCORERS) == set(BASELINES)
    assert scores.index.tolist() == [1, 2, 3]
    assert scores["base_cosine"].tolist() == pytest.approx([0.6, 0.6, 1])
    assert (scores["bm25"] > 0).tolist() == [False, False, True]

"""data/sample as its README describes it: graded, shared between queries, and hard for shared words."""

import numpy as np
import pandas as pd
import pytest
from bm25s.stopwords import STOPWORDS_EN
from sklearn.metrics import roc_auc_score

from ranker.data.join import Joined
from ranker.evaluation.baselines import bm25_scores
from ranker.metrics.ranking import expected_measures, mean_measures, ranking_measures
from ranker.stack.bm25 import Bm25, analyser
from tests.factories import ROOT, join_tutorial

SAMPLE = ROOT / "data/sample"
STOPWORDS = set(STOPWORDS_EN)


@pytest.fixture(scope="module")
def sample() -> Joined:
    return join_tutorial(SAMPLE)[0]


@pytest.fixture(scope="module")
def titles() -> pd.DataFrame:
    """document_id and text."""
    return join_tutorial(SAMPLE)[1].rename(columns={"title": "text"})


def test_its_counts_are_those_of_its_readme(sample: Joined) -> None:
    text = (SAMPLE / "README.md").read_text()
    kept = sample.counts["kept"]
    assert kept == {"queries": 50, "documents": 695, "judged_documents": 695, "pairs": 2854, "relevant_pairs": 518}
    assert {name: n for name, n in sample.counts["dropped"].items() if n} == {"judgement_without_document": 9}
    assert f"{kept['documents']} titles and {kept['pairs']:,} graded pairs" in text
    assert sorted(sample.pairs["grade"].unique()) == [0, 1, 2]


def test_documents_are_judged_for_one_to_seventeen_queries(sample: Joined) -> None:
    queries = sample.pairs.groupby("document_id").size()
    assert (queries.min(), queries.max()) == (1, 17)
    assert (queries > 1).mean() > 0.9
    assert queries.between(2, 4).mean() > 0.6


def test_nearly_all_that_bm25_ranks_first_of_all_titles_is_judged(sample: Joined, titles: pd.DataFrame) -> None:
    bm25 = Bm25(
        dict(zip(sample.queries["query_id"], sample.queries["query"], strict=True)),
        [(text,) for text in titles["text"]],
        "en",
    )
    judged = sample.pairs.groupby("query_id")["document_id"].agg(set)
    shares = []
    for query_id in sample.queries["query_id"]:
        ranked = titles["document_id"].iloc[np.lexsort((titles["document_id"], bm25.scores(query_id)))[::-1]]
        shares.append(ranked[:10].isin(judged[query_id]).mean())
    assert min(shares) >= 0.8
    assert np.mean(shares) >= 0.99


def test_every_query_has_pairs_to_tell_apart(sample: Joined) -> None:
    by_query = sample.pairs.groupby("query_id")["grade"]
    assert by_query.size().min() >= 40
    assert by_query.agg(lambda grades: (grades == 2).sum()).min() >= 4
    assert by_query.agg(lambda grades: (grades == 0).sum()).min() >= 30


def test_shared_words_mislead_as_the_readme_says(sample: Joined, titles: pd.DataFrame) -> None:
    terms = analyser("en")
    texts = [*sample.queries.to_numpy().tolist(), *titles[["document_id", "text"]].to_numpy().tolist()]
    words = {name: set(terms(text)) - STOPWORDS for name, text in texts}
    pairs = sample.pairs
    shared = [
        len(words[query] & words[title]) for query, title in zip(pairs["query_id"], pairs["document_id"], strict=True)
    ]
    pairs = pairs.assign(shared=shared)
    answers = pairs[pairs["grade"] == 2].assign(apart=lambda table: table["shared"] <= 1)
    assert answers.groupby("query_id")["apart"].mean().min() >= 0.5
    decoys = pairs[(pairs["grade"] == 0) & (pairs["shared"] >= 2)].groupby("query_id").size()
    assert len(decoys) == 50
    assert decoys[decoys < 6].to_dict() == {"44": 4}


def test_neither_shared_words_nor_chance_solve_it(sample: Joined, titles: pd.DataFrame) -> None:
    bm25 = bm25_scores(sample.pairs, sample.queries, titles[["document_id", "text"]], "en")
    assert roc_auc_score(sample.pairs["relevant"], bm25) < 0.6
    assert mean_measures(ranking_measures(sample.pairs, bm25))["nDCG@10"] < 0.4
    assert mean_measures(expected_measures(sample.pairs))["nDCG@10"] < 0.35
    assert mean_measures(ranking_measures(sample.pairs, sample.pairs["grade"].to_numpy()))["nDCG@10"] == 1

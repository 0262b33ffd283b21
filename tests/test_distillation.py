"""ranker.training.distillation and stages.distil: made-up queries, their pairs, and that a student learns of them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stages.distil
from ranker.contract.tokens import load_tokenizer, tokenize
from ranker.model.cross_encoder import load_checkpoint
from ranker.model.embedding import Embedder
from ranker.project import paths, tables
from ranker.project.tables import Embeddings
from ranker.training.distillation import TITLES, WORDS, made_up_queries, teaching_pairs
from stages.distil import correlation
from tests.factories import ROOT, set_params

HEADLINES = ["Masks", "", "The origin of a virus in bats of the south and of the north"]


def test_made_up_queries_are_runs_of_a_titles_words() -> None:
    queries = made_up_queries(HEADLINES, 200, seed=13)
    assert len(queries) == 200
    for query in queries:
        assert any(f" {query} " in f" {title} " for title in HEADLINES)
        assert query == "Masks" or WORDS[0] <= len(query.split()) <= WORDS[1]
    assert len(set(queries)) > 30
    assert made_up_queries(HEADLINES, 200, seed=13) == queries
    assert made_up_queries(HEADLINES, 200, seed=14) != queries


def vectors(count: int, prefix: str, seed: int) -> Embeddings:
    values = np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return Embeddings({f"{prefix}{i}": i for i in range(count)}, values)


def test_teaching_pairs_are_near_ones_and_chance_ones() -> None:
    queries, documents = vectors(50, "q", 1), vectors(500, "d", 2)
    pairs = teaching_pairs(queries, documents, seed=13)
    assert not pairs.duplicated(["query_id", "document_id"]).any()
    cosines = [
        documents.values[documents.index[d]] @ queries.values[queries.index[q]]
        for q, d in zip(pairs["query_id"], pairs["document_id"], strict=True)
    ]
    assert pairs["cosine"].to_numpy() == pytest.approx(cosines, abs=1e-6)
    order = np.argsort(np.argsort(-queries.values @ documents.values.T, axis=1), axis=1)
    ranks = [
        order[queries.index[q], documents.index[d]]
        for q, d in zip(pairs["query_id"], pairs["document_id"], strict=True)
    ]
    near = pd.Series(ranks).lt(30).groupby(pairs["query_id"]).sum()
    assert near.min() >= TITLES // 2
    assert pairs.groupby("query_id").size().between(TITLES - 3, TITLES).all()  # one may be drawn both ways


def test_teaching_pairs_targets_rise_with_the_cosine_around_its_mean() -> None:
    pairs = teaching_pairs(vectors(50, "q", 1), vectors(500, "d", 2), seed=13).sort_values("cosine")
    assert pairs["target"].is_monotonic_increasing
    assert pairs["target"].dtype == np.float32
    at_mean = np.interp(pairs["cosine"].mean(), pairs["cosine"], pairs["target"])
    one_above = np.interp(pairs["cosine"].mean() + pairs["cosine"].std(), pairs["cosine"], pairs["target"])
    assert (at_mean, one_above) == pytest.approx((0.5, 0.88), abs=0.02)


def test_teaching_pairs_take_all_titles_where_there_are_few() -> None:
    pairs = teaching_pairs(vectors(2, "q", 1), vectors(3, "d", 2), seed=13)
    assert pairs.groupby("query_id")["document_id"].nunique().tolist() == [3, 3]


@pytest.fixture
def workspace(base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stage distil reads, of 60 titles in three themes, with the tiny base model."""
    monkeypatch.chdir(tmp_path)
    paths.BASE_MODEL.parent.mkdir(parents=True)
    paths.BASE_MODEL.symlink_to(base_model)
    titles = [f"{theme} {i}" for i in range(20) for theme in ("vaccine trial", "mask on wards", "origin of bats")]
    ids = [f"d{i}" for i in range(60)]
    tables.write_table(paths.DOCUMENTS, pd.DataFrame({"document_id": ids, "title": titles}))
    tokens = tokenize(load_tokenizer(base_model), titles)
    tables.write_tokens(paths.ENCODED_DOCUMENTS, [tables.pack(ids, tokens)])
    embeddings = list(Embedder(base_model)(tokens))
    tables.write_table(paths.EMBEDDED_DOCUMENTS, pd.DataFrame({"document_id": ids, "embedding": embeddings}))
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    return tmp_path


def test_distil_teaches_the_cosine(workspace: Path) -> None:
    correlations = []
    for queries in (20, 500):
        set_params(workspace, distil__queries=queries, train__precision="fp32")
        stages.distil.main()
        report = json.loads(paths.DISTILLATION.read_text())
        assert report["made-up queries"] == queries
        correlations.append(report["correlation with the cosine"])
        assert load_checkpoint(paths.START).config.num_labels == 2
    assert correlations[1] > max(correlations[0], 0.15)  # by chance, over 800 pairs: 0.035


def test_distil_without_queries_teaches_nothing(workspace: Path) -> None:
    set_params(workspace, distil__queries=0)
    stages.distil.main()
    assert list(paths.START.iterdir()) == []
    assert json.loads(paths.DISTILLATION.read_text()) == {"made-up queries": 0}


def test_correlation_by_hand() -> None:
    assert correlation(np.array([1.0, 2, 3]), np.array([5.0, 3, 1])) == pytest.approx(-1)
    assert correlation(np.array([1.0, 2, 3]), np.array([1.0, 1, 4])) == pytest.approx(3 / np.sqrt(2 * 6))
    assert correlation(np.array([1.0, 2, 3]), np.array([2.0, 2, 2])) == 0  # no spread to go with

"""What is taught before any judgement: made-up queries, their pairs, and that the pupil learns."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertModel

import stages.distil
from ranker.model.cross_encoder import load_checkpoint
from ranker.model.embedding import Embedder
from ranker.project import paths, tables
from ranker.project.tables import Embeddings
from ranker.training.distillation import TITLES, WORDS, made_up_queries, teaching_pairs
from tests.conftest import ROOT

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


def test_targets_rise_with_the_cosine_around_its_mean() -> None:
    pairs = teaching_pairs(vectors(50, "q", 1), vectors(500, "d", 2), seed=13).sort_values("cosine")
    assert pairs["target"].is_monotonic_increasing
    assert pairs["target"].dtype == np.float32
    at_mean = np.interp(pairs["cosine"].mean(), pairs["cosine"], pairs["target"])
    one_above = np.interp(pairs["cosine"].mean() + pairs["cosine"].std(), pairs["cosine"], pairs["target"])
    assert (at_mean, one_above) == pytest.approx((0.5, 0.88), abs=0.02)


def test_fewer_titles_than_are_asked_for_are_all_taken() -> None:
    pairs = teaching_pairs(vectors(2, "q", 1), vectors(3, "d", 2), seed=13)
    assert pairs.groupby("query_id")["document_id"].nunique().tolist() == [3, 3]


def test_embeddings_are_the_mean_of_the_last_layer(base_model: Path) -> None:
    """By transformers alone, one text at a time, without padding."""
    texts = [[7, 8, 9], [], list(range(10, 60)), list(range(5, 400))]
    found = Embedder(base_model)(texts)
    model = BertModel.from_pretrained(base_model).eval()
    for embedding, text in zip(found, texts, strict=True):
        ids = torch.tensor([[2, *text[:158], 3]])  # the tiny model has 160 positions
        with torch.inference_mode():
            mean = model(input_ids=ids).last_hidden_state[0].mean(dim=0).numpy()
        assert embedding == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


@pytest.fixture
def workspace(base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stage distil reads, of 60 titles in three themes, with the tiny base model."""
    from ranker.contract.tokens import load_tokenizer, tokenize

    monkeypatch.chdir(tmp_path)
    paths.BASE_MODEL.parent.mkdir(parents=True)
    paths.BASE_MODEL.symlink_to(base_model)
    titles = [f"{theme} {i}" for i in range(20) for theme in ("vaccine trial", "mask on wards", "origin of bats")]
    ids = [f"d{i}" for i in range(60)]
    tables.write_table(paths.DOCUMENTS, pd.DataFrame({"document_id": ids, "title": titles}))
    tokens = tokenize(load_tokenizer(base_model), titles)
    tables.write_table(paths.ENCODED_DOCUMENTS, pd.DataFrame({"document_id": ids, "tokens": tokens}))
    embeddings = list(Embedder(base_model)(tokens))
    tables.write_table(paths.EMBEDDED_DOCUMENTS, pd.DataFrame({"document_id": ids, "embedding": embeddings}))
    return tmp_path


def set_params(folder: Path, **values: object) -> None:
    text = (ROOT / "params.yaml").read_text()
    for name, value in values.items():
        assert text.count(f"\n  {name}:") == 1
        before, after = text.split(f"\n  {name}:")
        text = f"{before}\n  {name}: {value} {after[after.index('#') :]}"
    (folder / "params.yaml").write_text(text)


def test_the_pupil_learns_the_cosine(workspace: Path) -> None:
    correlations = []
    for queries in (20, 500):
        set_params(workspace, queries=queries, precision="fp32")
        stages.distil.main()
        report = json.loads(paths.DISTILLATION.read_text())
        assert report["made-up queries"] == queries
        correlations.append(report["correlation with the cosine"])
        assert load_checkpoint(paths.START).config.num_labels == 2
    assert correlations[1] > max(correlations[0], 0.15)  # by chance, over 800 pairs: 0.035


def test_without_queries_nothing_is_taught(workspace: Path) -> None:
    set_params(workspace, queries=0)
    stages.distil.main()
    assert list(paths.START.iterdir()) == []
    assert json.loads(paths.DISTILLATION.read_text()) == {"made-up queries": 0}

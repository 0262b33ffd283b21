"""ranker.opensearch: zips, requests and the feed; tests/engines/test_opensearch.py asks a real server."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from ranker.common.files import read_json, sha256, write_json
from ranker.contract.folder import Model
from ranker.opensearch.bodies import bodies, index, pipelines, served_stacks
from ranker.opensearch.bulk import bulk_lines, write_bulk
from ranker.opensearch.package import write_zip
from ranker.serving.ranker import Ranker
from ranker.stack.stack import Stack, write_stack
from tests.factories import place_models, refusal, run_stages

STACK = Stack("hybrid", "fused", 100, {"cross_encoder": 0.25, "cosine": 1.0, "bm25": 0.25}, "en")


@pytest.fixture
def project(ranker_folder: Path, word_vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place_models(tmp_path, ranker_folder, word_vectors)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "models"


def packaged(models: Path, stack: Stack = STACK, model: Model = "fp32") -> Path:
    write_stack(models / "stack.json", stack, {"retriever": "fp32", "cross_encoder": model})
    run_stages("opensearch")
    return models / "opensearch"


@pytest.mark.parametrize("model", ["fp32", "int8"])
def test_zip_of_the_ranker_gives_its_score_as_one_logit(project: Path, model: Model) -> None:
    ranker, folder = Ranker(project / "ranker", model), packaged(project, model=model)
    archive = zipfile.ZipFile(folder / "ranker.zip")
    assert archive.namelist() == ["model.onnx", "tokenizer.json"]
    session = onnxruntime.InferenceSession(archive.read("model.onnx"))
    pair = Tokenizer.from_str(archive.read("tokenizer.json").decode()).encode("masks in hospitals", "masks " * 200)
    assert len(pair.ids) == ranker.layout.max_length
    columns = {"input_ids": pair.ids, "token_type_ids": pair.type_ids, "attention_mask": pair.attention_mask}
    inputs = {name: np.array([column], np.int64) for name, column in columns.items()}
    (logits,) = session.run(["logits"], inputs)
    two = ranker.logits(inputs)
    assert logits.tolist() == [[two[0, 1] - two[0, 0]]]


def test_package_has_equal_bytes_twice_and_registers_them(project: Path) -> None:
    folder = packaged(project)
    before = {file.name: sha256(file) for file in folder.iterdir()}
    assert {file.name: sha256(file) for file in packaged(project).iterdir()} == before
    for name, size in (("ranker", 1), ("retriever", read_json(project / "retriever/embedding.json")["size"])):
        body = read_json(folder / f"register_{name}.json")
        assert body["model_content_hash_value"] == before[f"{name}.zip"]
        assert (body["url"], body["model_config"]["embedding_dimension"]) == (f"URL/{name}.zip", size)
    tokenizer = json.loads(zipfile.ZipFile(folder / "retriever.zip").read("tokenizer.json"))
    assert tokenizer["truncation"] == {
        "direction": "Right", "max_length": 128, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip
    assert not any("QUERY" in file.read_text() for file in folder.glob("pipeline_*.json"))


def test_zip_is_the_same_on_every_machine(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", b"model", {"é": 1})
    found = hashlib.sha256((tmp_path / "a.zip").read_bytes()).hexdigest()
    assert found == "36cc218914bf4396ab246f6bf488198e77fb0bd59cf0842bef1da492b6812f41"


def test_package_without_a_retriever_serves_bm25(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(project / "retriever")
    write_json(project / "retriever/idle.json", {"first_stage.retriever": "bm25"})
    folder = packaged(project, Stack("bm25", "cross_encoder", 50, STACK.weights, "en"))
    assert capsys.readouterr().out == "opensearch: models/opensearch: bm25, bm25+cross_encoder of version 0.1.0\n"
    assert sorted(file.name for file in folder.iterdir()) == [
        *("connect.sh", "connector.json", "connector_settings.json", "deploy.sh", "index.json"),
        *("pipeline_hybrid.json", "pipeline_rerank.json", "ranker.zip"),
        *("register_ranker.json", "search_bm25.json", "search_bm25_cross_encoder.json", "settings.json"),
    ]
    assert "knn" not in (folder / "index.json").read_text()


def test_stage_says_what_opensearch_cannot_serve(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packaged(project)
    assert capsys.readouterr().out.splitlines()[1] == (
        "opensearch: OpenSearch cannot serve hybrid+fused: docs/opensearch.md names the nearest"
    )


def test_searches_ask_for_all_hits_that_a_stack_orders() -> None:
    found: dict[str, Any] = dict(bodies(STACK, 384))
    assert {name: body["size"] for name, body in found.items() if name.startswith("search")} == {
        "search_bm25.json": 100, "search_dense.json": 100, "search_hybrid.json": 200,
        "search_bm25_cross_encoder.json": 100, "search_dense_cross_encoder.json": 100,
        "search_hybrid_cross_encoder.json": 200,
    }  # fmt: skip
    assert all(("ext" in body) == ("cross_encoder" in name) for name, body in found.items())
    assert [stack.name for stack in served_stacks(STACK, False)] == ["bm25", "bm25+cross_encoder"]


@pytest.mark.parametrize(("bm25", "cosine", "shares"), [(0.25, 1.0, [0.2, 0.8]), (0, 1, [0, 1]), (0, 0, [0.5, 0.5])])
def test_weights_of_the_hybrid_add_up_to_one(bm25: float, cosine: float, shares: list[float]) -> None:
    joined = pipelines({"cross_encoder": 3, "bm25": bm25, "cosine": cosine})["rerank"]["phase_results_processors"][0]
    assert joined["normalization-processor"]["combination"]["parameters"]["weights"] == shares


@pytest.mark.parametrize(
    ("language", "filters"),
    [
        ("de-at", ["lowercase", "asciifolding", "stems"]),
        ("pl", ["lowercase", "asciifolding"]),
    ],
)
def test_words_are_stemmed_by_the_language(language: str, filters: list[str]) -> None:
    analysis = index(language, None)["settings"]["analysis"]
    assert analysis["analyzer"]["words"]["filter"] == filters
    assert [found["language"] for found in analysis["filter"].values()] == ["German"] * (len(filters) - 2)


def test_bulk_lines_are_ids_and_texts() -> None:
    lines = list(bulk_lines([("a", 'The "origin"', "In bats\n"), ("é/2", " ", "")]))
    assert [json.loads(line) for line in lines] == [
        {"index": {"_id": "a"}}, {"text": 'The "origin" In bats\n'}, {"index": {"_id": "é/2"}}, {},
    ]  # fmt: skip
    assert not any("\n" in line for line in lines)
    assert refusal(list, bulk_lines([("é" * 257, "title")])) == (
        "document_id 'éééééééééééééééééééé'…: expected at most 512 bytes, found 514"
    )


def test_write_bulk_reads_the_contracts_fields(tmp_path: Path) -> None:
    documents, out = tmp_path / "documents.csv", tmp_path / "bulk.jsonl"
    documents.write_text("document_id,title,text\n1,Masks,In wards\n")
    assert write_bulk(documents, out, tmp_path).endswith("bulk.jsonl: 1 documents of title")
    write_json(tmp_path / "encoding.json", {"document_fields": ["title", "text"]})
    assert write_bulk(documents, out, tmp_path).endswith("bulk.jsonl: 1 documents of title and text")
    assert out.read_text() == '{"index": {"_id": "1"}}\n{"text": "Masks In wards"}\n'
    documents.write_text("document_id,title\n,Masks\n")
    assert "expected" in refusal(write_bulk, documents, out, tmp_path / "none")
    assert out.read_text().startswith('{"index": {"_id": "1"}}')  # the last good output stays
    assert "found a folder" in refusal(write_bulk, documents, tmp_path, tmp_path)

"""ranker.serving.ranker: its imports, its scores against the trained model's, threads, and damaged files."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ranker.common.errors import InputError
from ranker.common.files import sha256
from ranker.contract.folder import check_digests
from ranker.contract.layout import lay_out, read_contract, relevance
from ranker.contract.tokens import Ragged
from ranker.export.golden import TEXTS
from ranker.model.cross_encoder import new_classifier
from ranker.serving.ranker import Ranker
from tests.factories import refusal

TITLES = ["Masks in wards", "The origin of the virus in bats", "", "long " * 300, "Étude 🦠 [SEP]"]


@pytest.fixture(scope="module")
def ranker(ranker_folder: Path) -> Ranker:
    return Ranker(ranker_folder)


def test_encode_documents_is_compact_and_cut(ranker: Ranker) -> None:
    documents = ranker.encode_documents(TITLES)
    assert isinstance(documents, Ragged)
    assert documents.values.dtype == np.uint16
    assert documents.lengths.max() == ranker.layout.doc_input_size - 1
    assert documents.lengths[2] == 0
    assert len(ranker.encode_query("long " * 300)) == ranker.layout.query_input_size - 2


def test_score_is_the_trained_models(base_model: Path, ranker: Ranker) -> None:
    """PyTorch scores texts one pair at a time, without padding."""
    model, query = new_classifier(base_model, seed=5).eval(), ranker.encode_query("origin of the virus")
    documents = ranker.encode_documents(TITLES)
    expected = []
    for document in documents:
        inputs = lay_out(ranker.layout, [query], [document])
        with torch.inference_mode():
            logits = model(**{name: torch.from_numpy(array) for name, array in inputs.items()}).logits
        expected.append(float(relevance(logits.numpy())[0]))
    np.testing.assert_allclose(ranker.score(query, documents), expected, atol=1e-5)
    np.testing.assert_allclose(ranker.score_unbatched(query, documents), expected, atol=1e-5)


def test_rank_is_the_order_of_the_scores(ranker: Ranker) -> None:
    documents = ranker.encode_documents([*TITLES, TITLES[0]])
    scores = ranker.score(ranker.encode_query("masks"), documents)
    ranked = ranker.rank("masks", documents)
    assert [row for row, _ in ranked] == sorted(range(6), key=lambda row: (-scores[row], row))  # ties: the first first
    assert [score for _, score in ranked] == sorted(map(float, scores), reverse=True)
    assert ranker.rank("masks", documents, top=2) == ranked[:2]
    assert ranker.rank("masks", ranker.encode_documents([])) == []


def test_rank_takes_texts(ranker: Ranker) -> None:
    """Texts rank as their token ids do; ids are not mistaken for texts, nor digits for ids."""
    for titles in (TITLES, ["2020", "2019"], []):
        assert ranker.rank("masks", titles) == ranker.rank("masks", ranker.encode_documents(titles))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"top": -1}, "top: expected a whole number of at least 1, or None for all, found -1"),
        ({"top": 0}, "top: expected a whole number of at least 1, or None for all, found 0"),
        ({"top": 1.5}, "top: expected a whole number of at least 1, or None for all, found 1.5"),
        ({"top": True}, "top: expected a whole number of at least 1, or None for all, found True"),
        ({"query": ["masks"]}, "query: expected text, found list"),
        ({"documents": "Masks"}, "documents: expected a list, found one text"),
        ({"documents": ["Masks", [5, 6]]}, "documents: expected texts or what encode_documents gives, found both"),
    ],
)
def test_rank_refuses_arguments_that_would_rank_something_else(
    ranker: Ranker, asked: dict[str, Any], message: str
) -> None:
    assert refusal(ranker.rank, **{"query": "masks", "documents": TITLES} | asked) == message


def test_encode_documents_refuses_one_text(ranker: Ranker) -> None:
    assert "documents: expected a list of texts, found one text" in refusal(ranker.encode_documents, "Masks")


def test_score_unbatched_is_alone_and_not_padded(ranker_folder: Path, ranker: Ranker) -> None:
    """With int8 it gives other scores, those of a batch of one at its own length."""
    rounded = Ranker(ranker_folder, "int8")
    documents, query = ranker.encode_documents(TITLES), ranker.encode_query("masks")
    found = rounded.score_unbatched(query, documents)
    alone = [lay_out(ranker.layout, [query], [document]) for document in documents]
    assert [pair["input_ids"].shape[1] for pair in alone] == [3 + len(query) + len(document) for document in documents]
    assert found.tolist() == [relevance(rounded.logits(inputs))[0] for inputs in alone]
    assert found.tolist() != rounded.score(query, documents).tolist()


def test_rank_from_threads_gives_what_one_thread_gives(ranker_folder: Path) -> None:
    """Concurrent queries get the results of sequential ones; the number of threads has no effect."""
    ranker = Ranker(ranker_folder, threads=1)
    documents = ranker.encode_documents([f"{title} {i}" for i in range(40) for title in TITLES])
    queries = [f"{text} {i}" for i in range(10) for text in ("masks", "bats", "origin of the virus", "")]
    expected = [ranker.rank(query, documents, 10) for query in queries]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda query: ranker.rank(query, documents, 10), queries)) == expected
    other = Ranker(ranker_folder, threads=2).rank(queries[0], documents, 10)
    assert [score for _, score in other] == pytest.approx([score for _, score in expected[0]], abs=1e-5)


def test_golden_vectors_are_what_training_lays_out(base_model: Path, ranker_folder: Path, ranker: Ranker) -> None:
    """Recompute each vector: its tokens from the texts, its inputs by the contract, its logits by PyTorch."""
    golden = json.loads((ranker_folder / "golden.json").read_text())
    assert [vector["name"] for vector in golden["vectors"]] == list(TEXTS)
    model, layout = new_classifier(base_model, seed=5).eval(), read_contract(ranker_folder / "encoding.json")
    for vector in golden["vectors"]:
        assert ranker.encode_query(vector["query"]).tolist() == vector["query_tokens"]
        (document,) = ranker.encode_documents([vector["document"]])
        assert document.tolist() == vector["document_tokens"]
        inputs = lay_out(layout, [vector["query_tokens"]], [vector["document_tokens"]], layout.max_length)
        assert {name: array[0].tolist() for name, array in inputs.items()} == {name: vector[name] for name in inputs}
        with torch.inference_mode():
            logits = model(**{name: torch.from_numpy(array) for name, array in inputs.items()}).logits[0]
        np.testing.assert_allclose(logits, vector["logits"], atol=golden["logits_within"])
    lengths = {sum(vector["attention_mask"]) for vector in golden["vectors"]}
    assert {3, layout.max_length} <= lengths  # both empty, and both cut


@pytest.fixture
def copy(ranker_folder: Path, tmp_path: Path) -> Path:
    """A copy of a ranker's folder that a test may spoil."""
    return Path(shutil.copytree(ranker_folder, tmp_path / "ranker"))


@pytest.mark.parametrize("file", ["encoding.json", "tokenizer.json", "model.int8.onnx"])
def test_ranker_names_the_file_that_is_missing_or_another(ranker_folder: Path, copy: Path, file: str) -> None:
    with (copy / file).open("ab") as changed:
        changed.write(b"\n")
    digests = f"expected sha256 {sha256(ranker_folder / file)}, as manifest.json says, found {sha256(copy / file)}"
    assert f"{file}: {digests}" in refusal(Ranker, copy, "int8")
    (copy / file).write_text("{}")
    assert re.search(rf"{file}: expected (?!sha256)", refusal(Ranker, copy, "int8", trusted=True))
    (copy / file).unlink()
    with pytest.raises(InputError, match=rf"{file}: expected a (file|model) that stage export wrote, found none"):
        Ranker(copy, "int8")


def test_ranker_says_why_there_may_be_no_eight_bit_model(copy: Path) -> None:
    (copy / "model.int8.onnx").unlink()
    with pytest.raises(InputError, match=r"model.int8.onnx: .* found none, or none passed its gate \(manifest.json\)"):
        Ranker(copy, "int8")
    (copy / "model.onnx").unlink()
    assert re.search(r"model.onnx: expected a file that stage export wrote, found none$", refusal(Ranker, copy))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "manifest.json: expected a file that stage export wrote, found none"),
        ("", "manifest.json: expected the digests of model.onnx, found: JSONDecodeError"),
        ("[]", "manifest.json: expected the digests of model.onnx, found: TypeError"),
        ('{"files": {}}', r"manifest.json: expected the digests of model.onnx, found: KeyError\('model.onnx'\)"),
    ],
)
def test_check_digests_asks_for_a_manifest(tmp_path: Path, content: str | None, message: str) -> None:
    (tmp_path / "model.onnx").touch()
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    assert re.search(message, refusal(check_digests, tmp_path, "model.onnx"))

"""The retriever, from its training to its folder, which the wheel, sentence-transformers and ONNX read alike."""

import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pandas as pd
import pytest
import torch

from ranker.common.files import read_json, sha256, write_json
from ranker.contract.embedding import STATES, TextLayout, lay_out_texts, read_embedding_contract
from ranker.contract.layout import INPUTS
from ranker.contract.tokens import load_tokenizer, tokenize
from ranker.export.golden import TEXTS
from ranker.export.onnx import TOLERANCE
from ranker.model.cross_encoder import new_segment_cosine
from ranker.model.embedding import Embedder
from ranker.model.segment_cosine import BertForBiEncoder
from ranker.project import paths
from ranker.project.params import Retriever as Settings
from ranker.serving.retriever import Retriever
from ranker.training.retriever import train_retriever
from tests.conftest import made_once, write_own_files
from tests.factories import TRAIN, make_data, own_cosines, refusal, run_stages, set_params, start_project, weights

SHARED = {name: value for name, value in TRAIN.model_dump().items() if name in Settings.model_fields}
SETTINGS = Settings(**SHARED | {"max_length": 24, "model": "int8"})
ODD = [*dict.fromkeys(side for sides in TEXTS.values() for side in sides), "masks", "the origin of the virus, again"]
LONGEST = 20  # tokens of a text in the project below
EXPORTED = (paths.RETRIEVER, paths.RETRIEVER_REPORT)


def train(**changes: object) -> BertForBiEncoder:
    pairs, encoded = make_data(20)
    settings = SETTINGS.model_copy(update=changes)
    return train_retriever(pairs, encoded.queries, encoded.documents, settings, [], "")


@pytest.mark.usefixtures("bare")
def test_train_retriever_learns(fetched_model: Path) -> None:
    """It orders pairs of other queries, whose relevant documents begin with the same token."""
    pairs, encoded = make_data(6, seed=1)
    found = []
    for model in (
        cast(BertForBiEncoder, new_segment_cosine(fetched_model, BertForBiEncoder)),
        train(epochs=15, learning_rate=3e-3, warmup_steps=20),
    ):
        scores, relevant = own_cosines(model, encoded), pairs["relevant"].to_numpy()
        found.append(np.mean(scores[relevant][:, None] > scores[~relevant]))
    assert found[1] > max(0.9, found[0])


@pytest.fixture(scope="module")
def usual(fetched_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("usual"))
        start_project(Path())
        paths.BASE_MODEL.symlink_to(fetched_model)
        return weights(train())


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 3),
        ("batch_size", 16),
        ("learning_rate", 2e-3),
        ("warmup_steps", 20),
        ("weight_decay", 0.5),
        ("seed", 14),
        ("precision", "bf16"),
        ("max_length", 8),
        ("trainable", "top-1"),
    ],
)
def test_train_retriever_depends_on_every_setting(usual: dict[str, torch.Tensor], name: str, value: object) -> None:
    layer = "bert.encoder.layer.1.attention.self.query.weight"
    assert not torch.equal(usual[layer], weights(train(**{name: value}))[layer])


@pytest.mark.usefixtures("bare")
def test_train_retriever_of_equal_settings_gives_equal_weights(usual: dict[str, torch.Tensor]) -> None:
    assert all(torch.equal(usual[name], tensor) for name, tensor in weights(train()).items())


@pytest.fixture(scope="session")
def made(fetched_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has run up to stage export_retriever, on a part of the sample."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            start_project(folder)
            write_own_files(folder)
            paths.BASE_MODEL.symlink_to(fetched_model)
            changes = {"max_length": LONGEST, "epochs": 1, "precision": "fp32", "trainable": "all"}
            set_params(
                folder,
                fetch__folder="mine",
                split__folds=2,
                **{f"retriever__{name}": value for name, value in changes.items()},
            )
            run_stages("fetch", "join", "encode", "embed", "split", "retriever", "export_retriever")

    return made_once(tmp_path_factory, "retriever", make)


@pytest.fixture
def inside(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter that project, which the test leaves as it is."""
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def own(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a copy of that project."""
    copy = Path(shutil.copytree(made, tmp_path / "own", symlinks=True))
    monkeypatch.chdir(copy)
    return copy


def cosines(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", found, expected)


def test_vectors_are_those_of_pytorch_and_sentence_transformers(made: Path) -> None:
    """The texts have no token, other scripts, special tokens as text, or too many tokens."""
    retriever = Retriever(made / paths.RETRIEVER)
    assert (retriever.layout.max_length, retriever.size, retriever.document_fields) == (LONGEST, 32, ("title",))
    found = retriever.embed_documents(ODD)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(found, retriever.embed_queries(ODD))
    tokens = tokenize(load_tokenizer(made / paths.RETRIEVER_CHECKPOINT), ODD)
    assert {0, LONGEST - 2} <= {len(text) for text in retriever.encode(ODD)}
    assert max(map(len, tokens)) > LONGEST
    np.testing.assert_allclose(found, Embedder(made / paths.RETRIEVER_CHECKPOINT)(tokens, "document"), atol=2e-5)
    peer = pytest.importorskip("sentence_transformers", reason="make test installs it (requirements-bench.txt)")
    theirs = peer.SentenceTransformer(str(made / paths.RETRIEVER), device="cpu")
    assert theirs.max_seq_length == LONGEST
    known = ["[SEP]" not in text for text in ODD]  # tokens that the tiny tokenizer.json lacks
    texts = [text for text, kept in zip(ODD, known, strict=True) if kept]
    for encode in (theirs.encode, theirs.encode_query, theirs.encode_document):
        np.testing.assert_allclose(found[known], encode(texts, show_progress_bar=False), atol=2e-5)


def test_vectors_do_not_depend_on_the_texts_beside_them(made: Path) -> None:
    """An int8 vector has equal bits alone, because a batch would set the scale of its activations."""
    for model, tolerance in (("fp32", 1e-6), ("int8", 0.0)):
        retriever = Retriever(made / paths.RETRIEVER, model)  # type: ignore[arg-type]
        alone = np.concatenate([retriever.embed_documents([text]) for text in ODD])
        np.testing.assert_allclose(retriever.embed_documents(ODD), alone, rtol=0, atol=tolerance)
        assert retriever.embed_documents([]).shape == (0, 32)
    exact = Retriever(made / paths.RETRIEVER).embed_documents(ODD)
    assert 0.9 < cosines(alone, exact).min() < 1


def test_onnx_is_the_bert_that_vespas_embedder_asks_for(made: Path) -> None:
    for name in ("model.onnx", "model.int8.onnx"):
        graph = onnx.load(made / paths.RETRIEVER / name).graph
        assert [value.name for value in graph.input] == list(INPUTS)
        (output,) = graph.output
        axes = [axis.dim_param or axis.dim_value for axis in output.type.tensor_type.shape.dim]
        assert (output.name, axes) == (STATES, ["batch", "sequence", 32])
    described = read_json(made / paths.RETRIEVER / "manifest.json")["onnx"]["int8"]
    assert described["output"] == {STATES: "float32 [batch, sequence, 32]"}


def test_golden_embeddings_are_those_of_the_model(made: Path) -> None:
    golden, retriever = read_json(made / paths.RETRIEVER / "golden.json"), Retriever(made / paths.RETRIEVER)
    texts = [vector["text"] for vector in golden["vectors"]]
    assert set(texts) == {side for sides in TEXTS.values() for side in sides}
    assert [vector["tokens"] for vector in golden["vectors"]] == [text.tolist() for text in retriever.encode(texts)]
    expected = np.array([vector["embedding"] for vector in golden["vectors"]])
    np.testing.assert_allclose(retriever.embed_queries(texts), expected, atol=golden["embeddings_within"])
    for vector in golden["vectors"]:
        inputs = lay_out_texts(retriever.layout, [vector["tokens"]])
        assert {name: array[0].tolist() for name, array in inputs.items()} == {name: vector[name] for name in INPUTS}


def test_manifest_and_report_say_what_it_is_made_of_and_finds(made: Path) -> None:
    folder, report = made / paths.RETRIEVER, read_json(made / paths.RETRIEVER_REPORT)
    manifest, contract = read_json(folder / "manifest.json"), read_json(folder / "embedding.json")
    files = {file.relative_to(folder).as_posix(): sha256(file) for file in folder.rglob("*") if file.is_file()}
    assert files.pop("manifest.json")
    assert manifest["files"] == files
    assert contract["tokenizer_sha256"] == files["tokenizer.json"]
    assert contract["bytes_a_document"] == report["bytes a document"] == {"float32": 128, "bfloat16": 64}
    assert set(manifest["made_of"]["code"]) == {"retriever", "export_retriever"}
    assert set(manifest["params"]) == {"fetch", "join", "split", "retriever", "export"}
    assert "model" not in manifest["params"]["retriever"]
    assert report["fp32"]["largest embedding difference from PyTorch"] < TOLERANCE
    assert report["fp32"]["nDCG@10"] == manifest["fp32"]["nDCG@10"]
    held_out = pd.read_parquet(made / paths.SPLIT_PAIRS).query("fold == 0")
    assert report["queries"] == report["int8"]["queries"] == held_out.query("relevant")["query_id"].nunique()
    assert report["documents"] == len(pd.read_parquet(made / paths.DOCUMENTS))
    assert report["int8"]["R@100 in fp32"] == report["fp32"]["R@100"]


@pytest.mark.usefixtures("own")
def test_export_of_equal_inputs_gives_equal_bytes() -> None:
    def digests() -> dict[Path, str]:
        return {file: sha256(file) for place in EXPORTED for file in [place, *place.rglob("*")] if file.is_file()}

    before = digests()
    set_params(Path(), first_stage__retriever="dense", retriever__model="fp32", train__epochs=3)
    run_stages("export_retriever")
    assert digests() == before


def test_idle_retriever_is_a_note_that_a_reader_understands(own: Path) -> None:
    set_params(own, first_stage__retriever="bm25")
    run_stages("retriever", "export_retriever")
    for folder in (paths.RETRIEVER_CHECKPOINT, paths.RETRIEVER):
        assert [file.name for file in folder.iterdir()] == ["idle.json"]
    assert read_json(paths.RETRIEVER_REPORT) == {"first_stage.retriever": "bm25"}
    assert refusal(Retriever) == (
        "models/retriever: expected a retriever, found none, because first_stage.retriever is bm25: dense and hybrid "
        "train one"
    )


@pytest.mark.parametrize("name", ["embedding.json", "tokenizer.json", "model.int8.onnx"])
def test_retriever_names_the_file_that_is_missing_or_another(own: Path, name: str) -> None:
    file = paths.RETRIEVER / name
    right = sha256(file)
    with file.open("ab") as changed:
        changed.write(b"\n")
    digests = f"expected sha256 {right}, as manifest.json says, found {sha256(file)}"
    assert refusal(Retriever, paths.RETRIEVER, "int8") == f"{file}: {digests}"
    file.unlink()
    why = ", or none passed its gate (manifest.json)" if "int8" in name else ""
    missing = f"{file}: expected a file that stage export_retriever wrote, found none{why}"
    assert refusal(Retriever, paths.RETRIEVER, "int8") == missing


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_length": "long"}, "expected sizes and special ids as stage export_retriever writes them"),
        ({"max_length": 2}, "expected room for a token, and means of length 1, found max_length 2"),
        ({"pooling": "cls"}, "size 32, pooling cls, normalised True"),
    ],
)
def test_read_embedding_contract_refuses_another(
    made: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    content = read_json(made / paths.RETRIEVER / "embedding.json")
    write_json(tmp_path / "embedding.json", content | changes)
    assert message in refusal(read_embedding_contract, tmp_path / "embedding.json")


def test_retriever_refuses_one_text(made: Path) -> None:
    assert (
        refusal(Retriever(made / paths.RETRIEVER).encode, "masks") == "texts: expected a list of texts, found one text"
    )


def test_lay_out_texts_refuses_a_length_that_a_text_exceeds() -> None:
    layout = TextLayout(6, cls_id=2, sep_id=3, pad_id=0)
    with pytest.raises(ValueError, match="expected texts of at most 4 tokens, found one of 5"):
        lay_out_texts(layout, [[7, 8, 9]], 4)
    assert lay_out_texts(layout, [[7]], 5)["input_ids"].tolist() == [[2, 7, 3, 0, 0]]

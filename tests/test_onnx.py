"""ranker.export.onnx: PyTorch's logits for any shape, inputs bound by name, one file, reproducible bytes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, set_seed

from ranker.common.errors import InputError
from ranker.common.files import sha256
from ranker.contract.layout import INPUTS, lay_out
from ranker.export.int8 import SCHEMES, prepare, quantise
from ranker.export.onnx import check_onnx, compare, describe, export_onnx
from ranker.model.cross_encoder import new_classifier
from ranker.serving.ranker import Ranker
from tests.factories import LAYOUT, PARAMS, make_pairs, refusal, write_encoder

EXPORT = PARAMS.export


@pytest.fixture(scope="module")
def model(base_model: Path) -> BertForSequenceClassification:
    return new_classifier(base_model, seed=5).eval()


@pytest.fixture(scope="module")
def folder(base_model: Path, model: BertForSequenceClassification, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranker")
    export_onnx(model, folder / "model.onnx", EXPORT)
    write_encoder(base_model, folder)
    return folder


@pytest.fixture(scope="module")
def ranker(folder: Path) -> Ranker:
    return Ranker(folder, trusted=True)


def torch_logits(model: BertForSequenceClassification, inputs: dict[str, np.ndarray]) -> np.ndarray:
    with torch.inference_mode():
        return model(
            input_ids=torch.from_numpy(inputs["input_ids"]),
            attention_mask=torch.from_numpy(inputs["attention_mask"]),
            token_type_ids=torch.from_numpy(inputs["token_type_ids"]),
        ).logits.numpy()


@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize("length", [None, 30, 40])
def test_export_onnx_gives_pytorchs_logits(
    model: BertForSequenceClassification, ranker: Ranker, batch: int, length: int | None
) -> None:
    pairs = make_pairs(2, seed=3)
    inputs = pairs.inputs(range(batch), length)
    np.testing.assert_allclose(ranker.logits(inputs), torch_logits(model, inputs), atol=1e-5)


def test_export_onnx_binds_mask_and_types_by_name(ranker: Ranker) -> None:
    """The inputs are swapped here, because the tutorial's graph, which swaps them, passes a test that does not."""
    pairs = make_pairs(2, seed=3)
    inputs = pairs.inputs(range(len(pairs)))
    swapped = inputs | {"token_type_ids": inputs["attention_mask"], "attention_mask": inputs["token_type_ids"]}
    difference = np.abs(ranker.logits(swapped) - ranker.logits(inputs)).max(axis=1)
    assert difference.min() > 1e-2  # of every pair


def test_score_pairs_are_in_the_order_given_for_any_batches(ranker: Ranker) -> None:
    pairs = make_pairs(3, seed=3)
    examples = [pairs[row] for row in range(len(pairs))]
    one_by_one = [
        float(np.diff(ranker.logits(lay_out(LAYOUT, [query], [document])))[0, 0]) for query, document, _ in examples
    ]
    queries, documents, _ = zip(*examples, strict=True)
    for tokens in (1, 100, 2048):
        scores = ranker.score_pairs(queries, documents, tokens)
        np.testing.assert_allclose(scores, one_by_one, atol=1e-5)
    assert ranker.score_pairs([], [], 8).shape == (0,)


def test_export_onnx_writes_what_vespa_takes(folder: Path) -> None:
    proto = onnx.load(folder / "model.onnx", load_external_data=False)
    assert [file.name for file in folder.iterdir() if file.name.startswith("model")] == ["model.onnx"]
    assert not [tensor.name for tensor in proto.graph.initializer if tensor.external_data]
    assert {entry.key: entry.value for entry in proto.metadata_props} == {
        "name": EXPORT.name,
        "version": EXPORT.version,
    }
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 17)]
    assert [value.name for value in proto.graph.input] == list(INPUTS)
    for value in proto.graph.input:
        assert value.type.tensor_type.elem_type == onnx.TensorProto.INT64
        assert [axis.dim_param for axis in value.type.tensor_type.shape.dim] == ["batch", "sequence"]


def test_export_onnx_of_equal_weights_gives_equal_bytes(folder: Path, ranker_folder: Path) -> None:
    """conftest.py has exported the same weights, possibly in another process."""
    assert sha256(folder / "model.onnx") == sha256(ranker_folder / "model.onnx")
    assert b"site-packages" not in (folder / "model.onnx").read_bytes()


def test_compare_refuses_a_model_that_disagrees(
    model: BertForSequenceClassification, base_model: Path, ranker: Ranker
) -> None:
    pairs = make_pairs(3, seed=3)
    assert set(compare(model, ranker, pairs, 96)) == {
        "batches of 96 tokens",
        "batches of 1",
        "batches of 3",
        "full length",
    }
    with pytest.raises(
        InputError, match="ONNX and PyTorch disagree in batches of 96 tokens: expected logits within 0.0001"
    ):
        compare(new_classifier(base_model, seed=6).eval(), ranker, pairs, 96)


def test_compare_refuses_logits_that_are_not_finite(
    model: BertForSequenceClassification, ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranker, "logits", lambda inputs: np.full((len(inputs["input_ids"]), 2), np.nan))
    assert "found inf apart" in refusal(compare, model, ranker, make_pairs(3, seed=3), 96)


def test_check_onnx_refuses_another_version(folder: Path) -> None:
    proto = onnx.load(folder / "model.onnx")
    check_onnx(proto)
    proto.opset_import[0].version = 18
    with pytest.raises(ValueError, match="expected versions .*17, .*, found .*18"):
        check_onnx(proto)


def test_export_onnx_of_the_tutorials_architecture(base_model: Path, tmp_path: Path) -> None:
    """google/bert_uncased_L-4_H-512_A-8's shape with random weights and few words, so that no hub is needed."""
    set_seed(1)
    config = BertConfig(
        vocab_size=1500, hidden_size=512, num_hidden_layers=4, num_attention_heads=8, intermediate_size=2048
    )
    model = BertForSequenceClassification._from_config(config, attn_implementation="eager").eval()
    export_onnx(model, tmp_path / "model.onnx", EXPORT)
    quantise(prepare(tmp_path / "model.onnx", config), SCHEMES[1], tmp_path / "model.int8.onnx", EXPORT)
    write_encoder(base_model, tmp_path)
    inputs = make_pairs(1).inputs(range(10))
    expected = torch_logits(model, inputs)
    np.testing.assert_allclose(Ranker(tmp_path, trusted=True).logits(inputs), expected, atol=1e-5)
    np.testing.assert_allclose(Ranker(tmp_path, "int8", trusted=True).logits(inputs), expected, atol=0.05)
    sizes = [(tmp_path / name).stat().st_size for name in ("model.int8.onnx", "model.onnx")]
    assert sizes[0] < 0.27 * sizes[1]
    assert onnx.load(tmp_path / "model.onnx").ir_version == 8
    assert describe(tmp_path / "model.onnx")["opsets"] == {"ai.onnx": 17}
    assert describe(tmp_path / "model.int8.onnx")["opsets"] == {"ai.onnx": 17, "com.microsoft": 1}


def test_compare_refuses_a_graph_to_which_mask_and_types_are_one(
    model: BertForSequenceClassification, ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tutorial's fault, the two inputs swapped, would have this effect."""
    right, pairs = ranker.logits, make_pairs(3, seed=3)

    def blind(inputs: dict[str, np.ndarray]) -> np.ndarray:
        first, second = inputs["token_type_ids"], inputs["attention_mask"]
        return right(
            inputs | {"token_type_ids": np.minimum(first, second), "attention_mask": np.maximum(first, second)}
        )

    monkeypatch.setattr(ranker, "logits", blind)
    with pytest.raises(InputError, match="expected other logits where token_type_ids and attention_mask change places"):
        compare(model, ranker, pairs, 96)

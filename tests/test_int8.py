"""ranker.export.int8: fusion, rounding, and the choice of the worst matrices.

No literal expects a chip's int8 products, because without VNNI their sums may saturate.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import BertForSequenceClassification

from ranker.common.errors import InputError
from ranker.export.int8 import SCHEMES, Scheme, prepare, quantise, worst_matrices
from ranker.model.cross_encoder import new_classifier
from ranker.serving.ranker import Ranker
from tests.factories import PARAMS, make_pairs

PLAIN, REDUCED, UNSIGNED = SCHEMES


def spoilt_matrix(model: BertForSequenceClassification) -> torch.Tensor:
    layers: Any = model.bert.encoder.layer
    return layers[0].output.dense.weight


@pytest.fixture(scope="module")
def model(base_model: Path) -> BertForSequenceClassification:
    """A tiny cross-encoder with one matrix that rounds badly: one weight of a row dwarfs the others."""
    model = new_classifier(base_model, seed=5).eval()
    with torch.no_grad():
        spoilt_matrix(model)[:, 7] *= 60
    return model


def test_prepare_computes_the_same(exact: Ranker, encoder_folder: Path, prepared: onnx.ModelProto) -> None:
    onnx.save_model(prepared, encoder_folder / "model.onnx")
    fused, pairs = Ranker(encoder_folder, trusted=True), make_pairs(6, seed=3)
    for rows, length in ((range(1), None), (range(3), 40), (range(40), None)):
        inputs = pairs.inputs(rows, length)
        np.testing.assert_allclose(fused.logits(inputs), exact.logits(inputs), atol=1e-5)


def test_prepare_fuses_attention(prepared: onnx.ModelProto) -> None:
    kinds = [node.op_type for node in prepared.graph.node]
    assert [kinds.count(kind) for kind in ("MultiHeadAttention", "SkipLayerNormalization", "BiasGelu")] == [2, 4, 2]
    assert "Softmax" not in kinds
    attention = [node for node in prepared.graph.node if node.op_type == "MultiHeadAttention"]
    spread = {node.output[0] for node in prepared.graph.node if node.op_type == "Expand" and "heads" in node.input}
    assert all(node.input[4] == "" and node.input[5] in spread for node in attention)  # the mask: a bias for each head
    (heads,) = [tensor for tensor in prepared.graph.initializer if tensor.name == "heads"]
    assert onnx.numpy_helper.to_array(heads).tolist() == [1, 2, 1, 1]


def test_prepare_refuses_a_graph_in_which_it_finds_no_attention(
    model: BertForSequenceClassification, exact_folder: Path, tmp_path: Path
) -> None:
    proto = onnx.load(exact_folder / "model.onnx")
    for node in proto.graph.node:
        if node.op_type == "Softmax":
            node.op_type = "LogSoftmax"
    onnx.save(proto, tmp_path / "other.onnx")
    with pytest.raises(
        InputError, match="other.onnx: expected .*'MultiHeadAttention': 2.* fused, found .*Attention': 0"
    ):
        prepare(tmp_path / "other.onnx", model.config)


@pytest.mark.parametrize(
    ("scheme", "dtype", "largest"),
    [
        (PLAIN, onnx.TensorProto.INT8, 127),
        (REDUCED, onnx.TensorProto.INT8, 64),
        (UNSIGNED, onnx.TensorProto.UINT8, 255),
    ],
)
def test_quantise_rounds_weights_but_not_the_head(
    prepared: onnx.ModelProto, tmp_path: Path, scheme: Scheme, dtype: int, largest: int
) -> None:
    quantise(prepared, scheme, tmp_path / "model.int8.onnx", PARAMS.export)
    proto = onnx.load(tmp_path / "model.int8.onnx", load_external_data=False)
    matrices = {tensor.name: tensor for tensor in proto.graph.initializer if len(tensor.dims) == 2}
    products = [node for node in proto.graph.node if node.op_type == "MatMulInteger"]
    assert len(products) == 12  # six in each layer
    for node in products:
        assert matrices[node.input[1]].data_type == dtype
        values = onnx.numpy_helper.to_array(matrices[node.input[1]]).astype(int)
        assert largest / 2 < np.abs(values).max() <= largest
    exact = [list(tensor.dims) for tensor in matrices.values() if tensor.data_type == onnx.TensorProto.FLOAT]
    assert sorted(exact) == [[32, 2], [32, 32]]  # classifier and pooler
    assert {entry.key: entry.value for entry in proto.metadata_props} == {
        "name": PARAMS.export.name,
        "version": PARAMS.export.version,
        "quantisation": scheme.name,
    }


def test_quantise_leaves_matrices_out(prepared: onnx.ModelProto, tmp_path: Path) -> None:
    left_out = [node for node in prepared.graph.node if node.op_type == "MatMul"][3:5]
    scheme = Scheme("some left out", QuantType.QInt8, left_out=tuple(node.name for node in left_out))
    quantise(prepared, scheme, tmp_path / "model.int8.onnx", PARAMS.export)
    proto = onnx.load(tmp_path / "model.int8.onnx")
    assert [node.op_type for node in proto.graph.node].count("MatMulInteger") == 10
    exact = {tensor.name for tensor in proto.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    assert {node.input[1] for node in left_out} <= exact


def test_quantise_of_seven_bits_is_near_the_exact_model(
    exact: Ranker, encoder_folder: Path, prepared: onnx.ModelProto, base_model: Path
) -> None:
    """On every chip: the largest sum of two products is 2 * 64 * 255, which fits in 16 bits."""
    quantise(prepared, REDUCED, encoder_folder / "model.int8.onnx", PARAMS.export)
    pairs = make_pairs(6, seed=3)
    inputs = pairs.inputs(range(60))
    difference = np.abs(Ranker(encoder_folder, "int8", trusted=True).logits(inputs) - exact.logits(inputs))
    assert 0 < difference.max() < np.ptp(exact.logits(inputs)) / 2


def test_quantise_of_the_same_model_gives_the_same_bytes(prepared: onnx.ModelProto, tmp_path: Path) -> None:
    before = prepared.SerializeToString(deterministic=True)
    for name in ("a", "b"):
        quantise(prepared, PLAIN, tmp_path / name, PARAMS.export)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert prepared.SerializeToString(deterministic=True) == before  # it is copied, not changed


def test_worst_matrices_are_those_that_move_the_logits_most(
    model: BertForSequenceClassification, prepared: onnx.ModelProto, exact: Ranker, encoder_folder: Path
) -> None:
    """The reference is ONNX Runtime with one product rounded at a time to 7-bit weights, whose sums never saturate."""
    inputs = make_pairs(6, seed=3).inputs(range(16))
    found = worst_matrices(model, prepared, inputs)
    assert sorted(found) == sorted(node.name for node in prepared.graph.node if node.op_type == "MatMul")
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in prepared.graph.initializer}
    first = next(node for node in prepared.graph.node if node.name == found[0])
    np.testing.assert_array_equal(weights[first.input[1]], spoilt_matrix(model).detach().numpy().T)
    right, moved = exact.logits(inputs), {}
    for name in found:
        copied = onnx.ModelProto()
        copied.CopyFrom(prepared)
        path = encoder_folder / "model.int8.onnx"
        quantize_dynamic(copied, path, ["MatMul"], per_channel=True, reduce_range=True, nodes_to_quantize=[name])
        moved[name] = float(np.abs(Ranker(encoder_folder, "int8", trusted=True).logits(inputs) - right).max())
    assert max(moved, key=lambda name: moved[name]) == found[0]
    assert set(sorted(moved, key=lambda name: -moved[name])[:4]) & set(found[1:4])

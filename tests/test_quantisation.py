"""The eight-bit model: what is fused, what is rounded, and that the gate lets through only what ranks the same."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import BertForSequenceClassification

from ranker.common.errors import InputError
from ranker.common.files import write_json
from ranker.contract.layout import contract, relevance
from ranker.export.gate import ALONE, HeldOut, agreement, gate, in_batches, one_by_one, passes
from ranker.export.int8 import SCHEMES, prepare, quantise, worst_matrices
from ranker.export.onnx import export_onnx
from ranker.model.cross_encoder import new_cross_encoder
from ranker.model.hardware import chip
from ranker.project.params import Export, load_params
from ranker.serving.ranker import Ranker
from tests.conftest import ROOT
from tests.test_model import PAIR_LAYOUT, make_data

PARAMS = load_params(ROOT / "params.yaml").export
LOOSE = {"int8_max_ndcg_loss": 1.0, "int8_min_tau": 0.0, "int8_min_overlap": 0.0, "int8_max_logit_difference": 100.0}


def _second_product(model: BertForSequenceClassification) -> Any:
    layers: Any = model.bert.encoder.layer
    return layers[0].output.dense


@pytest.fixture(scope="module")
def model(base_model: Path) -> BertForSequenceClassification:
    """A tiny cross-encoder, one of whose matrices cannot be rounded well: one weight of a column dwarfs the others."""
    model = new_cross_encoder(base_model, seed=5).eval()
    with torch.no_grad():
        _second_product(model).weight[:, 7] *= 30
    return model


@pytest.fixture(scope="module")
def exact_folder(
    base_model: Path, model: BertForSequenceClassification, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("exact")
    shutil.copyfile(base_model / "tokenizer.json", folder / "tokenizer.json")
    write_json(folder / "encoding.json", contract(PAIR_LAYOUT, ""))
    export_onnx(model, folder / "model.onnx", PARAMS)
    return folder


@pytest.fixture(scope="module")
def prepared(model: BertForSequenceClassification, exact_folder: Path) -> onnx.ModelProto:
    return prepare(exact_folder / "model.onnx", model.config)


@pytest.fixture
def folder(base_model: Path, model: BertForSequenceClassification, tmp_path: Path) -> Path:
    shutil.copyfile(base_model / "tokenizer.json", tmp_path / "tokenizer.json")
    write_json(tmp_path / "encoding.json", contract(PAIR_LAYOUT, ""))
    return tmp_path


@pytest.fixture(scope="module")
def exact(exact_folder: Path) -> Ranker:
    return Ranker(exact_folder, trusted=True)


@pytest.fixture(scope="module")
def held_out(exact: Ranker) -> HeldOut:
    pairs, encoded = make_data(6, seed=3)
    return HeldOut(pairs, encoded, in_batches(exact, encoded), 1)


def bounds(**values: float) -> Export:
    return PARAMS.model_copy(update=LOOSE | values)


def test_the_fused_graph_computes_the_same(
    model: BertForSequenceClassification, exact: Ranker, folder: Path, prepared: onnx.ModelProto, held_out: HeldOut
) -> None:
    onnx.save_model(prepared, folder / "model.onnx")
    fused = Ranker(folder, trusted=True)
    for rows, length in ((range(1), None), (range(3), 40), (range(40), None)):
        inputs = held_out.encoded.inputs(rows, length)
        np.testing.assert_allclose(fused.logits(inputs), exact.logits(inputs), atol=1e-5)


def test_attention_is_fused_before_rounding(prepared: onnx.ModelProto) -> None:
    kinds = [node.op_type for node in prepared.graph.node]
    assert [kinds.count(kind) for kind in ("MultiHeadAttention", "SkipLayerNormalization", "BiasGelu")] == [2, 4, 2]
    assert "Softmax" not in kinds
    attention = [node for node in prepared.graph.node if node.op_type == "MultiHeadAttention"]
    spread = {node.output[0] for node in prepared.graph.node if node.op_type == "Expand" and "heads" in node.input}
    assert all(node.input[4] == "" and node.input[5] in spread for node in attention)  # the mask: a bias for each head
    (heads,) = [tensor for tensor in prepared.graph.initializer if tensor.name == "heads"]
    assert onnx.numpy_helper.to_array(heads).tolist() == [1, 2, 1, 1]


def test_a_graph_in_which_attention_is_not_found_is_refused(
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
        (SCHEMES[0], onnx.TensorProto.INT8, 127),
        (SCHEMES[1], onnx.TensorProto.INT8, 64),
        (SCHEMES[2], onnx.TensorProto.UINT8, 255),
    ],
)
def test_weights_have_eight_bits_and_the_head_has_not(
    prepared: onnx.ModelProto, tmp_path: Path, scheme: object, dtype: int, largest: int
) -> None:
    quantise(prepared, scheme, tmp_path / "model.int8.onnx", PARAMS)  # type: ignore[arg-type]
    proto = onnx.load(tmp_path / "model.int8.onnx", load_external_data=False)
    matrices = {tensor.name: tensor for tensor in proto.graph.initializer if len(tensor.dims) == 2}
    products = [node for node in proto.graph.node if node.op_type == "MatMulInteger"]
    assert len(products) == 12  # six in each layer
    for node in products:
        assert matrices[node.input[1]].data_type == dtype
        values = onnx.numpy_helper.to_array(matrices[node.input[1]]).astype(int)
        assert np.abs(values).max() <= largest
        assert np.abs(values).max() > largest / 2
    exact = [list(t.dims) for t in matrices.values() if t.data_type == onnx.TensorProto.FLOAT]
    assert sorted(exact) == [[32, 2], [32, 32]]  # classifier and pooler
    assert {entry.key: entry.value for entry in proto.metadata_props} == {
        "name": PARAMS.name,
        "version": PARAMS.version,
        "quantisation": scheme.name,  # type: ignore[attr-defined]
    }


def test_the_same_model_gives_the_same_bytes(prepared: onnx.ModelProto, tmp_path: Path) -> None:
    for name in ("a", "b"):
        quantise(prepared, SCHEMES[0], tmp_path / name, PARAMS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_first_scheme_that_passes_is_taken(
    model: BertForSequenceClassification, prepared: onnx.ModelProto, folder: Path, held_out: HeldOut
) -> None:
    (tried,) = gate(model, prepared, folder, held_out, bounds())
    assert (tried["scheme"], tried["passed"], tried["left_out"]) == ("U8S8", True, [])
    ranker = Ranker(folder, "int8", trusted=True)
    for way, logits in (("in batches", in_batches), ("one by one", one_by_one)):
        assert tried[way] == agreement(held_out, logits(ranker, held_out.encoded))
    assert tried["in batches"]["Kendall's tau"] < 1  # it is another model


def test_what_is_worst_is_left_out_where_no_scheme_passes(
    model: BertForSequenceClassification, prepared: onnx.ModelProto, folder: Path, held_out: HeldOut
) -> None:
    all_of_it = gate(model, prepared, folder, held_out, bounds(int8_max_logit_difference=0.0))
    assert [tried["passed"] for tried in all_of_it] == [False] * 6
    assert [len(tried["left_out"]) for tried in all_of_it] == [0, 0, 0, 2, 3, 6]
    assert not (folder / "model.int8.onnx").exists()  # none passed: there is no such model
    worst = [max(tried[way]["largest logit difference"] for way in ("in batches", "one by one")) for tried in all_of_it]
    assert worst[5] < min(worst[:3])  # half of the matrices in fp32 are better than any whole scheme
    tried = gate(model, prepared, folder, held_out, bounds(int8_max_logit_difference=worst[5] * 1.01))
    assert tried[:-1] == all_of_it[: len(tried) - 1]
    assert tried[-1]["passed"]
    assert tried[-1]["left_out"] == all_of_it[len(tried) - 1]["left_out"] != []
    names = {tensor.name for tensor in onnx.load(folder / "model.int8.onnx").graph.initializer if tensor.data_type == 1}
    left_out = [node.input[1] for node in prepared.graph.node if node.name in tried[-1]["left_out"]]
    assert set(left_out) <= names


def test_worst_is_what_moves_the_logits_most(
    model: BertForSequenceClassification, prepared: onnx.ModelProto, folder: Path, held_out: HeldOut
) -> None:
    """Against ONNX Runtime with one product rounded at a time; the spoilt matrix is first."""
    inputs = held_out.encoded.inputs(range(16))
    found = worst_matrices(model, prepared, inputs)
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in prepared.graph.initializer}
    first = next(node for node in prepared.graph.node if node.name == found[0])
    spoilt = _second_product(model).weight.detach().numpy().T
    np.testing.assert_array_equal(weights[first.input[1]], spoilt)
    exact, moved = held_out.logits[:16], {}
    for name in found:
        copied = onnx.ModelProto()
        copied.CopyFrom(prepared)
        path = folder / "model.int8.onnx"
        quantize_dynamic(
            copied, path, ["MatMul"], per_channel=True, weight_type=QuantType.QInt8, nodes_to_quantize=[name]
        )
        moved[name] = float(np.abs(Ranker(folder, "int8", trusted=True).logits(inputs) - exact).max())
    assert max(moved, key=lambda name: moved[name]) == found[0]
    assert set(sorted(moved, key=lambda name: -moved[name])[:4]) & set(found[:3])


def test_each_bound_counts() -> None:
    found = {"loss of nDCG@10": 0.01, "Kendall's tau": 0.9, "overlap of top 10": 0.8, "largest logit difference": 0.5}
    exactly = dict(zip(LOOSE, (0.01, 0.9, 0.8, 0.5), strict=True))
    assert passes(found, bounds(**exactly))
    for name, tighter in zip(LOOSE, (0.009, 0.91, 0.81, 0.49), strict=True):
        assert not passes(found, bounds(**exactly | {name: tighter}))


def test_agreement_with_itself_is_whole(held_out: HeldOut) -> None:
    found = agreement(held_out, held_out.logits)
    assert found["loss of nDCG@10"] == found["largest logit difference"] == 0
    assert found["Kendall's tau"] == pytest.approx(1)
    assert found["overlap of top 10"] == 1
    turned = agreement(held_out, held_out.logits[:, ::-1])
    assert turned["Kendall's tau"] == pytest.approx(-1)


def keys(held_out: HeldOut) -> tuple[list[str], list[str]]:
    return held_out.pairs["query_id"].tolist(), held_out.pairs["document_id"].tolist()


def test_some_of_each_query_are_spread_over_its_ranks(held_out: HeldOut) -> None:
    some = held_out.spread(4)
    scores = relevance(held_out.logits)
    for query_id, rows in held_out.pairs.groupby("query_id"):
        ranked = rows.assign(score=scores[rows.index]).sort_values("score", ascending=False)["document_id"].tolist()
        kept = set(some.pairs.loc[some.pairs["query_id"] == query_id, "document_id"])
        assert kept == {ranked[0], ranked[3], ranked[6], ranked[9]}  # of ten
    places = {pair: at for at, pair in enumerate(zip(*keys(held_out), strict=True))}
    for row, pair in enumerate(zip(*keys(some), strict=True)):
        at = places[pair]
        assert list(some.encoded[row][1]) == list(held_out.encoded[at][1])
        assert some.logits[row].tolist() == held_out.logits[at].tolist()
    assert held_out.spread(ALONE).pairs.equals(held_out.pairs)  # where there are no more


def test_a_score_that_is_none_fails_the_gate(held_out: HeldOut) -> None:
    for spoilt in (np.nan, np.inf):
        logits = held_out.logits.copy()
        logits[3, 1] = spoilt
        assert not passes(agreement(held_out, logits), bounds())


def test_pairs_one_by_one_are_padded_as_vespa_pads_them(exact: Ranker, held_out: HeldOut) -> None:
    shapes = []
    ranker = Ranker.__new__(Ranker)
    ranker.logits = lambda inputs: shapes.append(inputs["input_ids"].shape) or exact.logits(inputs)  # type: ignore[method-assign,func-returns-value]
    np.testing.assert_allclose(one_by_one(ranker, held_out.encoded), held_out.logits, atol=1e-5)
    assert set(shapes) == {(1, PAIR_LAYOUT.max_length)}


def test_the_chip_is_named() -> None:
    found = chip()
    assert found["processor"]
    flags = Path("/proc/cpuinfo").read_text()
    assert ("avx2" in found["instructions"]) == (" avx2 " in flags)

"""ranker.export.gate: only what ranks as the exact model does is let through, whatever this chip makes of eight bits.

What a scheme does here is measured beside the gate, and its verdict is compared with that.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from transformers import BertForSequenceClassification

from ranker.contract.layout import relevance
from ranker.export.gate import ALONE, HeldOut, agreement, gate, in_batches, one_by_one, passes
from ranker.export.int8 import SCHEMES, prepare, quantise, worst_matrices
from ranker.metrics.agreement import kendall_tau, top_overlap
from ranker.metrics.ranking import ranking_measures
from ranker.model.cross_encoder import new_classifier
from ranker.project.params import Export
from ranker.serving.ranker import Ranker
from tests.factories import LAYOUT, PARAMS, make_data, write_encoder

LOOSE = {"int8_max_ndcg_loss": 1.0, "int8_min_tau": -1.0, "int8_min_overlap": 0.0, "int8_max_logit_difference": 1e9}
WAYS = {"in batches": in_batches, "one by one": one_by_one}


@pytest.fixture(scope="module")
def model(base_model: Path) -> BertForSequenceClassification:
    return new_classifier(base_model, seed=5).eval()


@pytest.fixture(scope="module")
def exact_folder(base_model: Path, ranker_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What conftest.py exported of the same model, under the layout of the made-up pairs."""
    folder = tmp_path_factory.mktemp("exact")
    write_encoder(base_model, folder)
    shutil.copyfile(ranker_folder / "model.onnx", folder / "model.onnx")
    return folder


@pytest.fixture(scope="module")
def exact(exact_folder: Path) -> Ranker:
    return Ranker(exact_folder, trusted=True)


@pytest.fixture(scope="module")
def prepared(model: BertForSequenceClassification, exact_folder: Path) -> onnx.ModelProto:
    return prepare(exact_folder / "model.onnx", model.config)


@pytest.fixture
def folder(base_model: Path, tmp_path: Path) -> Path:
    write_encoder(base_model, tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def held_out(exact: Ranker) -> HeldOut:
    pairs, encoded = make_data(6, seed=3)
    return HeldOut(pairs, encoded, in_batches(exact, encoded))


def bounds(**values: float) -> Export:
    return PARAMS.export.model_copy(update=LOOSE | values)


def largest(tried: dict[str, Any]) -> float:
    return max(tried[way]["largest logit difference"] for way in WAYS)


def test_gate_takes_the_first_scheme_that_passes(
    model: BertForSequenceClassification, prepared: onnx.ModelProto, folder: Path, held_out: HeldOut
) -> None:
    (tried,) = gate(model, prepared, folder, held_out, bounds())
    assert (tried["scheme"], tried["passed"], tried["left_out"]) == ("U8S8", True, [])
    ranker = Ranker(folder, "int8", trusted=True)
    for way, logits in WAYS.items():
        assert tried[way] == agreement(held_out, logits(ranker, held_out.encoded))
    assert tried["in batches"]["largest logit difference"] > 0  # it is another model
    quantise(prepared, SCHEMES[0], folder / "again.onnx", bounds())
    assert (folder / "again.onnx").read_bytes() == (folder / "model.int8.onnx").read_bytes()


@pytest.fixture(scope="module")
def all_tried(
    base_model: Path,
    model: BertForSequenceClassification,
    prepared: onnx.ModelProto,
    held_out: HeldOut,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[dict[str, Any]]:
    """What a gate that nothing passes has tried."""
    folder = tmp_path_factory.mktemp("refused")
    write_encoder(base_model, folder)
    tried = gate(model, prepared, folder, held_out, bounds(int8_max_logit_difference=0.0))
    assert not (folder / "model.int8.onnx").exists()
    return tried


def test_gate_leaves_out_what_is_worst_where_no_whole_scheme_passes(
    model: BertForSequenceClassification,
    prepared: onnx.ModelProto,
    folder: Path,
    held_out: HeldOut,
    all_tried: list[dict[str, Any]],
) -> None:
    """An eighth, a quarter and a half of twelve matrices, by the first scheme."""
    assert [tried["passed"] for tried in all_tried] == [False] * 6
    assert [tried["scheme"] for tried in all_tried[:3]] == [scheme.name for scheme in SCHEMES]
    few = np.linspace(0, 59, 32).astype(int)
    worst = worst_matrices(model, prepared, held_out.encoded.inputs(few))
    assert [tried["left_out"] for tried in all_tried] == [[], [], [], worst[:2], worst[:3], worst[:6]]
    for tried, scheme in ((all_tried[1], SCHEMES[1]), (all_tried[3], replace(SCHEMES[0], left_out=tuple(worst[:2])))):
        quantise(prepared, scheme, folder / "model.int8.onnx", bounds())
        ranker = Ranker(folder, "int8", trusted=True)
        for way, logits in WAYS.items():
            assert tried[way] == agreement(held_out, logits(ranker, held_out.encoded))


@pytest.mark.parametrize("place", [0, 2, 4])
def test_gate_stops_at_the_first_that_is_within_its_bounds(
    model: BertForSequenceClassification,
    prepared: onnx.ModelProto,
    folder: Path,
    held_out: HeldOut,
    all_tried: list[dict[str, Any]],
    place: int,
) -> None:
    """Bounds are what this chip makes of the schemes: the smallest difference, a middling one, the largest but one."""
    bound = sorted(map(largest, all_tried))[place]
    first = next(number for number, tried in enumerate(all_tried) if largest(tried) <= bound)
    tried = gate(model, prepared, folder, held_out, bounds(int8_max_logit_difference=bound))
    assert tried[:-1] == all_tried[:first]
    assert tried[-1] == all_tried[first] | {"passed": True}
    metadata = {entry.key: entry.value for entry in onnx.load(folder / "model.int8.onnx").metadata_props}
    assert metadata["quantisation"] == all_tried[first]["scheme"]


def test_passes_by_each_bound() -> None:
    found = {"loss of nDCG@10": 0.01, "Kendall's tau": 0.9, "overlap of top 10": 0.8, "largest logit difference": 0.5}
    exactly = dict(zip(LOOSE, (0.01, 0.9, 0.8, 0.5), strict=True))
    assert passes(found, bounds(**exactly))
    for name, tighter in zip(LOOSE, (0.009, 0.91, 0.81, 0.49), strict=True):
        assert not passes(found, bounds(**exactly | {name: tighter}))


def test_agreement_is_of_the_metrics(held_out: HeldOut) -> None:
    logits = held_out.logits + np.random.default_rng(1).normal(0, 0.5, held_out.logits.shape).astype(np.float32)
    exact, rounded = relevance(held_out.logits), relevance(logits)
    before, after = (ranking_measures(held_out.pairs, scores)["nDCG@10"].mean() for scores in (exact, rounded))
    assert agreement(held_out, logits) == pytest.approx(
        {
            "nDCG@10 in fp32": before,
            "nDCG@10": after,
            "loss of nDCG@10": before - after,
            "Kendall's tau": kendall_tau(held_out.pairs, exact, rounded),
            "overlap of top 10": top_overlap(held_out.pairs, exact, rounded, 10),
            "largest logit difference": np.abs(logits - held_out.logits).max(),
        }
    )


def test_agreement_with_itself_is_whole(held_out: HeldOut) -> None:
    found = agreement(held_out, held_out.logits)
    assert found["loss of nDCG@10"] == found["largest logit difference"] == 0
    assert found["Kendall's tau"] == pytest.approx(1)
    assert found["overlap of top 10"] == 1
    turned = agreement(held_out, held_out.logits[:, ::-1])
    assert turned["Kendall's tau"] == pytest.approx(-1)


@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_agreement_of_a_logit_that_is_not_finite_passes_no_bound(held_out: HeldOut, spoilt: float) -> None:
    logits = held_out.logits.copy()
    logits[3, 1] = spoilt
    assert not passes(agreement(held_out, logits), bounds())


def keys(held_out: HeldOut) -> tuple[list[str], list[str]]:
    return held_out.pairs["query_id"].tolist(), held_out.pairs["document_id"].tolist()


def test_spread_takes_some_of_each_query_over_all_its_ranks(held_out: HeldOut) -> None:
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


class Watched(Ranker):
    """A ranker that remembers the shapes that it was asked for."""

    def __init__(self, exact: Ranker) -> None:
        self.exact, self.shapes = exact, set[tuple[int, ...]]()

    def logits(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        self.shapes.add(inputs["input_ids"].shape)
        return self.exact.logits(inputs)


def test_one_by_one_is_padded_as_vespa_pads(exact: Ranker, held_out: HeldOut) -> None:
    watched = Watched(exact)
    np.testing.assert_allclose(one_by_one(watched, held_out.encoded), held_out.logits, atol=1e-5)
    assert watched.shapes == {(1, LAYOUT.max_length)}

"""ranker.export.gate: only models that rank as the fp32 model does pass, with any chip's int8 arithmetic.

Each scheme's result on this chip is measured beside the gate and compared with its verdict.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from scipy.stats import kendalltau, ttest_1samp
from sklearn.metrics import ndcg_score
from transformers import BertForSequenceClassification

from ranker.contract.layout import relevance
from ranker.export import gate as gate_module
from ranker.export.gate import (
    WAYS,
    Bounds,
    Judged,
    agreement,
    compare_ways,
    gate,
    judged,
    passes,
    sampled_rows,
    score_queries,
)
from ranker.export.int8 import REDUCED, SCHEMES, quantise, worst_matrices
from ranker.model.cross_encoder import new_classifier
from ranker.serving.ranker import Ranker
from tests.factories import PARAMS, make_data, write_encoder

LOOSE = Bounds(tau=-1.0, overlap=0.0, score_difference=1e9, ndcg_loss=1.0)


@pytest.fixture(scope="module")
def model(base_model: Path) -> BertForSequenceClassification:
    return new_classifier(base_model, seed=5).eval()


@pytest.fixture(scope="module")
def sample(exact: Ranker) -> Judged:
    pairs, encoded = make_data(6, seed=3)
    return judged(exact, pairs, encoded, np.arange(len(pairs)))


def worst_of(tried: dict[str, Any]) -> float:
    """The largest score difference, which decides when only score differences are bounded."""
    return max(tried[way]["score difference"] for way in WAYS)


@pytest.fixture(scope="module")
def all_measured(
    base_model: Path,
    model: BertForSequenceClassification,
    prepared: onnx.ModelProto,
    sample: Judged,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[dict[str, Any]]:
    """Each scheme's result on this chip, measured beside the gate."""
    folder = tmp_path_factory.mktemp("all")
    write_encoder(base_model, folder)
    few = np.linspace(0, 59, 32).astype(int)
    worst = worst_matrices(model, prepared, sample.encoded.inputs(few))
    schemes = [*SCHEMES, *(replace(REDUCED, left_out=tuple(worst[:count])) for count in (2, 3, 6))]  # of twelve
    measured = []
    for scheme in schemes:
        quantise(prepared, scheme, folder / "model.int8.onnx", PARAMS.export)
        ways = compare_ways(Ranker(folder, "int8", trusted=True), dict.fromkeys(WAYS, sample))
        measured.append({"left_out": list(scheme.left_out), **ways})
    return measured


@pytest.mark.parametrize("place", [0, 2, 4, None])
def test_gate_stops_at_the_first_that_is_within_its_bounds(
    model: BertForSequenceClassification,
    prepared: onnx.ModelProto,
    encoder_folder: Path,
    sample: Judged,
    all_measured: list[dict[str, Any]],
    place: int | None,
) -> None:
    """Bounds are three results of this chip: the smallest difference, a middle one, the second largest; and 0.

    If no whole scheme passes, an eighth, a quarter and a half of twelve matrices are left out, in 7 bits; a trial ends
    at its first failure.
    """
    bound = 0.0 if place is None else sorted(map(worst_of, all_measured))[place]
    count = next((row for row, found in enumerate(all_measured) if worst_of(found) <= bound), len(all_measured))
    tried = gate(model, prepared, encoder_folder, sample, PARAMS.export, replace(LOOSE, score_difference=bound))
    failed = [scheme.name for scheme in SCHEMES]
    failed += [f"U8S8, reduced range, {number} matrices left out" for number in (2, 3, 6)]
    assert [trial["scheme"] for trial in tried] == failed[: count + 1]
    assert [trial["passed"] for trial in tried] == [row == count for row in range(len(tried))]
    for trial, found in zip(tried, all_measured, strict=False):
        shared = found if trial["passed"] else {key: found[key] for key in ("left_out", "in batches")}
        assert trial == {"scheme": trial["scheme"], "passed": trial["passed"]} | shared
    file = encoder_folder / "model.int8.onnx"
    assert file.exists() == (place is not None)
    if file.exists():
        metadata = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
        assert metadata["quantisation"] == tried[-1]["scheme"]


FOUND: Any = {
    "Kendall's tau": 0.9,
    "overlap of top 10": 0.8,
    "score difference": 0.5,
    "loss of nDCG@10": {"mean": 0.05, "low": 0.01, "high": 0.09},
}


@pytest.mark.parametrize(
    ("name", "value"), [("tau", 0.91), ("overlap", 0.81), ("score_difference", 0.49), ("ndcg_loss", 0.009)]
)
def test_passes_by_each_bound(name: str, value: float) -> None:
    """The bound on nDCG@10 applies to the lower end of the loss's interval: a mean loss of 0.05 passes 0.01."""
    exactly = Bounds(0.9, 0.8, 0.5, 0.01)
    assert passes(FOUND, exactly)
    assert not passes(FOUND, replace(exactly, **{name: value}))


def test_agreement_is_that_of_scipy_and_scikit_learn(sample: Judged) -> None:
    """The loss has a t interval over queries; the last one has no relevant document, so it has no nDCG."""
    relevant = sample.pairs["relevant"] & (sample.pairs["query_id"] != "q5")
    pairs = sample.pairs.assign(relevant=relevant, grade=relevant.astype(int))
    off = sample.exact + np.random.default_rng(1).normal(0, sample.exact.std(), 60).astype(np.float32)
    found: Any = agreement(Judged(pairs, sample.encoded, sample.exact), off)
    sides, grades = (sample.exact.reshape(6, 10), off.reshape(6, 10)), pairs["grade"].to_numpy().reshape(6, 10)
    taus = [kendalltau(exact, rounded).statistic for exact, rounded in zip(*sides, strict=True)]
    before, after = (np.array([ndcg_score(grades[[row]], side[[row]], k=10) for row in range(5)]) for side in sides)
    low, high = ttest_1samp(before - after, 0).confidence_interval()
    loss = {"mean": (before - after).mean(), "low": low, "high": high}
    assert found.pop("loss of nDCG@10") == pytest.approx(loss)
    expected = {"queries": 6, "pairs": 60, "Kendall's tau": np.mean(taus), "overlap of top 10": 1}
    expected |= {"nDCG@10 in fp32": before.mean(), "nDCG@10": after.mean()}
    difference = np.percentile(np.abs(sample.exact - off), 99) / sample.exact.std()
    assert found == pytest.approx(expected | {"score difference": difference})


def test_agreement_with_itself_is_whole_whatever_the_scores_scale(sample: Judged) -> None:
    found = agreement(sample, sample.exact)
    assert found["score difference"] == found["loss of nDCG@10"]["mean"] == 0
    assert found["Kendall's tau"] == pytest.approx(1)
    assert found["overlap of top 10"] == 1
    assert agreement(sample, -sample.exact)["Kendall's tau"] == pytest.approx(-1)
    off = sample.exact + np.random.default_rng(1).normal(0, 0.2, len(sample.exact)).astype(np.float32)
    scaled = Judged(sample.pairs, sample.encoded, sample.exact * 8)
    assert agreement(scaled, off * 8) == agreement(sample, off)


@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_agreement_of_a_score_that_is_not_finite_passes_no_bound(sample: Judged, spoilt: float) -> None:
    rounded = sample.exact.copy()
    rounded[3] = spoilt
    assert not passes(agreement(sample, rounded), LOOSE)


def test_agreement_without_a_relevant_document_has_no_loss(sample: Judged) -> None:
    found = agreement(Judged(sample.pairs.assign(relevant=False), sample.encoded, sample.exact), -sample.exact)
    assert found["loss of nDCG@10"] == {"mean": 0, "low": -1, "high": 1}


class Watched(Ranker):
    """A ranker that records the shapes of its inputs."""

    def __init__(self, exact: Ranker) -> None:
        self.exact, self.layout, self.shapes = exact, exact.layout, list[tuple[int, ...]]()

    def logits(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        self.shapes.append(inputs["input_ids"].shape)
        return self.exact.logits(inputs)


def test_ways_are_a_querys_documents_in_batches_and_each_pair_alone_without_padding(
    exact: Ranker, sample: Judged
) -> None:
    """A batch holds pairs of one query only: six queries of ten documents are six batches."""
    for way, shapes in (
        (
            "in batches",
            [(10, -(-sample.encoded.lengths[rows].max() // 8) * 8) for rows in np.arange(60).reshape(6, 10)],
        ),
        ("one by one", [(1, length) for length in sample.encoded.lengths]),
    ):
        watched = Watched(exact)
        found = score_queries(WAYS[way], watched, sample.pairs, sample.encoded)
        np.testing.assert_allclose(found, relevance(exact.logits(sample.encoded.inputs(range(60)))), atol=1e-5)
        assert watched.shapes == shapes


def test_sampled_rows_are_a_bounded_draw_of_queries_and_of_each_ones_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, _ = make_data(6)
    assert sampled_rows(pairs, 13).tolist() == list(range(60))  # there are no more pairs
    monkeypatch.setattr(gate_module, "QUERIES", 3)
    monkeypatch.setattr(gate_module, "PAIRS", 4)
    rows = sampled_rows(pairs, 13)
    assert pairs.iloc[rows]["query_id"].value_counts().tolist() == [4, 4, 4]
    assert sampled_rows(pairs, 13).tolist() == rows.tolist() == sorted(set(rows))
    others = [sampled_rows(pairs, seed).tolist() for seed in range(5)]
    assert len(set(map(tuple, others))) == 5


def test_sample_keeps_what_belongs_together(sample: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "PAIRS", 4)
    rows = sampled_rows(sample.pairs, 13)
    some = sample.sample(13)
    assert some.pairs["document_id"].tolist() == sample.pairs["document_id"].iloc[rows].tolist()
    assert some.exact.tolist() == sample.exact[rows].tolist()
    assert [list(some.encoded[place][1]) for place in range(24)] == [list(sample.encoded[row][1]) for row in rows]

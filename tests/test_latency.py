"""ranker.vespa.latency: does reranking fit the user's budget, by measured times?"""

import shutil
from pathlib import Path

import pytest

from ranker.common.files import write_json
from ranker.vespa import latency
from ranker.vespa.latency import Figures, misfits, ms_per_hit
from ranker.vespa.query import QuerySettings, read_settings
from tests.factories import ROOT, run_stages, set_params

FIGURES: Figures = {
    "ms_per_hit": 5.75,
    "model_bytes": 32_000_000,
    "machine": "two cores",
    "tokens_per_pair": {"mean": 25.6},
}
MEASURED = "100 hits take 575 ms (5.75 ms a hit, two cores)"


MEASURE = "python -m bench.studies.vespa measures what reranking takes"
TOO_LITTLE = [
    f"vespa.latency_ms: 500 is too little: {MEASURED}; order.depth: 86 would fit",
    f"vespa.timeout_ms: 560 is too little: {MEASURED}; order.depth: 97 would fit",
]
OTHER = f"bench/results/vespa.json: measured with a model of 32.0 MB, not 91.0 MB; {MEASURE}"


def test_misfits_say_what_does_not_fit() -> None:
    """By the size of the model in bytes, the number of hits, and the milliseconds of latency and timeout."""
    assert list(misfits(FIGURES, 32_000_000, 100, 575, 5000)) == []
    assert list(misfits(FIGURES, 32_100_000, 100, 500, 560)) == TOO_LITTLE
    assert list(misfits(FIGURES, 91_000_000, 100, 1, 1)) == [OTHER]
    assert list(misfits(None, 32_000_000, 100, 1, 1)) == [f"bench/results/vespa.json: none; {MEASURE}"]


def test_ms_per_hit_are_of_a_model_of_this_size() -> None:
    """A size within 2% counts as the same model; there are no times for other sizes."""
    assert ms_per_hit(FIGURES, 32_000_000) == ms_per_hit(FIGURES, 32_600_000) == ms_per_hit(FIGURES, 31_400_000) == 5.75
    assert ms_per_hit(FIGURES, 32_700_000) is ms_per_hit(FIGURES, 31_300_000) is ms_per_hit(None, 32_000_000) is None


def test_stage_package_warns_and_changes_nothing(
    ranker_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    shutil.copytree(ranker_folder, tmp_path / "models/ranker")
    set_params(tmp_path, order__depth=70, vespa__timeout_ms=900, vespa__latency_ms=350)
    size = (ranker_folder / "model.int8.onnx").stat().st_size
    write_json(tmp_path / latency.FIGURES, FIGURES | {"model_bytes": size + 1500})
    monkeypatch.chdir(tmp_path)
    run_stages("package")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "package: models/vespa: the int8 model 0.1.0 reranks 70 hits"
    assert printed[1:] == [
        "package: models/stack.json: hybrid+fused, which `python -m ranker search` runs",
        "package: models/vespa serves the stack bm25+cross_encoder, because its first phase is BM25",
        "package: vespa.latency_ms: 350 is too little: 70 hits take 402 ms (5.75 ms a hit, two cores); "
        "order.depth: 60 would fit",
    ]
    assert read_settings(tmp_path / "models/vespa") == QuerySettings("en", 70, 900)
    assert "rerank-count: 70\n" in (tmp_path / "models/vespa/schemas/doc/ranker_0_1_0.profile").read_text()

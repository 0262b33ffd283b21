"""The benchmark: its data, its table, and that it times what it says; .ci/run runs all of it on a few pairs."""

import json
import mmap
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench import data, scale, trials, worker
from bench.runs import run_job
from bench.table import markdown, work_rows
from bench.works import OURS, PEER, TUTORIAL, Job, Work
from ranker.project.params import load_params
from tests.conftest import ROOT


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two queries over three documents, of which one has a title."""
    labelled = [
        {"query_id": 1, "query": "masks", "relevant_docs": [{"id": "a", "score": 2}, {"id": "b", "score": 0}]},
        {"query_id": 2, "query": "bats", "relevant_docs": [{"id": "a", "score": 0}, {"id": "c", "score": 1}]},
    ]
    (tmp_path / data.LABELLED).write_text(json.dumps(labelled))
    (tmp_path / data.JUDGEMENTS).write_text("document_id,query_id,label,title-full\na,1,2,NA\na,2,0,NA\n")
    return tmp_path


def test_pairs_are_read_as_text(source: Path) -> None:
    assert data.read_pairs(source) == data.Pairs(["masks", "bats"], ["NA", "NA"], [1, 0])


def test_full_size_has_every_judgement_with_a_real_title(source: Path, tmp_path: Path) -> None:
    data.write_full_size(source, tmp_path / "full", times=3)
    pairs = data.read_pairs(tmp_path / "full")
    assert len(pairs) == 3 * 4
    assert set(pairs.documents) == {"NA"}
    assert pairs.labels == [1, 0, 0, 1] * 3
    labelled = json.loads((tmp_path / "full" / data.LABELLED).read_text())
    assert [entry["id"] for entry in labelled[1]["relevant_docs"]] == ["a", "c", "a-1", "c-1", "a-2", "c-2"]


def test_some_pairs_are_the_same_every_time() -> None:
    pairs = data.read_pairs(ROOT / data.SAMPLE)
    assert pairs.some(20) == pairs.some(20)
    assert len(pairs.some(20)) == 20
    assert sorted(pairs.some(10**6).documents) == sorted(pairs.documents)


def test_the_peers_sizes_are_those_of_params() -> None:
    from bench import ours, tutorial

    sizes = load_params(ROOT / "params.yaml").encode
    for module in (ours, tutorial):
        assert sizes.query_input_size == module.QUERY_INPUT_SIZE
        assert sizes.doc_input_size == module.DOC_INPUT_SIZE


def test_the_tutorials_layout_is_the_contracts(base_model: Path) -> None:
    """Two implementations, one layout: theirs pair by pair, ours from texts that were tokenised once."""
    pairs = data.read_pairs(ROOT / data.SAMPLE).some(50)
    from bench import ours, tutorial

    theirs = tutorial.encode_pairs(pairs, base_model)
    found = ours.encode_texts(pairs, base_model).inputs(range(50), 128)
    assert {name: array.tolist() for name, array in found.items()} == theirs


def test_memory_is_what_the_timed_part_adds() -> None:
    worker.forget_peak()
    before = worker.memory("VmRSS")
    with mmap.mmap(-1, 2**26) as block:  # the kernel's own: malloc might keep it
        for _ in range(64):
            block.write(b"x" * 2**20)
        assert 60 <= worker.memory("VmHWM") - before <= 80
    worker.forget_peak()
    assert worker.memory("VmHWM") - before < 30


def test_a_command_is_measured_without_the_memory_of_who_measures(tmp_path: Path) -> None:
    held = bytearray(b"x" * 2**28)
    printed, cost = trials.measure("echo $((6 * 7)); pwd", tmp_path)
    assert printed == f"42\n{tmp_path}\n"
    assert cost["peak_mib"] < 64 < len(held) / 2**20
    with pytest.raises(RuntimeError, match="exit 3 gave 3:\\nwhy"):
        trials.measure("echo why; exit 3", tmp_path)


def test_a_job_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"ours.join gave 1:(.|\n)*FileNotFoundError"):
        run_job(Job("ours.join", options={"place": str(tmp_path / "nowhere/place")}), tmp_path, tmp_path, {})


def test_the_median_of_single_queries_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    import bench.peer

    monkeypatch.setattr(bench.peer, "rerank", lambda *_: lambda: [0.3, 0.1, 0.2])
    job = {"run": "peer.rerank", "folder": "", "base_model": "", "pairs": 0, "options": {}}
    assert worker.measure(job)["seconds"] == 0.2
    monkeypatch.setattr(bench.peer, "rerank", lambda *_: lambda: time.sleep(0.05))
    assert worker.measure(job)["seconds"] >= 0.05


def test_ratios_are_medians_within_repeats() -> None:
    def repeat(tutorial: float, peer: float, ours: float) -> dict[str, dict[str, float]]:
        costs = {TUTORIAL: tutorial, PEER: peer, OURS: ours}
        return {system: {"seconds": seconds, "peak_mib": 10.0} for system, seconds in costs.items()}

    rows = work_rows("scoring", 100, [repeat(10, 4, 1), repeat(10, 4, 2), repeat(30, 4, 2)], {PEER: "on 5 pairs"})
    assert [row["seconds"] for row in rows] == [10, 4, 2]
    assert rows[2]["ratio_to_tutorial"] == 10
    assert rows[2]["ratio_to_sentence_transformers"] == 2
    assert rows[2]["ratio_to_sentence_transformers_bf16"] is None
    assert rows[0]["ratio_to_tutorial"] is None
    assert rows[0]["ratio_to_sentence_transformers"] == 0.4
    assert [row["note"] for row in rows] == ["", "on 5 pairs", ""]
    assert "| scoring | **cord19-ranker** | 2 | 50 | 10 | 10 | 2 |  |  |" in markdown(rows)


def test_seconds_are_scaled_to_the_whole_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from bench import runs

    monkeypatch.setattr(runs, "run_job", lambda *_: {"seconds": 2.0, "peak_mib": 1.0})
    work = Work("scoring", "sample", 100, {TUTORIAL: Job("tutorial.score", 25, share=25), OURS: Job("ours.score", 100)})
    (repeat,) = runs.run_work(work, tmp_path, tmp_path, {}, 1)
    assert (repeat[TUTORIAL]["seconds"], repeat[OURS]["seconds"]) == (8, 2)
    assert runs.notes(work) == {TUTORIAL: "on 25 pairs, scaled"}


def test_a_corpus_of_any_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In row groups, each document once; its titles come round again."""
    monkeypatch.setattr(scale, "ROW_GROUP", 100)
    scale.write_documents(["a", "b", "c"], 250, tmp_path / "documents.parquet")
    assert pq.read_metadata(tmp_path / "documents.parquet").num_row_groups == 3
    table = pq.read_table(tmp_path / "documents.parquet").to_pydict()
    assert table["document_id"] == [str(i) for i in range(250)]
    assert table["title"] == ["a", "b", "c"] * 83 + ["a"]
    pairs = data.Pairs(["masks", "bats"], ["a", "b"], [1, 0])
    assert scale.write_pairs(pairs, 3, tmp_path / "pairs.parquet") == 6
    assert pq.read_table(tmp_path / "pairs.parquet").to_pydict()["title"] == ["a", "b"] * 3

"""The benchmark: its data, its table, and its timing; .ci/run runs the whole benchmark on a few pairs."""

import json
import mmap
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from bench import data, runner
from bench.runner import Calls, Case, Cost, Job
from bench.studies import stacks
from bench.table import OURS, PEER, TUTORIAL, case_rows, markdown
from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE
from ranker.project.params import load_params
from tests.factories import ROOT


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two queries over three documents; one document has a title."""
    labelled = [
        {"query_id": 1, "query": "masks", "relevant_docs": [{"id": "a", "score": 2}, {"id": "b", "score": 0}]},
        {"query_id": 2, "query": "bats", "relevant_docs": [{"id": "a", "score": 0}, {"id": "c", "score": 1}]},
    ]
    (tmp_path / LABELLED_DATA_FILE).write_text(json.dumps(labelled))
    (tmp_path / JUDGEMENTS_FILE).write_text("document_id,query_id,label,title-full\na,1,2,NA\na,2,0,NA\n")
    return tmp_path


def test_read_pairs_takes_every_title_as_text(source: Path) -> None:
    assert data.read_pairs(source) == data.Pairs(["masks", "bats"], ["NA", "NA"], [1, 0])


def test_some_pairs_are_the_same_every_time() -> None:
    pairs = data.read_pairs(ROOT / data.SAMPLE)
    assert pairs.some(20) == pairs.some(20)
    assert len(pairs.some(20)) == 20
    assert sorted(pairs.some(10**6).documents) == sorted(pairs.documents)


def test_the_tutorials_layout_is_the_contracts(base_model: Path) -> None:
    """Two implementations of one layout: the tutorial's goes pair by pair, ours tokenises each text once."""
    from bench import this_project, tutorial

    sizes = load_params(ROOT / "params.yaml").encode
    assert (sizes.query_input_size, sizes.doc_input_size) == (tutorial.QUERY_INPUT_SIZE, tutorial.DOC_INPUT_SIZE)
    pairs = data.read_pairs(ROOT / data.SAMPLE).some(50)
    ours = this_project.encode_texts(pairs, base_model).inputs(range(50), 128)
    assert {name: array.tolist() for name, array in ours.items()} == tutorial.encode_pairs(pairs, base_model)


def test_int8_is_the_model_that_passed_the_gate(ranker_folder: Path, tmp_path: Path) -> None:
    from bench import this_project

    assert this_project.scheme(ranker_folder) == "U8S8, reduced range"
    assert this_project.scheme(tmp_path) == ""


def hold(mebibytes: int) -> Calls:
    """One call that fills this much memory outside malloc, which might keep it."""

    def fill() -> None:
        with mmap.mmap(-1, mebibytes * 2**20) as block:
            for _ in range(mebibytes):
                block.write(b"x" * 2**20)

    return [fill]


def wait(*seconds: float) -> Calls:
    return [partial(time.sleep, each) for each in seconds]


def test_memory_is_what_the_timed_part_adds() -> None:
    assert 60 <= runner.measure_here(partial(hold, 64)).peak_mib <= 80
    assert runner.measure_here(partial(hold, 1)).peak_mib < 30


def test_the_median_of_calls_counts() -> None:
    assert 0.05 <= runner.measure_here(partial(wait, 0.0, 0.05, 0.5)).seconds < 0.3


def test_a_job_runs_in_a_process_of_its_own_and_says_why_it_fails() -> None:
    held = bytearray(b"x" * 2**28)
    cost = runner.measure_apart(partial(runner.command, sys.executable, "-c", "print(6 * 7)"))
    assert 0 < cost.peak_mib < 64 < len(held) / 2**20
    fails = "import sys; sys.exit(sys.stdin.read())"
    with pytest.raises(RuntimeError, match=r"command gave 1:(.|\n)*why"):
        runner.measure_apart(partial(runner.command, sys.executable, "-c", fails, text="why"))


def test_ratios_are_medians_within_turns() -> None:
    jobs = {system: Job(partial(wait)) for system in (TUTORIAL, f"{PEER} fp32", OURS)}
    jobs[TUTORIAL] = Job(partial(wait), share=5, note="slow")
    turns = [
        {TUTORIAL: Cost(slow, 1), f"{PEER} fp32": Cost(4, 1), OURS: Cost(fast, 1)}
        for slow, fast in ((10, 1), (10, 2), (30, 2))
    ]
    rows = case_rows(Case("scoring", 100, jobs), turns)
    assert [row["seconds"] for row in rows] == [10, 4, 2]
    assert [row["ratios"] for row in rows] == [
        {f"{PEER} fp32": 0.4},
        {TUTORIAL: 2.5},
        {TUTORIAL: 10, f"{PEER} fp32": 2},
    ]
    assert [row["note"] for row in rows] == ["slow; on 5 pairs, scaled", "", ""]
    assert "| scoring | **cord19-ranker** | 2 | 50 | 1 | 10 | 2 |  |\n" in markdown(rows)


def test_seconds_are_scaled_to_the_whole_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "measure_apart", lambda _: Cost(2, 1))
    case = Case("scoring", 100, {TUTORIAL: Job(partial(wait), share=25), OURS: Job(partial(wait))})
    assert runner.run_case(case, 2) == [{TUTORIAL: Cost(8, 1), OURS: Cost(2, 1)}] * 2


def test_page_of_stacks_has_each_models_lengths_and_each_row() -> None:
    found = {
        "machine": "this", "vespa": "8", "architecture": {}, "documents": 3, "tokens_per_pair": 26.5, "ms": {},
        "document": {"fp32": 7.0}, "models": {"retriever fp32": {"8": 1.25, "16": 2.5}},
        "rows": [{"texts": "titles", "stack": "bm25", "model": "fp32", "depth": 30, "runs": 4, "ms": 12.4}],
    }  # fmt: skip
    page = stacks.markdown(found)
    assert "| retriever fp32, tokens | 8 | 16 |\n| --- | ---: | ---: |\n| ms | 1.25 | 2.50 |\n" in page
    assert "| titles | bm25 | fp32 | 30 | 4 | 12 |\n" in page


def test_bm25_and_vectors_take_time() -> None:
    found = stacks.searched(["masks", "ward 3"], [f"Masks in ward {i}" for i in range(50)], 4)
    assert list(found) == ["bm25", "vectors"]
    assert min(found.values()) > 0

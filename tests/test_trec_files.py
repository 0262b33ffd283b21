"""ranker.evaluation.trec_files: what ir_measures' own command line measures of them is what the pipeline measures."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranker.evaluation.trec_files import runs_of, write_trec_files
from ranker.metrics.ranking import mean_measures, ranking_measures, relevant_queries

# Its RR@10 orders ties otherwise than trec_eval does; RR, without a depth, is trec_eval's.
MEASURES = ["nDCG@10", "RR", "AP", "P@5"]
SYSTEMS = ["tied", "close", "plain"]


def make_run(queries: int = 9, documents: int = 23) -> pd.DataFrame:
    """Graded pairs in no order, with ties, scores that differ in the last bit, and documents nobody judged."""
    random = np.random.default_rng(3)
    rows = [
        (f"q {query}", f"d{document}", grade, grade > 0, bool(grade) or random.random() < 0.5)
        for query in range(queries)
        for document, grade in enumerate(random.integers(0, 4, documents) * random.integers(0, 2, documents))
    ]
    run = pd.DataFrame(rows, columns=["query_id", "document_id", "grade", "relevant", "judged"])
    one = np.float32(1 / 3)
    run["tied"] = random.integers(0, 4, len(run)).astype(np.float32) * one
    run["close"] = one + random.integers(0, 9, len(run)).astype(np.float32) * np.spacing(one)
    run["plain"] = random.normal(size=len(run)).astype(np.float32)
    return run.sample(frac=1, random_state=5).reset_index(drop=True)


def by_command_line(folder: Path, system: str, measures: list[str]) -> dict[str, float]:
    """What `ir_measures qrels run measures` prints."""
    words = [str(Path(sys.executable).parent / "ir_measures"), "qrels.trec", f"{system}.trec", *measures, "-o", "jsonl"]
    found = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout
    return {row["measure"]: row["value"] for row in map(json.loads, found.splitlines())}


def test_ir_measures_command_line_has_the_pipelines_numbers(tmp_path: Path) -> None:
    run = relevant_queries(make_run())
    write_trec_files(run, runs_of(run, SYSTEMS), tmp_path / "trec")
    for system in SYSTEMS:
        ours = mean_measures(ranking_measures(run, run[system].to_numpy()))
        assert ours["RR@10"] > 0.3  # no query's first is beyond ten, where RR@10 is cut to 0
        ours["RR"] = ours.pop("RR@10")
        assert by_command_line(tmp_path / "trec", system, MEASURES) == pytest.approx(ours, abs=1e-9), system


def test_write_trec_files_writes_trecs_columns(tmp_path: Path) -> None:
    run = pd.DataFrame(
        {
            "query_id": ["1", "1", "1", "b c"],
            "document_id": ["x", "y%", "a\tz", "x"],
            "grade": [2, 0, 0, 1],
            "judged": [True, True, False, True],
            "s": [0.5, 0.25, 0.5, 1 / 3],
        }
    )
    write_trec_files(run, runs_of(run, ["s"]), tmp_path / "trec")
    assert (tmp_path / "trec/qrels.trec").read_text() == "1 0 x 2\n1 0 y%25 0\nb%20c 0 x 1\n"
    assert (tmp_path / "trec/s.trec").read_text() == (
        "1 Q0 x 1 0.5 s\n1 Q0 a%09z 2 0.5 s\n1 Q0 y%25 3 0.25 s\nb%20c Q0 x 1 0.333333343 s\n"
    )

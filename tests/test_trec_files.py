"""ranker.evaluation.trec_files: ir_measures' command line gives the pipeline's measures for these files."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.evaluation.trec_files import falling, runs_of, write_trec_files
from ranker.metrics.ranking import mean_measures, ranking_measures, relevant_queries

MEASURES = ["nDCG@10", "RR@10", "AP", "P@5"]
SYSTEMS = ["tied", "close", "plain"]


def make_run(queries: int = 9, documents: int = 23) -> pd.DataFrame:
    """Graded pairs in no order, with ties, scores that differ in the last bit, and unjudged documents."""
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
    """The output of `ir_measures qrels run measures`."""
    words = [str(Path(sys.executable).parent / "ir_measures"), "qrels.trec", f"{system}.trec", *measures, "-o", "jsonl"]
    found = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout
    return {row["measure"]: row["value"] for row in map(json.loads, found.splitlines())}


def test_ir_measures_command_line_has_the_pipelines_numbers(tmp_path: Path) -> None:
    run = relevant_queries(make_run())
    write_trec_files({"qrels": run}, runs_of(run, SYSTEMS), tmp_path / "trec")
    for system in SYSTEMS:
        ours = mean_measures(ranking_measures(run, run[system].to_numpy()))
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
    write_trec_files({"qrels": run}, runs_of(run, ["s"]), tmp_path / "trec")
    assert (tmp_path / "trec/qrels.trec").read_text() == "1 0 x 2\n1 0 y%25 0\nb%20c 0 x 1\n"
    assert (tmp_path / "trec/s.trec").read_text() == (
        "1 Q0 x 1 0.5 s\n1 Q0 a%09z 2 0.49999997 s\n1 Q0 y%25 3 0.25 s\nb%20c Q0 x 1 0.333333343 s\n"
    )


singles = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1 + 2**-23, 1e-45, -1e-45, 3.4e38]) | st.floats(
    width=32, allow_nan=False
)


@given(st.lists(singles.filter(np.isfinite), min_size=1, max_size=40))
def test_falling_scores_are_told_apart_in_single_precision_and_keep_their_order(scores: list[float]) -> None:
    given = np.sort(np.array(scores, np.float32))[::-1]
    if given[-1] > -3e38:  # below this there may be too few numbers
        found = falling(pd.Series(given))
        assert (np.diff(found) < 0).all()
        assert (found <= given).all()
        assert found[0] == given[0]
    if len(set(given.tolist())) == len(given):
        assert (falling(pd.Series(given)) == given).all()


def test_every_tool_has_the_order_of_a_run_of_equal_scores(tmp_path: Path) -> None:
    """pandas, Python and ir_measures' RR@10 sort by score alone: their order must be that of the ranks."""
    run = make_run()
    write_trec_files({"qrels": run}, runs_of(run, SYSTEMS), tmp_path / "trec")
    names = ["query_id", "q0", "document_id", "rank", "score", "tag"]
    for system in SYSTEMS:
        table = pd.read_csv(tmp_path / f"trec/{system}.trec", sep=" ", names=names)
        assert not table.assign(score=table["score"].astype(np.float32)).duplicated(["query_id", "score"]).any()
        by_score = table.sort_values(["query_id", "score"], ascending=[True, False])
        assert by_score["rank"].tolist() == table["rank"].tolist()

"""ranker.retrieval.run_file: a run as trec_eval reads it, and every mistake in one line."""

from pathlib import Path

import pandas as pd
import pytest

from ranker.common.errors import InputError
from ranker.evaluation.trec_files import write_trec_files
from ranker.retrieval.hits import ordered
from ranker.retrieval.run_file import read_run_file

QUERIES, DOCUMENTS = {"1", "2"}, {"a", "b", "c"}
GOOD = "1 Q0 a 1 0.25 mine\n1 Q0 b 2 12.5 mine\n\n2\tQ0\tc\t1\t-3e-1\tmine\n"


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "mine.trec"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_read_run_file_has_queries_documents_and_scores(tmp_path: Path) -> None:
    found = read_run_file(write(tmp_path, GOOD), QUERIES, DOCUMENTS)
    assert list(found.hits) == ["query_id", "document_id", "score"]
    assert found.hits.to_numpy().tolist() == [["1", "a", 0.25], ["1", "b", 12.5], ["2", "c", -0.3]]
    assert (found.unknown_queries, found.unknown_documents) == (0, 0)


def test_a_runs_order_is_that_of_its_scores(tmp_path: Path) -> None:
    hits = ordered(read_run_file(write(tmp_path, GOOD), QUERIES, DOCUMENTS).hits, 10)
    assert hits[["document_id", "rank"]].to_numpy().tolist() == [["b", 1], ["a", 2], ["c", 1]]


@pytest.mark.parametrize("text", [GOOD.replace("\n", "\r\n"), "\ufeff" + GOOD, GOOD.removesuffix("\n")])
def test_read_run_file_of_other_systems(tmp_path: Path, text: str) -> None:
    assert len(read_run_file(write(tmp_path, text), QUERIES, DOCUMENTS).hits) == 3


def test_read_run_file_counts_what_the_collection_does_not_have(tmp_path: Path) -> None:
    more = "3 Q0 a 1 1 mine\n3 Q0 z 2 1 mine\n2 Q0 z 1 1 mine\n"
    found = read_run_file(write(tmp_path, GOOD + more), QUERIES, DOCUMENTS)
    assert len(found.hits) == 3
    assert (found.unknown_queries, found.unknown_documents) == (2, 1)


def test_read_run_file_of_what_was_written_here(tmp_path: Path) -> None:
    """White space and percent signs in ids are escaped; an id of another's file is itself where it is known."""
    rows = [("q 1", "a b", 2.0), ("q 1", "100%", 1.0), ("q%201", "a\u2003b", 0.5)]
    run = pd.DataFrame(rows, columns=["query_id", "document_id", "score"])
    write_trec_files(run.assign(grade=1, judged=True), {"mine": run}, tmp_path / "trec")
    found = read_run_file(tmp_path / "trec/mine.trec", {"q 1", "q%201"}, {"a b", "100%", "a\u2003b"})
    assert sorted(found.hits.itertuples(index=False, name=None)) == sorted(rows)
    kept = read_run_file(write(tmp_path, "1 Q0 a%20b 1 2.0 mine\n"), {"1"}, {"a%20b"})
    assert kept.hits["document_id"].tolist() == ["a%20b"]


COLUMNS = "expected six columns (query, Q0, document, rank, score, tag), found"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 Q0 a 1 0.5\n", f"line 1: {COLUMNS} 5"),
        (GOOD + "1 Q0 my document 1 0.5 mine\n", f"line 5: {COLUMNS} 7"),
        ("1,Q0,a,1,0.5,mine\n", f"line 1: {COLUMNS} 1"),
        ("1 Q0 a 1 high mine\n", "line 1: expected a score, found 'high'"),
        ("1 Q0 a 1 0,5 mine\n", "line 1: expected a score, found '0,5'"),
        ("1 Q0 a 1 nan mine\n", "line 1: expected a score, found 'nan'"),
        ("1 Q0 a 1 -inf mine\n", "line 1: expected a score, found '-inf'"),
        ("1 Q0 a 1 1e400 mine\n", "line 1: expected a score, found '1e400'"),
        ("9 Q0 z 1 nan mine\n" + GOOD, "line 1: expected a score, found 'nan'"),  # whether it is known or not
        (GOOD + "1 Q0 a 3 0.1 mine\n", "line 5: expected each document once for a query, found a again for 1"),
        (
            "3 Q0 a 1 1 mine\n1 Q0 z 1 1 mine\n",
            "expected hits of this collection, found 1 of other queries, 1 of other documents and no more",
        ),
        (
            "",
            "expected hits of this collection, found 0 of other queries, 0 of other documents and no more",
        ),
        ("1 Q0 caf\u00e9 1 1 mine\n".encode("latin-1"), "line 1: expected UTF-8, found byte 0xe9"),
        ("1 Q0 a\0 1 1 mine\n", "line 1: expected text, found a NUL byte"),
    ],
)
def test_read_run_file_names_a_mistake_in_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(InputError) as raised:
        read_run_file(file, QUERIES, DOCUMENTS)
    assert str(raised.value) == f"{file}: {message}"


def test_read_run_file_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.trec: expected a TREC run \(first_stage\.run\), found none$"):
        read_run_file(tmp_path / "none.trec", QUERIES, DOCUMENTS)

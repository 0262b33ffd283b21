"""ranker.retrieval.run_file: the engine's own order, and one line for each mistake."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.common.errors import InputError
from ranker.evaluation.trec_files import write_trec_files
from ranker.retrieval.run_file import read_run_file
from tests.factories import refusal

QUERIES, DOCUMENTS = {"1", "2"}, {"a", "b", "c"}
GOOD = "1 Q0 b 2 0.25 mine\n1 Q0 a 1 12.5 mine\n\n2\tQ0\tc\t1\t-3e-1\tmine\n"


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "mine.trec"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_read_run_file_has_queries_documents_and_scores(tmp_path: Path) -> None:
    found = read_run_file(write(tmp_path, GOOD), QUERIES, DOCUMENTS)
    assert found.hits[["query_id", "document_id", "score", "rank"]].to_numpy().tolist() == [
        ["1", "a", 12.5, 1],
        ["1", "b", 0.25, 2],
        ["2", "c", -0.3, 1],
    ]
    assert (found.unknown_queries, found.unknown_documents) == (0, 0)


def order(folder: Path, ranks: Sequence[object], scores: Sequence[object], names: str = "abc") -> list[str]:
    rows = [f"1 Q0 {name} {rank} {score} mine\n" for name, rank, score in zip(names, ranks, scores, strict=True)]
    found = read_run_file(write(folder, "".join(rows)), QUERIES, DOCUMENTS).hits
    assert found["rank"].tolist() == [*range(1, len(found) + 1)]
    return found["document_id"].tolist()


STAMP = 1_700_000_000  # in single precision it equals its neighbours


@pytest.mark.parametrize(
    ("ranks", "scores", "expected"),
    [
        ((2, 3, 1), (0, 0, 0), "cab"),  # no scores
        ((1, 2, 3), (STAMP + 2, STAMP + 1, STAMP), "abc"),
        ((0, 5, 9), (3, 2, 2), "abc"),  # from 0, with gaps, a tie
        ((9, 5, 0), (-3, -2, -2), "cba"),
        ((1, 1, 1), (0.1, 0.3, 0.2), "bca"),  # no ranks
        ((0, 0, 0), (STAMP, STAMP + 1, STAMP + 2), "cba"),
        ((0, 0, 0), (1, 2, 1), "bac"),  # ranks and scores tie a and c: the lines decide
        ((1, 2, 2), (3, 1, 2), "acb"),  # equal ranks, ordered by score
    ],
)
def test_a_runs_order_is_that_of_its_ranks_then_scores_then_lines(
    tmp_path: Path, ranks: Sequence[object], scores: Sequence[object], expected: str
) -> None:
    assert order(tmp_path, ranks, scores) == list(expected)


numbers = st.integers(-(2**60), 2**60) | st.floats(-1e6, 1e6)


@given(st.lists(numbers, min_size=1, max_size=30), st.integers(0, 3), st.integers(1, 4), st.randoms())
def test_a_run_is_read_in_the_order_in_which_it_was_written(
    scores: list[float], first: int, step: int, random: Random
) -> None:
    """Falling scores of any size with ties, and ranks from any number on."""
    names = [f"d{(place * 7) % 31}" for place in range(len(scores))]
    rows = [
        f"1 Q0 {name} {first + step * place} {score!r} mine\n"
        for place, (name, score) in enumerate(zip(names, sorted(scores, reverse=True), strict=True))
    ]
    random.shuffle(rows)
    with TemporaryDirectory() as folder:
        if len(names) > 1 and len({float(score) for score in scores}) > 1:
            found = read_run_file(write(Path(folder), "".join(rows)), {"1"}, set(names)).hits
            assert found["document_id"].tolist() == names


@pytest.mark.parametrize("text", [GOOD.replace("\n", "\r\n"), "\ufeff" + GOOD, GOOD.removesuffix("\n")])
def test_read_run_file_of_other_systems(tmp_path: Path, text: str) -> None:
    assert len(read_run_file(write(tmp_path, text), QUERIES, DOCUMENTS).hits) == 3


def test_read_run_file_counts_what_the_collection_does_not_have(tmp_path: Path) -> None:
    more = "3 Q0 a 1 1 mine\n3 Q0 z 2 1 mine\n2 Q0 z 1 1 mine\n"
    found = read_run_file(write(tmp_path, GOOD + more), QUERIES, DOCUMENTS)
    assert len(found.hits) == 3
    assert (found.unknown_queries, found.unknown_documents) == (2, 1)


def test_read_run_file_of_what_was_written_here(tmp_path: Path) -> None:
    """White space and percent signs in ids are escaped; in another file, a known id that looks escaped is kept."""
    rows = [("q 1", "a b", 2.0), ("q 1", "100%", 1.0), ("q%201", "a\u2003b", 0.5)]
    run = pd.DataFrame(rows, columns=["query_id", "document_id", "score"])
    write_trec_files({"qrels": run.assign(grade=1, judged=True)}, {"mine": run}, tmp_path / "trec")
    found = read_run_file(tmp_path / "trec/mine.trec", {"q 1", "q%201"}, {"a b", "100%", "a\u2003b"})
    kept = found.hits[["query_id", "document_id", "score"]]
    assert sorted(kept.itertuples(index=False, name=None)) == sorted(rows)
    other = read_run_file(write(tmp_path, "1 Q0 a%20b 1 2.0 mine\n"), {"1"}, {"a%20b"})
    assert other.hits["document_id"].tolist() == ["a%20b"]


COLUMNS = "expected six columns (query, Q0, document, rank, score, tag), found"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "1 Q0 a 1 0.1 d\n1 Q0 b 2 0.2 d\n2 Q0 a 1 0.3 d\n2 Q0 b 2 0.2 d\n",
            "expected scores that fall as ranks rise, found the order by score to be another one in 1 of 2 queries: "
            "write a distance with a minus sign; where the ranks are wrong, write 0 for each",
        ),
        (
            "1 Q0 a 0 0 d\n1 Q0 b 0 0 d\n2 Q0 a 0 1 d\n",
            "expected ranks or scores that order the hits of a query, found them all equal",
        ),
        ("1 Q0 a 1 0.5\n", f"line 1: {COLUMNS} 5"),
        (GOOD + "1 Q0 my document 1 0.5 mine\n", f"line 5: {COLUMNS} 7"),
        ("1,Q0,a,1,0.5,mine\n", f"line 1: {COLUMNS} 1"),
        ("1 Q0 a - 0.5 mine\n", "line 1: expected a rank, found '-'"),
        ("1 Q0 a 1 high mine\n", "line 1: expected a score, found 'high'"),
        ("1 Q0 a 1 0,5 mine\n", "line 1: expected a score, found '0,5'"),
        ("1 Q0 a 1 nan mine\n", "line 1: expected a score, found 'nan'"),
        ("1 Q0 a 1 -inf mine\n", "line 1: expected a score, found '-inf'"),
        ("1 Q0 a 1 1e400 mine\n", "line 1: expected a score, found '1e400'"),
        ("9 Q0 z 1 nan mine\n" + GOOD, "line 1: expected a score, found 'nan'"),  # known or unknown
        (GOOD + "1 Q0 a 3 0.1 mine\n", "line 5: expected each document once for a query, found a again for 1"),
        (
            "3 Q0 a 1 1 mine\n1 Q0 z 1 1 mine\n",
            "expected hits of this collection, found 1 of other queries, 1 of other documents and no more",
        ),
        ("", "expected hits of this collection, found 0 of other queries, 0 of other documents and no more"),
        ("1 Q0 caf\u00e9 1 1 mine\n".encode("latin-1"), "line 1: expected UTF-8, found byte 0xe9"),
        ("1 Q0 a\0 1 1 mine\n", "line 1: expected text, found a NUL byte"),
    ],
)
def test_read_run_file_names_a_mistake_in_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    file = write(tmp_path, text)
    assert refusal(read_run_file, file, QUERIES, DOCUMENTS) == f"{file}: {message}"


def test_read_run_file_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.trec: expected a TREC run \(first_stage\.run\), found none$"):
        read_run_file(tmp_path / "none.trec", QUERIES, DOCUMENTS)

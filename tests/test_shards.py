"""A corpus by shards: here, on, and on a Ray cluster of which a node dies; the same bytes, nothing lost or doubled."""

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker.common.files import sha256
from ranker.serving.ranker import Ranker
from tests.conftest import ROOT, Run

PAIRS, ROWS = 90, 20  # and rows a row group: three in one file, two in the other
WORDS = ["masks", "virus", "bats", "wards", "origin", "vaccine", "children", "school"]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "query_id": [f"q{i % 7}" for i in range(PAIRS)],
            "query": [f"{WORDS[i % 7]} {WORDS[i % 5]}" for i in range(PAIRS)],
            "document_id": [f"{i:03}" for i in range(PAIRS)],
            "title": [" ".join(random.choice(WORDS, random.integers(0, 20))) for _ in range(PAIRS)],
            "more": 1,
        }
    )
    folder = tmp_path_factory.mktemp("pairs")
    frame.iloc[:50].to_parquet(folder / "a.parquet", row_group_size=ROWS)
    frame.iloc[50:].to_parquet(folder / "b.parquet", row_group_size=ROWS)
    return folder


def parquet(title: pa.Array, twice: bool = False) -> bytes:
    """A file of one pair, or two, with these titles, and perhaps with the column twice."""
    names = ["query_id", "query", "document_id", "title"] + ["title"] * twice
    file = io.BytesIO()
    pq.write_table(pa.table([*[pa.array(["a"] * len(title))] * 3, *[title] * (1 + twice)], names=names), file)
    return file.getvalue()


TITLES = pa.array(["masks"])
LATIN = parquet(pa.array([b"caf\xe9"]).view(pa.string()))
TWICE = parquet(TITLES, twice=True)
BROKEN = (whole := parquet(TITLES))[:4] + b"\xff" * 40 + whole[44:]
FOLDER: dict[str, list[Any]] = {}


def made(folder: Path) -> dict[str, str]:
    return {file.name: sha256(file) for file in folder.iterdir()}


@pytest.fixture(scope="module")
def scores(pairs: Path, ranker_folder: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """What the command line makes of them here."""
    out = tmp_path_factory.mktemp("here") / "scores"
    printed = run(f"python -m ranker.score {pairs} --out {out} --ranker {ranker_folder} --model int8", ROOT).stdout
    assert printed == f"score: {out}: {PAIRS} pairs in 5 files, of which 5 are new\n"
    return out


def test_scores_are_those_of_serving(pairs: Path, scores: Path, ranker_folder: Path) -> None:
    """Row by row; in eight bits a score depends on its batch, so group by group."""
    ranker, number = Ranker(ranker_folder, "int8"), 0
    for file in ("a.parquet", "b.parquet"):
        for start in range(0, 50 if file == "a.parquet" else 40, ROWS):
            rows = pd.read_parquet(pairs / file).iloc[start : start + ROWS]
            found = pq.read_table(scores / f"part-{number:06}.parquet").to_pandas()
            assert found["document_id"].tolist() == rows["document_id"].tolist()
            queries = [ranker.encode_query(query) for query in rows["query"]]
            expected = ranker.score_pairs(queries, ranker.encode_documents(rows["title"].tolist()))
            np.testing.assert_array_equal(found["score"].to_numpy(), expected)
            number += 1
    assert len(made(scores)) == number + 1  # and the plan


def test_what_is_there_is_not_made_again(
    pairs: Path, scores: Path, ranker_folder: Path, tmp_path: Path, run: Run
) -> None:
    out = Path(shutil.copytree(scores, tmp_path / "scores"))
    (out / "part-000003.parquet").unlink()
    (out / ".part-000003.parquet.0.partial").write_text("half")
    before = {file.name: file.stat().st_mtime_ns for file in out.glob("part-*")}
    printed = run(f"python -m ranker.score {pairs} --out {out} --ranker {ranker_folder} --model int8", ROOT).stdout
    assert printed.endswith("90 pairs in 5 files, of which 1 are new\n")
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert made(out) == made(scores)


@pytest.mark.parametrize("change", ["model", "pairs", "others"])
def test_shards_of_another_run_are_not_gone_on_with(
    pairs: Path, scores: Path, ranker_folder: Path, tmp_path: Path, run: Run, change: str
) -> None:
    out, model = Path(shutil.copytree(scores, tmp_path / "scores")), "fp32" if change == "model" else "int8"
    source = Path(shutil.copytree(pairs, tmp_path / "pairs"))
    if change == "pairs":
        (source / "b.parquet").unlink()
    if change == "others":
        (out / "plan.json").unlink()
    line = f"python -m ranker.score {source} --out {out} --ranker {ranker_folder} --model {model}"
    result = run(line, ROOT, check=False)
    expected = {
        "others": f"score: {out}: expected an empty folder or one that has plan.json, found another\n",
    }.get(change, f"score: {out}/plan.json: expected the plan of this very run, found another: remove {out}\n")
    assert (result.returncode, result.stderr) == (1, expected)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"PAR", "a.parquet: expected a Parquet file, found: "),
        ("a.csv", b"query_id\n1\n", "a.csv: expected a Parquet file, found: "),
        ("empty", None, "empty: expected Parquet files, found none"),
        (
            "null.parquet",
            {"query_id": ["1", "1"], "query": ["a", "a"], "document_id": ["b", "c"], "title": ["d", None]},
            "null.parquet: row group 0: line 2: expected a title in text, found None",
        ),
        (
            "latin.parquet",
            LATIN,
            "latin.parquet: row group 0: expected rows of a Parquet file, found: Column 3: ",
        ),
        ("broken.parquet", BROKEN, "broken.parquet: row group 0: expected rows of a Parquet file, found: "),
        ("twice.parquet", TWICE, "twice.parquet: expected a column title of strings, found query_id string, query"),
        ("folder", FOLDER, "folder/within.parquet: expected a Parquet file, found: "),
        (
            "numbers.parquet",
            {"query_id": [1]},
            "numbers.parquet: expected a column query_id of strings, found query_id",
        ),
    ],
)
def test_what_is_wrong_is_named(
    ranker_folder: Path, tmp_path: Path, run: Run, name: str, content: bytes | dict[str, list[Any]] | None, message: str
) -> None:
    if content is None:
        (tmp_path / name).mkdir()
    elif content is FOLDER:
        (tmp_path / name / "within.parquet").mkdir(parents=True)
    elif isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        pd.DataFrame(content).to_parquet(tmp_path / name)
    line = f"python -m ranker.score {tmp_path / name} --out {tmp_path / 'out'} --ranker {ranker_folder}"
    result = run(line, ROOT, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(f"score: {tmp_path / message}")
    assert len(result.stderr.splitlines()) == 1


def test_a_feed_in_shards_is_the_feed(pairs: Path, ranker_folder: Path, tmp_path: Path, run: Run) -> None:
    line = "python -m ranker.vespa feed {} --out {} --ranker " + str(ranker_folder)
    run(line.format(pairs, tmp_path / "feed"), ROOT)
    parts = sorted((tmp_path / "feed").glob("*.jsonl"))
    assert len(parts) == 5
    for file, group in (("a.parquet", parts[:3]), ("b.parquet", parts[3:])):
        run(line.format(pairs / file, tmp_path / "whole.jsonl"), ROOT)
        assert b"".join(part.read_bytes() for part in group) == (tmp_path / "whole.jsonl").read_bytes()

"""ranker.serving.shards and score: a corpus in shards, resumed; the same bytes, with every row exactly once."""

import io
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker.common.errors import InputError
from ranker.common.files import exclusive, sha256
from ranker.common.table import SYNONYMS, Wanted, needed
from ranker.serving.ranker import Ranker
from ranker.serving.run import run
from ranker.serving.shards import make_shard, plan
from tests.factories import run_module

PAIRS, ROWS = 90, 20  # and rows in a row group: three in one file, two in the other
WORDS = ["masks", "virus", "bats", "wards", "origin", "vaccine", "children", "school"]

TITLE = Wanted(needed("title"), [], SYNONYMS)


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
    """A file of one or two pairs with these titles, and optionally a second column of the same name."""
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


def score(source: Path, out: Path, folder: Path, model: str = "int8") -> str | int | None:
    """Exit status of the command line."""
    asked = ("score", source, "--out", out, "--model-dir", folder, "--model", model)
    return run_module("ranker.__main__", *map(str, asked))


@pytest.fixture(scope="module")
def scores(pairs: Path, ranker_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command line's scores here."""
    out = tmp_path_factory.mktemp("here") / "scores"
    with redirect_stdout(io.StringIO()) as printed:
        assert score(pairs, out, ranker_folder) == 0
    assert printed.getvalue() == f"score: {out}: {PAIRS} pairs in 5 files, of which 5 are new\n"
    return out


def test_score_corpus_scores_as_serving_does(pairs: Path, scores: Path, ranker_folder: Path) -> None:
    """Row by row in fp32; an int8 score depends on its batch, so group by group."""
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
    assert sorted(made(scores)) == [".lock", *(f"part-{i:06}.parquet" for i in range(number)), "plan.json"]


def test_score_corpus_does_not_make_again_what_is_there(
    pairs: Path, scores: Path, ranker_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(shutil.copytree(scores, tmp_path / "scores"))
    (out / "part-000003.parquet").unlink()
    (out / ".part-000003.parquet.0.partial").write_text("half")
    before = {file.name: file.stat().st_mtime_ns for file in out.glob("part-*")}
    assert score(pairs, out, ranker_folder) == 0
    assert capsys.readouterr().out.endswith("90 pairs in 5 files, of which 1 are new\n")
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert made(out) == made(scores)


def test_score_takes_what_the_pipeline_takes(ranker_folder: Path, tmp_path: Path) -> None:
    """CSV, JSON lines and Parquet with synonyms, whole numbers as ids, a missing title and a name of one's own."""
    rows = {"qid": [7, 7], "Query Text": ["masks", "masks"], "artikel": [1, 2], "title-full": ["Masks in wards", None]}
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / "pairs.csv", index=False, sep=";")
    frame.to_parquet(tmp_path / "pairs.parquet")
    frame.to_json(tmp_path / "pairs.jsonl", orient="records", lines=True)
    found = []
    for name in ("pairs.csv", "pairs.parquet", "pairs.jsonl"):
        asked = ("score", tmp_path / name, "--out", tmp_path / f"{name} scores", "--column", "document_id=artikel")
        assert run_module("ranker.__main__", *map(str, asked), "--model-dir", str(ranker_folder)) == 0
        found.append(pq.read_table(tmp_path / f"{name} scores/part-000000.parquet").to_pydict())
    assert found[0] == found[1] == found[2]
    assert (found[0]["query_id"], found[0]["document_id"]) == (["7", "7"], ["1", "2"])


@pytest.mark.parametrize("change", ["model", "pairs", "others"])
def test_pending_refuses_the_shards_of_another_run(
    pairs: Path, scores: Path, ranker_folder: Path, tmp_path: Path, change: str
) -> None:
    out, model = Path(shutil.copytree(scores, tmp_path / "scores")), "fp32" if change == "model" else "int8"
    source = Path(shutil.copytree(pairs, tmp_path / "pairs"))
    if change == "pairs":
        (source / "b.parquet").unlink()
    if change == "others":
        (out / "plan.json").unlink()
    expected = {"others": f"score: {out}: expected an empty folder or one that has plan.json, found another"}.get(
        change, f"score: {out}/plan.json: expected the plan of this very run, found another: remove {out}"
    )
    assert score(source, out, ranker_folder, model) == expected


def test_run_refuses_a_folder_that_another_run_writes_to(pairs: Path, ranker_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores"
    out.mkdir()
    shards = plan(pairs, TITLE, out, ".parquet")
    with (
        exclusive(out / ".lock"),
        pytest.raises(InputError, match=r"scores/\.lock: expected no other run that writes here"),
    ):
        run(shards, TITLE, lambda: fail, None, "pair")
    run([], TITLE, lambda: fail, None, "pair")  # all shards are done


def fail(table: pa.Table, path: Path, name: str) -> None:
    raise RuntimeError(f"{name} was to be made")


def test_make_shard_leaves_nothing_where_it_fails(pairs: Path, tmp_path: Path) -> None:
    (shard, *_) = plan(pairs, TITLE, tmp_path, ".parquet")

    def half(table: pa.Table, path: Path, name: str) -> None:
        path.write_text("half")
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        make_shard(shard, TITLE, half)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"PAR", "a.parquet: expected a Parquet file, found: "),
        (
            "a.csv",
            b"query_id\n1\n",
            "a.csv: expected a column query (or query_text, search_query, search_term)",
        ),
        (
            "b.csv",
            b"query_id,query,document_id,title\n1, ,b,c\n",
            "b.csv: line 2: expected a query in text, found ' '",
        ),
        ("empty", None, "empty: expected Parquet files, found none"),
        (
            "null.parquet",
            {"query_id": ["1", "1"], "query": ["a", None], "document_id": ["b", "c"], "title": ["d", "e"]},
            "null.parquet: row group 0: line 2: expected a query in text, found None",
        ),
        ("latin.parquet", LATIN, "latin.parquet: row group 0: expected rows of a Parquet file, found: Column 3: "),
        ("broken.parquet", BROKEN, "broken.parquet: row group 0: expected rows of a Parquet file, found: "),
        ("twice.parquet", TWICE, "twice.parquet: expected one column of title, found title, title"),
        ("folder", FOLDER, "folder/within.parquet: expected a Parquet file, found: "),
        (
            "numbers.parquet",
            {"query_id": [1.0], "query": ["a"], "document_id": ["b"], "title": ["c"]},
            "numbers.parquet: query_id: expected strings or whole numbers, found double",
        ),
    ],
)
def test_score_corpus_names_what_is_wrong(
    ranker_folder: Path, tmp_path: Path, name: str, content: bytes | dict[str, list[Any]] | None, message: str
) -> None:
    if content is None:
        (tmp_path / name).mkdir()
    elif content is FOLDER:
        (tmp_path / name / "within.parquet").mkdir(parents=True)
    elif isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        pd.DataFrame(content).to_parquet(tmp_path / name)
    found = str(score(tmp_path / name, tmp_path / "out", ranker_folder, "fp32"))
    assert found.startswith(f"score: {tmp_path / message}")
    assert len(found.splitlines()) == 1


def test_feed_corpus_in_shards_is_the_feed(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def feed(source: Path, out: Path) -> str:
        asked = ("feed", source, "--out", out)
        assert run_module("ranker.__main__", *map(str, asked)) == 0
        return capsys.readouterr().out

    assert feed(pairs, tmp_path / "feed") == f"feed: {tmp_path}/feed: {PAIRS} documents of title\n"
    parts = sorted((tmp_path / "feed").glob("*.jsonl"))
    assert len(parts) == 5
    for file, group in (("a.parquet", parts[:3]), ("b.parquet", parts[3:])):
        feed(pairs / file, tmp_path / "whole.jsonl")
        assert b"".join(part.read_bytes() for part in group) == (tmp_path / "whole.jsonl").read_bytes()

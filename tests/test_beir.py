"""ranker.data.beir: the folder's contents unchanged, and one line for each mistake in it."""

import json
from pathlib import Path

import pandas as pd
import pytest

from ranker.common.errors import InputError
from ranker.data.beir import read_beir
from tests.factories import refusal

CORPUS = [
    {"_id": "a", "title": "Masks in wards", "text": "A trial.", "metadata": {"url": "x"}},
    {"_id": "b", "title": "", "text": "Bats."},
    {"_id": 7, "text": "No title."},
]
QUERIES = [{"_id": "1", "text": "masks"}, {"_id": "2", "text": "bats", "metadata": {}}]
HEADER = "query-id\tcorpus-id\tscore\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in CORPUS))
    (tmp_path / "queries.jsonl").write_text("\ufeff" + "\n\n".join(json.dumps(row) for row in QUERIES))
    (tmp_path / "qrels/dev.tsv").write_text(f"{HEADER}2\tb\t1\n")
    (tmp_path / "qrels/test.tsv").write_text(f"{HEADER}1\ta\t2\r\n1\tnowhere\t1.0\n2\ta\t-1\n2\tb\t\n")
    return tmp_path


def test_read_beir_has_everything_as_it_is(folder: Path) -> None:
    found = read_beir(folder, ["title", "text"], [])
    assert found.queries.to_numpy().tolist() == [["1", "masks"], ["2", "bats"]]
    assert found.judgements.drop(columns="subtopic").astype(object).replace({pd.NA: None}).to_numpy().tolist() == [
        ["2", "b", 1, "dev"],
        ["1", "a", 2, "test"],
        ["1", "nowhere", 1, "test"],
        ["2", "a", -1, "test"],
        ["2", "b", None, "test"],
    ]
    documents = [("a", ["Masks in wards", "A trial."]), ("b", ["", "Bats."]), ("7", ["", "No title."])]
    assert list(found.documents()) == documents
    assert list(found.documents()) == documents  # a second time, because documents are read from disk each time


def test_read_beir_passes_over_what_macos_writes_beside_a_file(folder: Path) -> None:
    (folder / "qrels/._test.tsv").write_bytes(b"\0\5\26\7\xff")
    assert set(read_beir(folder, ["title"], []).judgements["qrels_split"]) == {"dev", "test"}


def test_read_beir_of_subtopics(folder: Path) -> None:
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\tsubtopic\n1\ta\t2\t7\n")
    found = read_beir(folder, ["title"], []).judgements
    assert found[["query_id", "grade", "subtopic"]].to_numpy().tolist() == [["2", 1, ""], ["1", 2, "7"]]


def test_read_beir_of_some_splits(folder: Path) -> None:
    assert read_beir(folder, ["title"], ["dev"]).judgements.drop(columns="subtopic").to_numpy().tolist() == [
        ["2", "b", 1, "dev"]
    ]
    assert "qrels: expected the split train, found dev, test" in refusal(read_beir, folder, ["title"], ["train"])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("queries.jsonl", "", "queries.jsonl: expected queries, found none"),
        ("queries.jsonl", '{"_id": "1"}', "line 1: expected a query in text, found ''"),
        ("queries.jsonl", '{"_id": "1", "text": " "}', "line 1: expected a query in text, found ' '"),
        ("queries.jsonl", '{"_id": "1", "text": 5}', "line 1: text: expected text, found 5"),
        ("queries.jsonl", '{"id": "1", "text": "a"}', "line 1: _id: expected an id, found None"),
        ("queries.jsonl", '{"_id": 1.5, "text": "a"}', "line 1: _id: expected an id, found 1.5"),
        (
            "queries.jsonl",
            '{"_id": "1", "text": "a"}\n{"_id": 1, "text": "b"}',
            "line 2: expected query id 1 once, found with 'a' and 'b'",
        ),
        ("corpus.jsonl", '{"_id": "a", "title": "b"', "line 1: expected a JSON object, found: "),
        ("corpus.jsonl", '\n["a"]', "line 2: expected a JSON object, found list"),
        ("corpus.jsonl", '{"_id": "", "title": "b"}', "line 1: _id: expected an id, found ''"),
        ("corpus.jsonl", '{"_id": true, "title": "b"}', "line 1: _id: expected an id, found True"),
        ("corpus.jsonl", '{"_id": "a", "title": ["b"]}', r"line 1: title: expected text, found \['b'\]"),
        ("corpus.jsonl", '{"_id": "a", "title": "\\ud800"}', "line 1: title: expected text, found half a character"),
        ("corpus.jsonl", "[" * 100_000, "line 1: expected a JSON object, found: "),
        ("corpus.jsonl", '{"_id": "a", "title": "b\0"}', "line 1: expected text, found a NUL byte"),
        ("qrels/test.tsv", "", "line 1: expected the header query-id corpus-id score, found ''"),
        ("qrels/test.tsv", "1\ta\t2\n", r"line 1: expected the header query-id corpus-id score, found '1\\ta\\t2'"),
        ("qrels/test.tsv", HEADER + "1 a 2\n", "line 2: expected 3 cells between tabs, found 1"),
        ("qrels/test.tsv", HEADER + "1\ta\thigh\n", "line 2: expected a whole number as grade, found 'high'"),
        ("qrels/test.tsv", HEADER + "1\ta\t0.5\n", "line 2: expected a whole number as grade, found '0.5'"),
        ("qrels/test.tsv", HEADER + "1\ta\tnan\n", "line 2: expected a whole number as grade, found 'nan'"),
        ("qrels/test.tsv", HEADER + "1\ta\t17\n", "line 2: expected a grade of at most 16, found '17'"),
    ],
)
def test_read_beir_names_file_and_line_of_a_mistake(folder: Path, file: str, content: str, message: str) -> None:
    (folder / file).write_text(content)
    with pytest.raises(InputError, match=message) as error:
        list(read_beir(folder, ["title"], []).documents())
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(folder / file))


@pytest.mark.parametrize("file", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_read_beir_names_the_byte_that_is_no_utf8(folder: Path, file: str) -> None:
    (folder / file).write_bytes((folder / file).read_bytes().splitlines()[0] + b"\ncaf\xe9\n")
    with pytest.raises(InputError, match=f"{file}: line 2: expected UTF-8, found byte 0xe9"):
        list(read_beir(folder, ["title"], []).documents())

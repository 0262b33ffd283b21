"""ranker.serving.documents: CSV, JSON lines, Parquet and standard input; each mistake costs one line."""

import io
import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from ranker.common.errors import InputError
from ranker.common.table import STDIN
from ranker.serving.documents import read_documents

DOCUMENTS = [("007", 'Bats, "and"\nbirds'), ("1e10", ""), ("x", "Ångström 🦠")]


def write(path: Path) -> Path:
    frame = pd.DataFrame(DOCUMENTS, columns=["document_id", "title"])
    if path.suffix == ".csv":
        frame.assign(other=1).to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n\n" for row in frame.to_dict("records")))
    else:
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_read_documents_of_each_format(tmp_path: Path, suffix: str) -> None:
    assert list(read_documents(write(tmp_path / f"documents{suffix}"))) == DOCUMENTS


def test_read_documents_with_the_tutorials_column_and_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\ufeffdocument_id,query_id,label,title-full\r\na,1,2,Masks\r\n", newline="")
    assert list(read_documents(tmp_path / "a.csv")) == [("a", "Masks")]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_read_documents_from_standard_input(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = write(tmp_path / f"documents{suffix}").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert list(read_documents(STDIN)) == DOCUMENTS


def test_read_documents_of_a_cell_of_any_length(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"document_id,title\na,{'masks ' * 25_000}\n")
    assert list(read_documents(tmp_path / "a.csv")) == [("a", "masks " * 25_000)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "a.txt: expected a column document_id .or docno, .*, found nothing: is line 1 the header"),
        ("a.csv", b"id,name\n", "expected a column title .or title_full., found id, name"),
        ("a.csv", b"a,b\n", "expected a column document_id .or docno, .*., found a, b: is line 1 the header"),
        ("a.csv", b"docment-id;title\n", "expected a column document_id .*, found docment-id, title .near: docment-id"),
        ("a.csv", b"id,docno,title\n", "a.csv: expected one column of document_id, found id, docno"),
        ("a.csv", b"document_id,title,title\n", "expected one column of title, found title, title"),
        (
            "a.csv",
            b"PK\x03\x04\n",
            "expected CSV, JSON lines or Parquet, found a workbook: save its sheet as CSV",
        ),
        ("a.csv", b"document_id,title\na\n", "a.csv: line 2: expected 2 cells, found 1"),
        ("a.csv", b'document_id,title\na,"b\n', "a.csv: line 2: expected CSV, found: unexpected end of data"),
        ("a.csv", b"document_id,title\n,b\n", "a.csv: line 2: document_id: expected an id, found ''"),
        ("a.csv", b"document_id,title\na,\xff\n", "a.csv: line 2: expected UTF-8, found byte 0xff"),
        ("a.jsonl", b'{"document_id": "a"', "a.jsonl: line 1: expected a JSON object, found: "),
        ("a.jsonl", b"[]\n", "a.jsonl: line 1: expected a JSON object, found list"),
        ("a.jsonl", b'{"document_id": "a"}\n', "a.jsonl: expected a column title .or title_full., found document_id"),
        (
            "a.jsonl",
            b'{"document_id": 7.0, "title": "b"}\n',
            "document_id: expected text or a whole number, found 7",
        ),
        ("a.jsonl", b'{"document_id": null, "title": "b"}\n', "line 1: document_id: expected an id, found ''"),
        (
            "a.jsonl",
            b'{"document_id": "a", "title": "\\ud800"}\n',
            "title: expected text, found half a character",
        ),
        ("a.jsonl", b"[" * 100_000, "a.jsonl: line 1: expected a JSON object, found: "),
        ("a.parquet", b"PAR", "a.parquet: expected a Parquet file, found: "),
    ],
)
def test_read_documents_names_what_is_wrong(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_documents(tmp_path / name))


def test_read_documents_of_parquet_whose_pages_are_spoilt(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet")
    content = bytearray(path.read_bytes())
    content[4:60] = b"x" * 56
    path.write_bytes(content)
    with pytest.raises(InputError, match="a.parquet: expected a Parquet file, found: "):
        list(read_documents(path))


def test_read_documents_of_parquet_with_other_columns_and_types(tmp_path: Path) -> None:
    pd.DataFrame({"product_id": [1], "title": [None]}).to_parquet(tmp_path / "numbers.parquet")
    assert list(read_documents(tmp_path / "numbers.parquet")) == [("1", "")]
    pd.DataFrame({"document_id": [1.0], "title": ["a"]}).to_parquet(tmp_path / "numbers.parquet")
    with pytest.raises(InputError, match="row 1: document_id: expected text or a whole number, found 1.0"):
        list(read_documents(tmp_path / "numbers.parquet"))
    pd.DataFrame({"document_id": ["1"]}).to_parquet(tmp_path / "columns.parquet")
    with pytest.raises(InputError, match="columns.parquet: expected a column title .*, found document_id"):
        list(read_documents(tmp_path / "columns.parquet"))

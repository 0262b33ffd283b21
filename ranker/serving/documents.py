"""Read documents to rank or feed, one by one, from CSV, JSON lines or Parquet with document_id and text fields."""

import sys
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from ranker.common.csv_rows import csv_rows
from ranker.common.errors import InputError
from ranker.common.lines import has_surrogate, json_object, numbered
from ranker.contract.document import TITLE

Document = tuple[str, ...]  # document_id, and the text of each field
Row = tuple[int, Sequence[Any]]  # line, and the document's cells before the check
TITLES = ("title", "title-full")  # the latter in the tutorial's files
STDIN = Path("-")
ROWS = 8192  # of a Parquet file, in memory at a time


def read_documents(path: Path, fields: Sequence[str] = TITLE) -> Iterator[Document]:
    """Yield document_id and `fields` of each document of a file, in order; InputError names the line.

    The suffix gives the format: .csv, .jsonl or .parquet. `-` is standard input: JSON lines if its first character is
    a brace, else CSV.
    """
    if path == STDIN and sys.stdin is None:
        raise InputError("standard input: expected documents, found it closed")
    if path == STDIN:
        yield from checked("standard input", _standard_input(sys.stdin.buffer, fields), fields)
    elif path.suffix == ".parquet":
        yield from checked(str(path), _parquet(path, fields), fields)
    elif path.suffix in (".csv", ".jsonl"):
        with path.open("rb") as file:
            read = _csv if path.suffix == ".csv" else _jsonl
            yield from checked(str(path), read(str(path), file, fields), fields)
    else:
        raise InputError(f"{path}: expected .csv, .jsonl or .parquet, found {path.suffix or 'no suffix'}")


def checked(name: str, rows: Iterable[Row], fields: Sequence[str] = TITLE) -> Iterator[Document]:
    """Check that ids and fields are text; InputError names the file and the line."""
    for line, (document_id, *texts) in rows:
        if not isinstance(document_id, str) or not document_id.strip() or has_surrogate(document_id):
            raise InputError(f"{name}: line {line}: expected a document_id in text, found {document_id!r}")
        for field, text in zip(fields, texts, strict=True):
            if not isinstance(text, str) or has_surrogate(text):
                where = f"{name}: line {line} (document_id {document_id!r})"
                raise InputError(f"{where}: expected a {field} in text, found {text!r}")
        yield document_id, *texts


def check_query(text: str) -> None:
    """InputError if a query from the command line was not UTF-8."""
    if has_surrogate(text):
        raise InputError(f"query: expected UTF-8, found {text!r}")


def _columns(name: str, fields: Sequence[str], found: list[str]) -> list[str]:
    columns = ["document_id"]
    for field in fields:
        columns += [column for column in (TITLES if field == "title" else (field,)) if column in found]
    if len(columns) != 1 + len(fields) or any(found.count(column) != 1 for column in columns):
        expected = " and ".join("either title or title-full" if field == "title" else field for field in fields)
        raise InputError(f"{name}: expected document_id and {expected}, found {', '.join(found) or 'nothing'}")
    return columns


def _standard_input(file: BinaryIO, fields: Sequence[str]) -> Iterator[Row]:
    first = file.readline()
    is_json = first.removeprefix(BOM_UTF8).lstrip().startswith(b"{")
    yield from (_jsonl if is_json else _csv)("standard input", chain([first], file), fields)


def _csv(name: str, lines: Iterable[bytes], fields: Sequence[str]) -> Iterator[Row]:
    for line, row in csv_rows(name, lines, partial(_columns, name, fields)):
        yield line, list(row.values())


def _jsonl(name: str, lines: Iterable[bytes], fields: Sequence[str]) -> Iterator[Row]:
    for line, text in numbered(name, lines):
        where = f"{name}: line {line}"
        row = json_object(where, text)
        yield line, [row[column] for column in _columns(where, fields, list(row))]


def _parquet(path: Path, fields: Sequence[str]) -> Iterator[Row]:
    import pyarrow as pa  # only Parquet needs it
    import pyarrow.parquet as pq

    line = 0
    with path.open("rb") as file:  # its OSErrors name the file
        try:
            table = pq.ParquetFile(file, pre_buffer=False)  # a pre-buffer holds the whole file
            columns = _columns(str(path), fields, table.schema_arrow.names)
            for batch in table.iter_batches(ROWS, columns=columns):
                for row in zip(*(batch[column].to_pylist() for column in columns), strict=True):
                    line += 1
                    yield line, row
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: expected a Parquet file, found: {error}") from error

"""Documents to rank or to feed, read one by one: CSV, JSON lines or Parquet with document_id and title."""

import io
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from ranker.common.csv_rows import csv_rows
from ranker.common.errors import InputError

Document = tuple[str, str]  # document_id, title
Row = tuple[int, Any, Any]  # line, document_id, title, as they were found
TITLES = ("title", "title-full")  # the tutorial's files call it the latter
STDIN = Path("-")
ROWS = 8192  # of a Parquet file, in memory at a time


def read_documents(path: Path) -> Iterator[Document]:
    """document_id and title of each document of a file, in order, whatever its length; InputError names the line.

    The suffix tells the format: .csv, .jsonl or .parquet. `-` is standard input, JSON lines where its first character
    is a brace, else CSV.
    """
    if path == STDIN and sys.stdin is None:
        raise InputError("standard input: expected documents, found it closed")
    if path == STDIN:
        text = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
        yield from checked("standard input", _standard_input(text))
    elif path.suffix == ".parquet":
        yield from checked(str(path), _parquet(path))
    elif path.suffix in (".csv", ".jsonl"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from checked(str(path), (_csv if path.suffix == ".csv" else _jsonl)(str(path), file))
    else:
        raise InputError(f"{path}: expected .csv, .jsonl or .parquet, found {path.suffix or 'no suffix'}")


def checked(name: str, rows: Iterable[Row]) -> Iterator[Document]:
    """Rows whose id and title are text; InputError names the file and the line of one that has others."""
    try:
        for line, document_id, title in rows:
            if not isinstance(document_id, str) or not document_id.strip() or has_surrogate(document_id):
                raise InputError(f"{name}: line {line}: expected a document_id in text, found {document_id!r}")
            if not isinstance(title, str) or has_surrogate(title):
                where = f"{name}: line {line} (document_id {document_id!r})"
                raise InputError(f"{where}: expected a title in text, found {title!r}")
            yield document_id, title
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: expected UTF-8, found byte 0x{error.object[error.start]:02x}") from error


def check_query(text: str) -> None:
    """InputError where a query from the command line was not UTF-8."""
    if has_surrogate(text):
        raise InputError(f"query: expected UTF-8, found {text!r}")


def has_surrogate(text: str) -> bool:
    """Whether text holds half a character, as JSON's escapes can write and UTF-8 cannot."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _columns(name: str, found: list[str]) -> list[str]:
    titles = [column for column in TITLES if column in found]
    if found.count("document_id") != 1 or len(titles) != 1 or found.count(titles[0]) != 1:
        raise InputError(
            f"{name}: expected document_id and either title or title-full, found {', '.join(found) or 'nothing'}"
        )
    return ["document_id", titles[0]]


def _standard_input(text: io.TextIOWrapper) -> Iterator[Row]:
    first = text.readline()
    lines = chain([first], text)
    yield from (_jsonl if first.lstrip().startswith("{") else _csv)("standard input", lines)


def _csv(name: str, lines: Iterable[str]) -> Iterator[Row]:
    def places(header: list[str]) -> list[int]:
        return [header.index(column) for column in _columns(name, header)]

    for line, (document_id, title) in csv_rows(name, lines, places):
        yield line, document_id, title


def _jsonl(name: str, lines: Iterable[str]) -> Iterator[Row]:
    for line, text in enumerate(lines, start=1):
        if text.strip():
            where = f"{name}: line {line}"
            try:
                row = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{where}: expected a JSON object, found: {error}") from error
            if not isinstance(row, dict):
                raise InputError(f"{where}: expected a JSON object, found {type(row).__name__}")
            document_id, title = (row[column] for column in _columns(where, list(row)))
            yield line, document_id, title


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa  # for this format alone
    import pyarrow.parquet as pq

    line = 0
    with path.open("rb") as file:  # whose errors name it
        try:
            table = pq.ParquetFile(file)
            columns = _columns(str(path), table.schema_arrow.names)
            for batch in table.iter_batches(ROWS, columns=columns):
                for document_id, title in zip(*(batch[column].to_pylist() for column in columns), strict=True):
                    line += 1
                    yield line, document_id, title
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: expected a Parquet file, found: {error}") from error

"""Tables by their columns' usual names: CSV with any delimiter, JSON lines, Parquet."""

import difflib
import re
import sys
from codecs import BOM_UTF8
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ranker.common.csv_rows import csv_rows
from ranker.common.errors import InputError
from ranker.common.lines import has_surrogate, json_object, numbered
from ranker.common.spreadsheet import from_spreadsheet

Synonyms = Mapping[str, tuple[str, ...]]
Row = tuple[str, dict[str, str]]  # place (file and line), cells by the columns' first names
SYNONYMS: Synonyms = {  # in the form of `plain`; the first is preferred
    "query_id": ("query_id", "qid", "topic", "topic_id"),
    "query": ("query", "query_text", "search_query", "search_term"),
    "document_id": (
        "document_id", "docno", "doc_id", "docid", "product_id", "item_id", "sku", "corpus_id", "_id", "id", "cord_uid",
    ),
    "grade": ("grade", "label", "score", "relevance", "rating", "judgement", "judgment"),
    "title": ("title", "title_full"),
}  # fmt: skip
DELIMITERS = ",;\t|"
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # first bytes of .xlsx and .ods, and of .xls
STDIN = Path("-")
JSON_LINES = (".jsonl", ".ndjson", ".json")
ROWS = 8192  # of a Parquet file, in memory at a time


def synonyms(named: Mapping[str, str], alone: Collection[str] = ()) -> Synonyms:
    """SYNONYMS with a user's names first; a column in `alone` has no other name than the user's."""
    found = dict(SYNONYMS)
    for column, name in named.items():
        if name:
            found[column] = (plain(name), *(() if column in alone else SYNONYMS[column]))
    return found


def plain(name: str) -> str:
    """A column's name in lower case, with an underscore for spaces and hyphens."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


@dataclass(frozen=True)
class Wanted:
    """Columns to read: at least one of each group, and those of `optional` that exist (None: all)."""

    groups: Sequence[Sequence[str]]
    optional: Sequence[str] | None
    synonyms: Synonyms

    def names(self) -> list[str]:
        """The wanted columns' first names."""
        return list(dict.fromkeys([*chain.from_iterable(self.groups), *(self.optional or ())]))

    def accepted(self, column: str) -> tuple[str, ...]:
        return self.synonyms.get(column, (plain(column),))

    def columns(self, where: str, header: Sequence[str]) -> dict[str, str]:
        """The column's first name for each name of `header` to read; InputError if two columns have one meaning."""
        found: dict[str, str] = {}
        for column in self.names():
            preferred, *others = self.accepted(column)
            same = [name for name in header if plain(name) == preferred]
            same = [name for name in same if name == column] or same
            same = same or [name for name in header if plain(name) in others]
            if len(same) > 1:
                raise InputError(f"{where}: expected one column of {column}, found {', '.join(same)}")
            found |= dict.fromkeys(same, column)
        rest = [name for name in header if header.count(name) == 1] if self.optional is None else []
        return found | {name: name for name in rest if name not in found and name not in found.values()}

    def of(self, where: str, header: Sequence[str]) -> dict[str, str]:
        """`columns`, after a `check`."""
        found = self.columns(where, header)
        self.check(where, found.values(), header)
        return found

    def check(self, where: str, names: Collection[str], header: Collection[str]) -> None:
        """InputError if no column of a group is among `names`; it names the columns of `header`."""
        for group in self.groups:
            if not set(group) & set(names):
                raise InputError(f"{where}: {self._missing(group, list(header))}")

    def _missing(self, group: Sequence[str], header: Sequence[str]) -> str:
        accepted = list(dict.fromkeys(name for column in group for name in self.accepted(column)))
        others = ", ".join(name for name in accepted if name not in group)
        expected = " or ".join(group) + (f" (or {others})" if others else "")
        known = set(chain.from_iterable(self.synonyms.values()))
        unknown = [name for name in header if plain(name) not in known]
        near = [name for name in unknown if difflib.get_close_matches(plain(name), accepted, 1)]
        hint = f" (near: {near[0]})" if near else "" if known & set(map(plain, header)) else ": is line 1 the header?"
        return f"expected a column {expected}, found {', '.join(header)[:300] or 'nothing'}{hint}"


def read_table(
    path: Path,
    groups: Sequence[Sequence[str]] = (),
    optional: Sequence[str] | None = None,
    names: Synonyms = SYNONYMS,
    spreadsheet: bool = False,
) -> Iterator[Row]:
    """Yield the place (file and line) and the wanted cells of each row, in order.

    Reads Parquet if the suffix says so; JSON lines if it says so or the first character is a brace; else CSV with any
    of DELIMITERS. STDIN is standard input. A missing or null value is an empty cell. With `spreadsheet`, apostrophes of
    `for_spreadsheet` are removed. InputError names the file and its columns if a group has none of its columns, and the
    row of a cell that is neither text nor a whole number; a grade may have a decimal point.
    """
    wanted = Wanted(groups, optional, names)
    if path.suffix == ".parquet":
        yield from _parquet(path, wanted)
    elif path != STDIN:
        with path.open("rb") as file:
            yield from _lines(str(path), file, path.suffix.lower() in JSON_LINES, wanted, spreadsheet)
    elif sys.stdin is None:
        raise InputError("standard input: expected a table, found it closed")
    else:
        yield from _lines("standard input", sys.stdin.buffer, False, wanted, spreadsheet)


def _lines(name: str, file: Iterable[bytes], is_json: bool, wanted: Wanted, spreadsheet: bool) -> Iterator[Row]:
    lines = iter(file)
    first = next(lines, b"")
    if first.startswith(WORKBOOKS):
        raise InputError(f"{name}: expected CSV, JSON lines or Parquet, found a workbook: save its sheet as CSV")
    if is_json or first.removeprefix(BOM_UTF8).lstrip().startswith(b"{"):
        yield from _json_lines(name, chain([first], lines), wanted)
        return
    for where, cells in _delimited(name, first, lines, wanted):
        yield where, {column: from_spreadsheet(cell) for column, cell in cells.items()} if spreadsheet else cells


def _delimited(name: str, first: bytes, lines: Iterable[bytes], wanted: Wanted) -> Iterator[Row]:
    columns: dict[str, str] = {}

    def read(header: list[str]) -> list[str]:
        columns.update(wanted.of(name, header))
        return list(columns)

    delimiter = _delimiter(first.decode("utf-8-sig", errors="replace"), wanted)
    for line, cells in csv_rows(name, chain([first], lines), read, delimiter):
        if any(cell.strip() for cell in cells.values()):  # a spreadsheet saves empty rows below its last
            yield f"{name}: line {line}", {columns[column]: cell for column, cell in cells.items()}


def _delimiter(header: str, wanted: Wanted) -> str:
    """The delimiter that gives the most known column names."""
    known = {name for column in (*SYNONYMS, *wanted.names()) for name in wanted.accepted(column)}

    def names(delimiter: str) -> tuple[int, int]:
        found = [plain(name.strip(' "\r\n')) for name in header.split(delimiter)]
        return sum(name in known for name in found), len(found)

    return max(DELIMITERS, key=names)


def _json_lines(name: str, lines: Iterable[bytes], wanted: Wanted) -> Iterator[Row]:
    seen: dict[str, str] = {}
    for number, line in numbered(name, lines):
        where = f"{name}: line {number}"
        row = json_object(where, line)
        columns = wanted.columns(where, list(row))
        seen |= dict.fromkeys(row, "") | columns
        absent = dict.fromkeys(chain.from_iterable(wanted.groups), "")
        yield where, absent | {column: _text(where, column, row[key]) for key, column in columns.items()}
    if seen:
        wanted.check(name, set(filter(None, seen.values())), seen)


def _parquet(path: Path, wanted: Wanted) -> Iterator[Row]:
    import pyarrow as pa  # only Parquet needs it
    import pyarrow.parquet as pq

    line = 0
    with path.open("rb") as file:  # its OSErrors name the file
        try:
            table = pq.ParquetFile(file, pre_buffer=False)  # a pre-buffer holds the whole file
            columns = wanted.of(str(path), table.schema_arrow.names)
            for batch in table.iter_batches(ROWS, columns=list(columns)):
                for row in zip(*(batch[column].to_pylist() for column in columns), strict=True):
                    line += 1
                    where = f"{path}: row {line}"
                    named = zip(columns.values(), row, strict=True)
                    yield where, {column: _text(where, column, value) for column, value in named}
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: expected a Parquet file, found: {error}") from error


def _text(where: str, column: str, value: object) -> str:
    if value is None or value != value:  # NaN differs from itself
        return ""
    if isinstance(value, str):
        if has_surrogate(value):
            raise InputError(f"{where}: {column}: expected text, found half a character in {value[:40]!r}")
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float) if column == "grade" else int):
        raise InputError(f"{where}: {column}: expected text or a whole number, found {value!r}")
    return str(value)


def filled(where: str, cells: Mapping[str, str], column: str) -> str:
    """The id in a row's column; InputError if it is blank."""
    if not cells[column].strip():
        raise InputError(f"{where}: {column}: expected an id, found {cells[column]!r}")
    return cells[column]


def read_documents(path: Path, fields: Sequence[str], names: Synonyms = SYNONYMS) -> Iterator[tuple[str, list[str]]]:
    """Id and texts of each document of a table, in its order; a missing or null text is empty."""
    for where, cells in read_table(path, needed("document_id", *fields), [], names):
        yield filled(where, cells, "document_id"), [cells[field] for field in fields]


def needed(*columns: str) -> list[list[str]]:
    """Each column as a group of its own, for `read_table`."""
    return [[column] for column in columns]

"""Tables as people and spreadsheets have them: names of columns, delimiters, cells that stay as they are."""

import csv
import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ranker.common.csv_rows import csv_rows
from ranker.common.errors import InputError

SYNONYMS = {
    "query_id": ("query_id", "query-id", "qid", "topic"),
    "query": ("query", "query_text"),
    "document_id": ("document_id", "docno", "doc_id", "product_id", "corpus-id", "_id", "id", "cord_uid"),
    "grade": ("grade", "label", "score", "relevance", "rating"),
    "title": ("title", "title-full"),
}
DELIMITERS = ",;\t|"
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # first bytes of .xlsx and .ods, and of .xls
ROWS = 8192  # of a Parquet file, in memory at a time
LONGEST = 1000  # characters of a text that are shown beside a grade: spreadsheets cut a cell at 32,767
MONTHS = re.compile(r"jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec", re.IGNORECASE)
PLAIN_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")  # spreadsheets show and save it as it is
FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # OWASP's list, its full-width forms among them


def for_spreadsheet(cell: str) -> str:
    """The cell with an apostrophe before it where a spreadsheet would compute it, or read a number or a date in it.

    >>> [for_spreadsheet(cell) for cell in ("Masks", "=1+1", "00123", "1E5", "2020-01-02", "SEPT2", "31")]
    ['Masks', "'=1+1", "'00123", "'1E5", "'2020-01-02", "'SEPT2", '31']
    """
    return f"'{cell}" if _is_changed(cell) else cell


def from_spreadsheet(cell: str) -> str:
    """The cell that `for_spreadsheet` was given; one that it would leave alone keeps its apostrophe.

    >>> [from_spreadsheet(cell) for cell in ("'00123", "'Tis the season", "31")]
    ['00123', "'Tis the season", '31']
    """
    return cell[1:] if cell.startswith("'") and _is_changed(cell[1:]) else cell


def _is_changed(cell: str) -> bool:
    if cell.lstrip(" ").startswith(FORMULA) or cell.startswith("'"):
        return True
    if cell != cell.strip() or cell.lower() in ("true", "false"):
        return True
    if not any(character.isnumeric() for character in cell) or PLAIN_NUMBER.fullmatch(cell):
        return False
    # Numbers with a unit, an exponent or a currency have few letters; a date may have a month's name.
    return sum(map(str.isalpha, cell)) <= 3 or (len(cell) <= 40 and MONTHS.search(cell) is not None)


def on_one_line(text: str) -> str:
    """A text whose white space is single spaces."""
    return " ".join(text.split())


def shown(text: str) -> str:
    """A text on one line, at most LONGEST characters of it."""
    line = on_one_line(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def same_text(one: str, other: str) -> bool:
    """Whether two texts differ in case and white space at most."""
    return one == other or folded(one) == folded(other)


def folded(text: str) -> str:
    """A text by which others that differ in case and white space alone are found."""
    return on_one_line(text.casefold())


def query_id_of(text: str) -> str:
    """An id made from a query's text, in whatever case and white space.

    >>> query_id_of("Face  masks") == query_id_of("face masks")
    True
    """
    return f"query-{hashlib.sha256(folded(text).encode()).hexdigest()[:10]}"


def read_table(path: Path, needed: Sequence[Sequence[str]] = ()) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each row is, and its cells by column: those of SYNONYMS by their first name, others by their own.

    CSV with any of DELIMITERS, or Parquet by its suffix. Of each group of `needed`, the table has one column or more.
    InputError names the file, and the columns that were found.
    """
    with path.open("rb") as file:
        if path.suffix != ".parquet" and file.read(4) in WORKBOOKS:
            raise InputError(f"{path}: expected CSV or Parquet, found a workbook: save its sheet as CSV")
    read = _parquet if path.suffix == ".parquet" else _delimited
    for where, cells in read(path, needed):
        yield where, {name: from_spreadsheet(cell) for name, cell in cells.items()}


def _delimited(path: Path, needed: Sequence[Sequence[str]]) -> Iterator[tuple[str, dict[str, str]]]:
    names: dict[str, str] = {}

    def columns(header: list[str]) -> list[str]:
        renamed = dict(zip(header, _names(path, header, needed), strict=True))
        names.update({name: renamed[name] for name in header if header.count(name) == 1})
        return list(names)

    with path.open("rb") as file:
        delimiter = _delimiter(file.readline().decode("utf-8-sig", errors="replace"))
        file.seek(0)
        for line, cells in csv_rows(str(path), file, columns, delimiter):
            yield f"{path}: line {line}", {names[name]: cell for name, cell in cells.items()}


def _delimiter(header: str) -> str:
    """The one that finds most of the names that are known."""
    known = {name for names in SYNONYMS.values() for name in names}

    def found(delimiter: str) -> int:
        return sum(name.strip(' "\r\n').lower() in known for name in header.split(delimiter))

    return max(DELIMITERS, key=found)


def _parquet(path: Path, needed: Sequence[Sequence[str]]) -> Iterator[tuple[str, dict[str, str]]]:
    import pyarrow as pa  # for this format alone
    import pyarrow.parquet as pq

    line = 0
    with path.open("rb") as file:
        try:
            table = pq.ParquetFile(file, pre_buffer=False)
            names = _names(path, table.schema_arrow.names, needed)
            for batch in table.iter_batches(ROWS):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    line += 1
                    yield f"{path}: row {line}", dict(zip(names, map(_text, row), strict=True))
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: expected a Parquet file, found: {error}") from error


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value)  # a float that is no number differs from itself


def _names(path: Path, header: Sequence[str], needed: Sequence[Sequence[str]]) -> list[str]:
    """The header's columns, those of SYNONYMS by their first name: where that is there, another one keeps its own."""
    names, lower = list(header), [name.strip().lower() for name in header]
    for first, synonyms in SYNONYMS.items():
        found = [place for place, name in enumerate(lower) if name in synonyms]
        found = [place for place in found if lower[place] == first] or found
        if len(found) > 1:
            there = ", ".join(header[place] for place in found)
            raise InputError(f"{path}: expected one column of {first}, found {there}")
        for place in found:
            names[place] = first
    for group in needed:
        if not set(group) & set(names):
            raise InputError(f"{path}: {_missing(group, header)}")
    return names


def _missing(group: Sequence[str], header: Sequence[str]) -> str:
    accepted = [name for first in group for name in SYNONYMS.get(first, (first,))]
    near = difflib.get_close_matches(accepted[0], header, 1) or [
        name for name in header if difflib.get_close_matches(name.lower(), accepted, 1)
    ]
    found = ", ".join(header) or "nothing"
    return f"expected a column {' or '.join(accepted)}, found {found}" + (f" (near: {near[0]})" if near else "")


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], encoding: str = "utf-8") -> None:
    """Write CSV whose texts a spreadsheet leaves as they are; a BOM (utf-8-sig) tells Excel that it is UTF-8."""
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([for_spreadsheet(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)

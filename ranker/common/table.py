"""Tables from spreadsheets and back: synonyms of column names, delimiters, cells that a spreadsheet must not change."""

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
LONGEST = 1000  # characters of a text shown beside a grade; spreadsheets cut a cell at 32,767
MONTHS = re.compile(r"jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec", re.IGNORECASE)
PLAIN_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")  # spreadsheets show and save it unchanged
FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # OWASP's list, its full-width forms among them


def for_spreadsheet(cell: str) -> str:
    """Put an apostrophe before a cell that a spreadsheet would compute or convert to a number or a date.

    >>> [for_spreadsheet(cell) for cell in ("Masks", "=1+1", "00123", "1E5", "2020-01-02", "SEPT2", "31")]
    ['Masks', "'=1+1", "'00123", "'1E5", "'2020-01-02", "'SEPT2", '31']
    """
    return f"'{cell}" if _is_changed(cell) else cell


def from_spreadsheet(cell: str) -> str:
    """Invert `for_spreadsheet`: remove its apostrophe, and keep one that belongs to the text.

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
    """Replace each run of white space by one space."""
    return " ".join(text.split())


def shown(text: str) -> str:
    """A text on one line, cut to LONGEST characters."""
    line = on_one_line(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def same_text(one: str, other: str) -> bool:
    """True if two texts are equal but for case and white space."""
    return one == other or folded(one) == folded(other)


def folded(text: str) -> str:
    """A key that is equal for texts equal but for case and white space."""
    return on_one_line(text.casefold())


def query_id_of(text: str) -> str:
    """An id hashed from a query's text, independent of case and white space.

    >>> query_id_of("Face  masks") == query_id_of("face masks")
    True
    """
    return f"query-{hashlib.sha256(folded(text).encode()).hexdigest()[:10]}"


def read_table(path: Path, needed: Sequence[Sequence[str]] = ()) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the place (file and line) and the cells of each row; columns in SYNONYMS get their first name.

    Reads Parquet if the suffix says so, else CSV with any of DELIMITERS. InputError names the file and its columns if
    a group of `needed` has no column in it.
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
    """The delimiter that gives the most known column names."""
    known = {name for names in SYNONYMS.values() for name in names}

    def found(delimiter: str) -> int:
        return sum(name.strip(' "\r\n').lower() in known for name in header.split(delimiter))

    return max(DELIMITERS, key=found)


def _parquet(path: Path, needed: Sequence[Sequence[str]]) -> Iterator[tuple[str, dict[str, str]]]:
    import pyarrow as pa  # only Parquet needs it
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
    return "" if value is None or value != value else str(value)  # NaN differs from itself


def _names(path: Path, header: Sequence[str], needed: Sequence[Sequence[str]]) -> list[str]:
    """Rename a column to the first name of its synonyms, unless another column has that name already."""
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
    """Write CSV that a spreadsheet reads unchanged; Excel needs a BOM (utf-8-sig) to detect UTF-8."""
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([for_spreadsheet(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)

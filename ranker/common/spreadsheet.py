"""Cells that a spreadsheet must not change, and texts as it shows them."""

import csv
import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

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


def changed_ids(unknown: Collection[str], document_ids: Iterable[str]) -> dict[str, str]:
    """Each id of `unknown` that a document's id equals but for what spreadsheets change, with that id.

    >>> changed_ids(["123", "0123", "7.0", "d9", "x"], ["00123", "7", "D9", "d10"])
    {'123': '00123', '0123': '00123', '7.0': '7', 'd9': 'D9'}
    """
    keys = {name: _without_changes(name) for name in unknown}
    wanted = set(keys.values())
    found = {key: name for name in document_ids if (key := _without_changes(name)) in wanted}
    return {name: found[key] for name, key in keys.items() if key in found}


def _without_changes(name: str) -> str:
    return re.sub(r"\.0+$", "", name.strip().casefold()).lstrip("0")


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], encoding: str = "utf-8") -> None:
    """Write CSV that a spreadsheet reads unchanged; Excel needs a BOM (utf-8-sig) to detect UTF-8."""
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([for_spreadsheet(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)

"""Strict CSV, row by row: an unclosed quote or an extra cell is an error that names its line."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from ranker.common.errors import InputError
from ranker.common.lines import decoded

csv.field_size_limit(2**27)  # characters; csv's default refuses documents above 131,072


def csv_rows(
    name: str, lines: Iterable[bytes], columns: Callable[[list[str]], Sequence[str]], delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str]]]:
    r"""Yield each row as its first line number and its cells by column.

    `columns` maps the header to the columns to read, in order. InputError names the file `name`.

    >>> list(csv_rows("titles.csv", [b"id,title\n", b"7,\"Masks,\n", b"again\"\n", b"8,Bats\n"], lambda _: ["title"]))
    [(2, {'title': 'Masks,\nagain'}), (4, {'title': 'Bats'})]
    """
    lone: set[int] = set()
    reader = csv.reader(_lines(decoded(name, lines), lone), strict=True, delimiter=delimiter)
    line = 1
    try:
        header: list[str] = next(reader, [])
        places = {column: _place(name, header, column) for column in columns(header)}
        line = reader.line_num + 1
        for row in reader:
            if row and len(row) != len(header):
                why = ": a carriage return in it is not quoted" if reader.line_num in lone else ""
                raise InputError(f"{name}: line {line}: expected {len(header)} cells, found {len(row)}{why}")
            if row:
                yield line, {column: row[place] for column, place in places.items()}
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{name}: line {line}: expected CSV, found: {error}") from error


def _place(name: str, header: list[str], column: str) -> int:
    if (count := header.count(column)) != 1:
        among = ", ".join(header) or "nothing"
        raise InputError(f"{name}: expected column {column} once, found it {count} times among: {among}")
    return header.index(column)


def _lines(lines: Iterable[str], lone: set[int]) -> Iterator[str]:
    """Split lines at bare carriage returns too, because csv ends a row at an unquoted one.

    The numbers of the lines on both sides of one are added to `lone`.
    """
    number = 0
    for line in lines:
        for part in re.split(r"(?<=\r)(?=[^\n])", line) if "\r" in line else [line]:
            number += 1
            if part.endswith("\r"):
                lone.update((number, number + 1))
            yield part

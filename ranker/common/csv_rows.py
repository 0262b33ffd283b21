"""CSV read strictly, row by row: a quote that is never closed or a cell too many is an error that names its line."""

import csv
from collections.abc import Callable, Iterable, Iterator

from ranker.common.errors import InputError


def csv_rows(
    name: str, lines: Iterable[str], places: Callable[[list[str]], list[int]], delimiter: str = ","
) -> Iterator[tuple[int, list[str]]]:
    r"""The number of its first line and the cells at `places` of each row.

    `places` is told the header and says which cells are wanted. InputError calls the file by `name`.

    >>> list(csv_rows("titles.csv", ["id,title\n", "7,\"Masks,\n", "again\"\n", "8,Bats\n"], lambda header: [1]))
    [(2, ['Masks,\nagain']), (4, ['Bats'])]
    """
    lone: set[int] = set()
    reader = csv.reader(_text(name, lines, lone), strict=True, delimiter=delimiter)
    line = 1
    try:
        header: list[str] = next(reader, [])
        wanted = places(header)
        line = reader.line_num + 1
        for row in reader:
            if row and len(row) != len(header):
                why = ": a carriage return in it is not quoted" if reader.line_num in lone else ""
                raise InputError(f"{name}: line {line}: expected {len(header)} cells, found {len(row)}{why}")
            if row:
                yield line, [row[place] for place in wanted]
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{name}: line {line}: expected CSV, found: {error}") from error


def _text(name: str, lines: Iterable[str], lone: set[int]) -> Iterator[str]:
    """Lines without NUL, which no text has: what was cut off, or is in UTF-16, does.

    Numbers of lines that a bare carriage return ends go into `lone`: csv takes one that is not quoted for a row's end.
    """
    for number, line in enumerate(lines, start=1):
        if line.endswith("\r"):
            lone.update((number, number + 1))
        if "\0" in line:
            raise InputError(f"{name}: line {number}: expected text, found a NUL byte")
        yield line

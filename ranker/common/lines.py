"""Text files read line by line; errors name the file and the line."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ranker.common.errors import InputError


def decoded(name: str, lines: Iterable[bytes]) -> Iterator[str]:
    """Lines as text with their line ends; InputError, naming the file `name`, if one is not UTF-8 or has a NUL."""
    for number, raw in enumerate(lines, start=1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            found = error.object[error.start]
            raise InputError(f"{name}: line {number}: expected UTF-8, found byte 0x{found:02x}") from error
        if "\0" in line:
            raise InputError(f"{name}: line {number}: expected text, found a NUL byte")
        yield line


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text, without line end, of each line that is not blank; InputError names a line that is not text."""
    with path.open("rb") as file:
        yield from numbered(str(path), file)


def numbered(name: str, lines: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """`text_lines` of an open file; InputError names it `name`."""
    for number, whole in enumerate(decoded(name, lines), start=1):
        line = whole.rstrip("\r\n")
        if "\r" in line:
            raise InputError(f"{name}: line {number}: expected text, found a carriage return byte")
        if line.strip():
            yield number, line


def json_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object of a JSON lines file, with its place (file and line) first."""
    for number, line in text_lines(path):
        where = f"{path}: line {number}"
        yield where, json_object(where, line)


def has_surrogate(text: str) -> bool:
    """True if text has a lone surrogate, which a JSON escape can write and UTF-8 cannot."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def json_object(where: str, text: str) -> dict[str, Any]:
    """Parse a JSON object; InputError at `where` if the text is anything else."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: expected a JSON object, found: {error}") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected a JSON object, found {type(row).__name__}")
    return row


def identifier(where: str, row: dict[str, Any], names: tuple[str, ...]) -> str:
    """The id of a row, from the first of `names` in it; InputError if it is neither text nor an integer."""
    name = next((name for name in names if name in row), names[0])
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise InputError(f"{where}: {name}: expected an id, found {value!r}")
    if has_surrogate(str(value)):
        raise InputError(f"{where}: {name}: expected an id, found half a character in {value!r}")
    return str(value)


def text_of(where: str, row: dict[str, Any], name: str) -> str:
    """A text of a row, empty if absent or null; InputError if it is another type or has a lone surrogate."""
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{where}: {name}: expected text, found {value!r}")
    if has_surrogate(value):
        raise InputError(f"{where}: {name}: expected text, found half a character in {value[:40]!r}")
    return value

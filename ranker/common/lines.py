"""Text files read line by line; a mistake is said with its file and line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ranker.common.errors import InputError


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not blank, without its end; InputError where a byte is no text."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}: line {number}: expected UTF-8, found byte 0x{raw[error.start]:02x}"
                ) from error
            for character, name in (("\0", "NUL"), ("\r", "carriage return")):
                if character in line:
                    raise InputError(f"{path}: line {number}: expected text, found a {name} byte")
            if line.strip():
                yield number, line


def json_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each JSON object of a JSON lines file is, and itself."""
    for number, line in text_lines(path):
        where = f"{path}: line {number}"
        yield where, json_object(where, line)


def json_object(where: str, text: str) -> dict[str, Any]:
    """The object that a text is in JSON; InputError says `where` it is none."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: expected a JSON object, found: {error}") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected a JSON object, found {type(row).__name__}")
    return row


def identifier(where: str, row: dict[str, Any], names: tuple[str, ...]) -> str:
    """The id of a row, under the first of `names` that it has; InputError where that is no text and no number."""
    name = next((name for name in names if name in row), names[0])
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise InputError(f"{where}: {name}: expected an id, found {value!r}")
    if any("\ud800" <= character <= "\udfff" for character in str(value)):
        raise InputError(f"{where}: {name}: expected an id, found half a character in {value!r}")
    return str(value)


def text_of(where: str, row: dict[str, Any], name: str) -> str:
    """A text of a row, empty where it has none of this name; InputError where it is no text, or half a character."""
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{where}: {name}: expected text, found {value!r}")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(f"{where}: {name}: expected text, found half a character in {value[:40]!r}")
    return value

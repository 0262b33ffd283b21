"""The text of a document: its non-empty fields in order, so that truncation cuts the first field last."""

from collections.abc import Sequence
from pathlib import Path

from ranker.common.errors import InputError
from ranker.common.files import read_json

TITLE = ("title",)  # a document's fields by default


def whole_text(texts: Sequence[str]) -> str:
    """Join a document's non-empty fields into the text to tokenise.

    >>> whole_text(["Masks", " ", "In wards"])
    'Masks In wards'
    """
    return " ".join(text for text in texts if text.strip())


def read_document_fields(contract: Path) -> tuple[str, ...]:
    """The fields in `encoding.json`, by default the title; InputError if they are not a list of names."""
    fields = read_json(contract).get("document_fields", list(TITLE))
    if not isinstance(fields, list) or not fields or not all(isinstance(name, str) for name in fields):
        raise InputError(f"{contract}: document_fields: expected names, found {fields!r}")
    return tuple(fields)

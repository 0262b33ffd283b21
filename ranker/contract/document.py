"""What of a document is ranked: its fields that have text, in order, so that the first is cut last."""

from collections.abc import Sequence
from pathlib import Path

from ranker.common.errors import InputError
from ranker.common.files import read_json

TITLE = ("title",)  # a document's fields, where nothing else is said


def whole_text(texts: Sequence[str]) -> str:
    """The text that is tokenised, of a document's fields.

    >>> whole_text(["Masks", " ", "In wards"])
    'Masks In wards'
    """
    return " ".join(text for text in texts if text.strip())


def read_document_fields(contract: Path) -> tuple[str, ...]:
    """The fields that `encoding.json` states, the title where it states none; InputError where they are no names."""
    fields = read_json(contract).get("document_fields", list(TITLE))
    if not isinstance(fields, list) or not fields or not all(isinstance(name, str) for name in fields):
        raise InputError(f"{contract}: document_fields: expected names, found {fields!r}")
    return tuple(fields)

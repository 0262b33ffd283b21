"""The text of a document: its non-empty fields in order, so that truncation cuts the first field last.

And the key by which manifests name a query.
"""

import hashlib
import re
import unicodedata
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


def query_key(query: str) -> str:
    """16 hex digits that manifests name a query by: equal for equal words, whatever their case, spaces and punctuation.

    Of 10^6 queries, two have one key with a chance of 3 in 10^8.

    >>> query_key("Masks  in wards?") == query_key("masks in wards"), query_key("masks")
    (True, '07368dcb59c33d88')
    """
    text = unicodedata.normalize("NFKC", query).casefold()
    words = " ".join(re.findall(r"\w+", text)) or text.strip()
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_document_fields(contract: Path) -> tuple[str, ...]:
    """The fields in `encoding.json`, by default the title; InputError if they are not a list of names."""
    fields = read_json(contract).get("document_fields", list(TITLE))
    if not isinstance(fields, list) or not fields or not all(isinstance(name, str) for name in fields):
        raise InputError(f"{contract}: document_fields: expected names, found {fields!r}")
    return tuple(fields)

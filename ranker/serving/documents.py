"""Read documents to rank or feed, one by one, from a table with an id and text fields."""

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from ranker.common import table
from ranker.common.errors import InputError
from ranker.common.lines import has_surrogate
from ranker.common.table import SYNONYMS, Synonyms
from ranker.contract.document import TITLE
from ranker.contract.words import DROPPED

Document = tuple[str, ...]  # document_id, and the text of each field
SEARCHED = ("L", "Mn", "Mc", "N", "So")  # categories of characters that Vespa indexes: letters, numbers, emoji ...


def read_documents(path: Path, fields: Sequence[str] = TITLE, names: Synonyms = SYNONYMS) -> Iterator[Document]:
    """Yield document_id and `fields` of each document of a table, in order; InputError names the line."""
    for document_id, texts in table.read_documents(path, fields, names):
        yield document_id, *texts


def check_query(text: str) -> None:
    """InputError if a query was not UTF-8, or has no letter, digit or symbol to search for."""
    if has_surrogate(text):
        raise InputError(f"query: expected UTF-8, found {text!r}")
    if not any(unicodedata.category(character).startswith(SEARCHED) for character in text.translate(DROPPED)):
        raise InputError(f"query: expected a letter, a digit or a symbol to search for, found {text!r}")

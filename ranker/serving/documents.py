"""Read documents to rank or feed, one by one, from a table with an id and text fields."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ranker.common import table
from ranker.common.errors import InputError
from ranker.common.lines import has_surrogate
from ranker.common.table import SYNONYMS, Synonyms
from ranker.contract.document import TITLE

Document = tuple[str, ...]  # document_id, and the text of each field


def read_documents(path: Path, fields: Sequence[str] = TITLE, names: Synonyms = SYNONYMS) -> Iterator[Document]:
    """Yield document_id and `fields` of each document of a table, in order; InputError names the line."""
    for document_id, texts in table.read_documents(path, fields, names):
        yield document_id, *texts


def check_query(text: str) -> None:
    """InputError if a query from the command line was not UTF-8."""
    if has_surrogate(text):
        raise InputError(f"query: expected UTF-8, found {text!r}")

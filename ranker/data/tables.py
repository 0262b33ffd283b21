"""Tables: one of judgements (query, document id, grade) and one of documents (id, texts), in any usual shape."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from ranker.common.errors import InputError
from ranker.common.spreadsheet import folded, query_id_of, same_text
from ranker.common.table import Row, filled, needed, read_documents, read_table, synonyms
from ranker.data.collection import Collection, judgements_table, parse_grade, queries_table

Judged = tuple[str, str, int | None]  # query_id, document_id, grade


def read_tables(judgements: Path, documents: Path, fields: Sequence[str], named: Mapping[str, str]) -> Collection:
    """The collection of two tables; `named` has a user's names of columns.

    A query without an id gets one from its text. InputError names the row of a wrong id, text or grade.
    """
    # A misspelt name must be refused: a synonym beside it may hold something else. The documents' ids may have
    # another name than the judgements', and a wrong column there is found by ids that do not match.
    names = synonyms(named, ("query", "query_id", "grade"))
    ids = [["query_id"]] if named.get("query_id") else []
    rows = list(read_table(judgements, [*needed("query", "document_id", "grade"), *ids], ["query_id"], names))
    if not rows:
        raise InputError(f"{judgements}: expected judgements, found none")
    texts = query_texts(rows)
    queries = ((str(judgements), query_id, text) for query_id, text in texts.items())
    return Collection(
        queries=queries_table(judgements, queries),
        judgements=judgements_table(list(_judged(rows, texts))),
        documents=partial(read_documents, documents, fields, synonyms({"document_id": named.get("document_id", "")})),
    )


def query_texts(rows: Sequence[Row]) -> dict[str, str]:
    """The first text of each query id; InputError names a row whose query has another text, or none anywhere."""
    texts: dict[str, str] = {}
    for where, cells in rows:
        query_id, text = cells.get("query_id", ""), cells["query"]
        if query_id.strip() and text.strip() and not same_text(text, texts.setdefault(query_id, text)):
            raise InputError(f"{where}: query_id {query_id}: expected the query {texts[query_id]!r}, found {text!r}")
    known = {folded(text) for text in texts.values()}
    for where, cells in rows:
        query_id, text = cells.get("query_id", ""), cells["query"]
        if not text.strip() and query_id not in texts:
            raise InputError(f"{where}: expected a query in text, found {text!r}")
        if not query_id.strip() and folded(text) not in known:
            texts.setdefault(query_id_of(text), text)
    return texts


def _judged(rows: Sequence[Row], texts: Mapping[str, str]) -> Iterator[Judged]:
    by_text = {folded(text): query_id for query_id, text in reversed(list(texts.items()))}
    for where, cells in rows:
        query_id = cells.get("query_id", "")
        found = query_id if query_id.strip() else by_text[folded(cells["query"])]
        yield found, filled(where, cells, "document_id"), parse_grade(where, cells["grade"])

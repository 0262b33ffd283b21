"""Merge tables of grades into the file of a user's own judgements: new and revised grades, new queries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ranker.common.errors import InputError
from ranker.common.spreadsheet import on_one_line, query_id_of, same_text, shown
from ranker.common.table import SYNONYMS, Row, Synonyms, needed, read_table
from ranker.data.collection import Collection
from ranker.data.judged import (
    Known,
    OwnJudgement,
    Pair,
    grades_of,
    known,
    own_grade,
    place,
    read_judgements,
    with_judgements,
)

Rows = list[tuple[str, dict[str, str], int]]  # place (file and line), cells, grade


@dataclass(frozen=True)
class Merged:
    """Changes of a table to the file of judgements."""

    rows: list[OwnJudgement]  # of the changed file
    new: list[OwnJudgement]
    of_new_queries: int  # among `new`
    revised: list[OwnJudgement]
    known: int
    without_grade: int


def merge(
    table: Path,
    file: Path,
    collection: Collection,
    fields: Sequence[str],
    scale: Sequence[int] = (),
    names: Synonyms = SYNONYMS,
) -> Merged:
    """Merge the grades of `table` into the rows of `file`, the user's own judgements; writes neither.

    InputError names the wrong row: a grade that does not parse or is not in `scale` (empty: every grade), an unknown
    document or query, a text that does not belong to the id beside it, a pair with two grades.
    """
    existing = read_judgements(file) if file.is_file() else []
    own, left = place(existing, known(collection, {row.document_id for row in existing}), fields)
    current = with_judgements(collection, file, fields) if existing else collection
    columns = [["query_id", "query"], *needed("document_id", "grade")]
    filled, without_grade = _filled(read_table(table, columns, ["title", *fields], names, spreadsheet=True), scale)
    incoming, of_new_queries = _incoming(filled, current, fields)
    before = grades_of(current.judgements)
    new = [row for pair, row in incoming.items() if pair not in before]
    revised = [
        replace(row, earlier=_earlier(own.get(pair), before[pair]))
        for pair, row in incoming.items()
        if before.get(pair, {row.grade}) != {row.grade}
    ]
    changed = {row.pair for row in (*new, *revised)}
    kept = [row for pair, row in own.items() if pair not in changed]
    return Merged(
        rows=kept + [row for row, why in left if why != "duplicate_pair"] + new + revised,
        new=new,
        of_new_queries=of_new_queries,
        revised=revised,
        known=len(incoming) - len(changed),
        without_grade=without_grade,
    )


def _earlier(row: OwnJudgement | None, grades: set[int]) -> str:
    """Replaced grades of a pair, oldest first."""
    return " ".join([*([row.earlier] if row and row.earlier else []), *map(str, sorted(grades))])


def _filled(table: Iterable[Row], scale: Sequence[int]) -> tuple[Rows, int]:
    """Rows of a table with a grade, and the number without."""
    rows: Rows = []
    without = 0
    for where, cells in table:
        grade = own_grade(where, cells["grade"])
        if grade is None:
            without += 1
            continue
        if scale and grade not in scale:
            expected = ", ".join(map(str, scale))
            raise InputError(f"{where}: expected a grade of join.grades ({expected}), found {grade}")
        rows.append((where, cells, grade))
    return rows, without


def _incoming(rows: Rows, collection: Collection, fields: Sequence[str]) -> tuple[dict[Pair, OwnJudgement], int]:
    """Rows as judgements of the collection, each pair once, and the number with a new query."""
    here = known(collection, {cells["document_id"] for _, cells, _ in rows})
    found: dict[Pair, OwnJudgement] = {}
    queries = dict(here.queries)
    for where, cells, grade in rows:
        query_id, query = _query(where, cells, here)
        if not same_text(query, queries.setdefault(query_id, query)):
            raise InputError(f"{where}: query {query_id}: expected {queries[query_id]!r}, found {query!r}")
        document_id = cells["document_id"]
        title = _checked_title(where, cells, here, collection, fields)
        row = OwnJudgement(where, query_id, on_one_line(query), document_id, title, grade)
        first = found.setdefault(row.pair, row)
        if first.grade != grade:
            raise InputError(
                f"{where}: query {query_id}, document {document_id}: expected one grade, found {first.grade} "
                f"({first.where}) and {grade}"
            )
    return found, sum(query_id not in here.queries for query_id, _ in found)


def _query(where: str, cells: dict[str, str], here: Known) -> tuple[str, str]:
    """Id and text of a row's query, the collection's or a new one."""
    query_id, query = cells.get("query_id", ""), on_one_line(cells.get("query", ""))
    if not query_id.strip() and not query:
        raise InputError(f"{where}: expected the id or the text of a query, found neither")
    found = here.query_id(query_id if query_id.strip() else query_id_of(query), query)
    if found is None:
        expected = here.queries[query_id]
        raise InputError(f"{where}: query {query_id}: expected {expected!r}, the text of this id, found {query!r}")
    if found not in here.queries and not query:
        raise InputError(f"{where}: expected the id of a query, or a text beside it, found {query_id!r}")
    return found, here.queries.get(found, query)


def _checked_title(
    where: str, cells: dict[str, str], here: Known, collection: Collection, fields: Sequence[str]
) -> str:
    """The title of a row's document, or an empty string; InputError if a text of the row is not the document's."""
    document_id = cells["document_id"]
    if document_id not in here.documents:
        title = cells.get("title", "") if "title" in fields else ""
        raise InputError(
            f"{where}: expected the id of a document, {_id_of_title(title, collection, fields)}found {document_id!r}"
        )
    texts = dict(zip(fields, map(shown, here.documents[document_id]), strict=True))
    for name, text in texts.items():
        cell = shown(cells.get(name, ""))
        if cell and not same_text(cell, text):
            raise InputError(f"{where}: document {document_id}: expected the {name} {text!r}, found {cell!r}")
    return texts.get("title", "")


def _id_of_title(title: str, collection: Collection, fields: Sequence[str]) -> str:
    """Part of a message with the id of the document that has this title, because spreadsheets change ids."""
    if not title.strip():
        return ""
    place = fields.index("title")
    found = (name for name, texts in collection.documents() if same_text(shown(texts[place]), shown(title)))
    document_id = next(found, None)
    return "" if document_id is None else f"such as {document_id!r}, which has this title, "

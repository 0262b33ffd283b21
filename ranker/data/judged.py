"""The file of a user's own judgements: reading, writing, joining to a collection. No stage writes it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ranker.common.errors import InputError
from ranker.common.files import atomic
from ranker.common.spreadsheet import folded, same_text, shown, write_table
from ranker.common.table import filled, needed, read_table
from ranker.data.collection import Collection, judgements_table, parse_grade
from ranker.project.tables import IDS

COLUMNS = ("query_id", "query", "document_id", "title", "grade", "earlier")
Pair = tuple[str, str]  # query_id, document_id


@dataclass(frozen=True)
class OwnJudgement:
    """A row of the file. `query` and `title` are the judged texts, or empty; `earlier` lists replaced grades."""

    where: str
    query_id: str
    query: str
    document_id: str
    title: str
    grade: int
    earlier: str = ""

    @property
    def pair(self) -> Pair:
        return self.query_id, self.document_id


@dataclass(frozen=True)
class Known:
    """Texts of a collection's queries and of some documents, the first non-empty one of each id."""

    queries: dict[str, str]
    by_text: dict[str, str]  # folded text -> id of the first query with it
    documents: dict[str, list[str]]

    def query_id(self, query_id: str, query: str) -> str | None:
        """The collection's id of a query, by id or else by text; None if the id has another text."""
        if query_id in self.queries:
            return query_id if not query or same_text(query, self.queries[query_id]) else None
        return self.by_text.get(folded(query), query_id)


def read_judgements(path: Path) -> list[OwnJudgement]:
    """Rows of the file with a grade; InputError names a row without an id or with a wrong grade."""
    if not path.is_file():
        raise InputError(f"{path}: expected a CSV file with the columns {', '.join(COLUMNS)}, found none")
    rows = []
    for where, cells in read_table(path, needed(*IDS, "grade"), ["query", "title", "earlier"], spreadsheet=True):
        grade = own_grade(where, cells["grade"])
        if grade is None:
            continue
        ids = {name: filled(where, cells, name) for name in IDS}
        texts = {name: cells.get(name, "") for name in ("query", "title", "earlier")}
        rows.append(OwnJudgement(where, grade=grade, **ids, **texts))
    return rows


def own_grade(where: str, cell: str) -> int | None:
    """Parse a grade of 0 or more; None if blank."""
    grade = parse_grade(where, cell)
    if grade is not None and grade < 0:
        raise InputError(f"{where}: expected a grade of 0 or more, found {grade}")
    return grade


def write_judgements(path: Path, rows: Iterable[OwnJudgement]) -> None:
    """Write the file atomically, a line a pair, in the order of query and document ids."""
    ordered = sorted(rows, key=lambda row: (*row.pair, row.query, row.title))
    with atomic(path) as partial:
        write_table(partial, COLUMNS, ([getattr(row, name) for name in COLUMNS] for row in ordered))


def known(collection: Collection, documents: set[str]) -> Known:
    """Look up the texts of all queries and of `documents`, a set of ids."""
    queries = dict(zip(collection.queries["query_id"], collection.queries["query"], strict=True))
    by_text = {folded(text): query_id for query_id, text in reversed(queries.items())}
    texts: dict[str, list[str]] = {}
    for document_id, fields in collection.documents() if documents else ():
        if document_id in documents and not any(text.strip() for text in texts.get(document_id, [])):
            texts[document_id] = fields
    return Known(queries, by_text, texts)


def place(
    rows: list[OwnJudgement], here: Known, fields: Sequence[str]
) -> tuple[dict[Pair, OwnJudgement], list[tuple[OwnJudgement, str]]]:
    """Split rows into the collection's judgements, by its ids, and the others with a finding as the reason.

    InputError names a pair with two grades.
    """
    own: dict[Pair, OwnJudgement] = {}
    left: list[tuple[OwnJudgement, str]] = []
    for row in rows:
        query_id = here.query_id(row.query_id, row.query)
        if why := _why_left(row, query_id, here, fields):
            left.append((row, why))
            continue
        pair = str(query_id), row.document_id
        first = own.setdefault(pair, row)
        if first.grade != row.grade:
            raise InputError(
                f"{row.where}: query {pair[0]}, document {pair[1]}: expected one grade, found {first.grade} "
                f"({first.where}) and {row.grade}"
            )
        if first is not row:
            left.append((row, "duplicate_pair"))
    return own, left


def _why_left(row: OwnJudgement, query_id: str | None, here: Known, fields: Sequence[str]) -> str:
    """The reason that a row does not judge this collection, or an empty string."""
    if row.document_id not in here.documents or (row.query_id not in here.queries and not row.query.strip()):
        return "judged_in_another_collection"
    texts = dict(zip(fields, here.documents[row.document_id], strict=True))
    if query_id is None or (row.title and not same_text(row.title, shown(texts.get("title", row.title)))):
        return "judged_with_another_text"
    return ""


def with_judgements(collection: Collection, path: Path, fields: Sequence[str]) -> Collection:
    """Add a user's own judgements and queries to a collection; they replace its judgements of the same pairs.

    The findings list pairs with a revised grade, and rows of the file that belong to another collection.
    """
    rows = read_judgements(path)
    if not rows:
        return collection
    here = known(collection, {row.document_id for row in rows})
    own, left = place(rows, here, fields)
    new = {query_id: row.query for (query_id, _), row in own.items() if query_id not in here.queries}
    added = pd.DataFrame({"query_id": list(new), "query": list(new.values())}, dtype=str)
    table = judgements_table([(*pair, row.grade) for pair, row in own.items()])
    older = collection.judgements
    is_older = pd.MultiIndex.from_frame(older[IDS]).isin(list(own))
    before = grades_of(older[is_older])
    revised = [pair for pair, row in own.items() if row.earlier or before.get(pair, {row.grade}) != {row.grade}]
    findings = [(*pair, "revised_grade", True) for pair in revised] + [(*row.pair, why, False) for row, why in left]
    return replace(
        collection,
        queries=pd.concat([collection.queries, added], ignore_index=True),
        judgements=pd.concat([older[~is_older], table], ignore_index=True),
        listed=_listed(collection.listed, table),
        own=len(own),
        findings=pd.DataFrame(findings, columns=[*IDS, "finding", "kept"]),
    )


def grades_of(judgements: pd.DataFrame) -> dict[Pair, set[int]]:
    """The grades of each graded pair."""
    graded = judgements.dropna()
    grades: dict[Pair, set[int]] = {}
    for query_id, document_id, grade in graded[[*IDS, "grade"]].itertuples(index=False, name=None):
        grades.setdefault((query_id, document_id), set()).add(int(grade))
    return grades


def _listed(listed: pd.DataFrame | None, own: pd.DataFrame) -> pd.DataFrame | None:
    """The tutorial's second file with the user's own grades of these pairs."""
    if listed is None:
        return None
    kept = listed[~pd.MultiIndex.from_frame(listed[IDS]).isin(pd.MultiIndex.from_frame(own[IDS]))]
    return pd.concat([kept, own[[*IDS, "grade"]].rename(columns={"grade": "labelled_grade"})], ignore_index=True)

"""Read and check the tutorial's two files: labelled_data_all.json and training_all_jugdments_data.csv."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ranker.common.csv_rows import csv_rows
from ranker.common.errors import InputError, first_mistake
from ranker.data.collection import MAX_GRADE, Collection, Document, judgements_table, parse_grade
from ranker.project.tables import IDS

LABELLED_DATA_FILE = "labelled_data_all.json"
JUDGEMENTS_FILE = "training_all_jugdments_data.csv"
COLUMNS = ("document_id", "query_id", "label", "title-full")


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True))
class Judgement:
    """One entry of `relevant_docs`, with any score; a slotted dataclass takes a tenth of a BaseModel's memory."""

    id: str | int
    score: Annotated[int, Field(ge=-MAX_GRADE, le=MAX_GRADE)]


class LabelledQuery(BaseModel):
    """One entry of labelled_data_all.json."""

    model_config = ConfigDict(strict=True, frozen=True)
    query_id: str | int
    query: str
    relevant_docs: list[Judgement]


def read_labelled_data(path: Path) -> list[LabelledQuery]:
    """Read labelled_data_all.json; InputError names a wrong entry."""
    try:
        queries = TypeAdapter(list[LabelledQuery]).validate_json(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        raise InputError(f"{path}: {first_mistake(error)}") from error
    seen: dict[str, str] = {}
    for entry in queries:
        query_id = str(entry.query_id)
        if query_id in seen:
            raise InputError(
                f"{path}: query_id {query_id}: expected once, found with {seen[query_id]!r} and {entry.query!r}"
            )
        if not entry.query.strip():
            raise InputError(f"{path}: query_id {query_id}: expected a query in text, found {entry.query!r}")
        seen[query_id] = entry.query
    return queries


def read_tutorial(folder: Path, fields: Sequence[str]) -> Collection:
    """The collection of the two files: query texts from the first, all else from the second.

    Cells are read as text, so ids such as 1e10 or 007 stay unchanged. A document is its title.
    """
    if list(fields) != ["title"]:
        raise InputError(f"join.document_fields: expected [title] of format tutorial, found {list(fields)}")
    labelled = read_labelled_data(folder / LABELLED_DATA_FILE)
    listed = [(str(query.query_id), str(one.id), one.score) for query in labelled for one in query.relevant_docs]
    path = folder / JUDGEMENTS_FILE
    return Collection(
        queries=pd.DataFrame(
            {"query_id": [str(query.query_id) for query in labelled], "query": [query.query for query in labelled]}
        ),
        judgements=judgements_table(list(_judgements(path))),
        documents=partial(_documents, path),
        listed=pd.DataFrame(listed, columns=[*IDS, "labelled_grade"]),
    )


def _judgements(path: Path) -> Iterator[tuple[str, str, int | None]]:
    grades: dict[str, int | None] = {}  # by label, of which there are few
    for line, row in _rows(path):
        document_id, query_id, label, _ = row.values()
        for name, cell in (("document_id", document_id), ("query_id", query_id)):
            if not cell.strip():
                raise InputError(f"{path}: line {line}: expected a {name}, found {cell!r}")
        if label not in grades:
            where = f"{path}: line {line} (query_id {query_id!r}, document_id {document_id!r})"
            grades[label] = parse_grade(where, label)
        yield query_id, document_id, grades[label]


def _documents(path: Path) -> Iterator[Document]:
    for _, row in _rows(path):
        yield row["document_id"], [row["title-full"]]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open("rb") as file:
        yield from csv_rows(str(path), file, lambda _: COLUMNS)

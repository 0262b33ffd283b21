"""The tutorial's two files, read and checked: labelled_data_all.json and training_all_jugdments_data.csv."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ranker.common.csv_rows import csv_rows
from ranker.common.errors import InputError, first_mistake

LABELLED_DATA_FILE = "labelled_data_all.json"
JUDGEMENTS_FILE = "training_all_jugdments_data.csv"
COLUMNS = ("document_id", "query_id", "label", "title-full")
MAX_GRADE = 16  # TREC's scales end at 4; trec_eval counts levels up to the gain, which is 2^grade - 1 too


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True))
class Judgement:
    """One entry of `relevant_docs`, whatever its score says; there are many, and this is a tenth of a BaseModel."""

    id: str | int
    score: Annotated[int, Field(ge=-MAX_GRADE, le=MAX_GRADE)]


class LabelledQuery(BaseModel):
    """One entry of labelled_data_all.json."""

    model_config = ConfigDict(strict=True, frozen=True)
    query_id: str | int
    query: str
    relevant_docs: list[Judgement]


def read_labelled_data(path: Path) -> list[LabelledQuery]:
    """Read labelled_data_all.json; InputError names the entry that is not as it should be."""
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


def read_judgements(path: Path) -> pd.DataFrame:
    """Read training_all_jugdments_data.csv, every cell as text: ids such as 1e10 or 007 stay what they are.

    Returns columns document_id, query_id, title (str) and grade (Int32, missing where the label is empty), in the
    file's order. InputError names the column or the line.
    """
    rows = []
    grades: dict[str, int | None] = {}  # by label: there are few
    for line, (document_id, query_id, label, title) in _cells(path):
        for name, cell in (("document_id", document_id), ("query_id", query_id)):
            if not cell or cell.isspace():
                raise InputError(f"{path}: line {line}: expected a {name}, found {cell!r}")
        if label not in grades:
            where = f"{path}: line {line} (query_id {query_id!r}, document_id {document_id!r})"
            grades[label] = _grade(where, label)
        rows.append((document_id, query_id, grades[label], title))
    frame = pd.DataFrame(rows, columns=["document_id", "query_id", "grade", "title"], dtype=object)
    return frame.astype({"document_id": str, "query_id": str, "grade": "Int32", "title": str})


def _grade(where: str, label: str) -> int | None:
    text = label.strip()
    if not text:
        return None
    if not re.fullmatch(r"-?[0-9]+(\.0+)?", text):  # pandas writes 1.0 where a column has gaps
        raise InputError(f"{where}: expected a whole number as label, found {label[:80]!r}")
    grade = float(text)  # int() refuses more than 4300 digits
    if abs(grade) > MAX_GRADE:
        raise InputError(f"{where}: expected a label of at most {MAX_GRADE}, found {label[:80]!r}")
    return int(grade)


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number of its first line and the cells of COLUMNS, for each row of a CSV file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv_rows(str(path), file, partial(_places, path))
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error


def _not_utf8(path: Path) -> InputError:
    """Where the first byte is that is not UTF-8: read in parts, the file tells its place in a part alone."""
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return InputError(f"{path}: line {line}: expected UTF-8, found byte 0x{content[error.start]:02x}")
    return InputError(f"{path}: expected UTF-8")


def _places(path: Path, header: list[str]) -> list[int]:
    for column in COLUMNS:
        if header.count(column) != 1:
            raise InputError(
                f"{path}: expected column {column} once, found it {header.count(column)} times among: "
                f"{', '.join(header) or 'nothing'}"
            )
    return [header.index(column) for column in COLUMNS]

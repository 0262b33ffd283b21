"""A source in any format: queries, judgements, and documents that are read one by one."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ranker.common.errors import InputError
from ranker.project.tables import IDS

MAX_GRADE = 16  # TREC's scales end at 4
Document = tuple[str, list[str]]  # document_id, and the texts of join.document_fields


@dataclass(frozen=True)
class Collection:
    """All that a source has, before stage join drops any of it."""

    queries: pd.DataFrame  # query_id, query; ids are unique
    judgements: pd.DataFrame  # as `judgements_table` makes it
    documents: Callable[[], Iterator[Document]]  # in the source's order, ids and texts unchanged
    listed: pd.DataFrame | None = None  # query_id, document_id, labelled_grade of a second file
    own: int = 0  # number of judgements that are a user's own
    findings: pd.DataFrame | None = None  # query_id, document_id, finding, kept: of a user's own


@dataclass
class Census:
    """Counts of the documents read, and ids of those that repeat or have no text, which are few."""

    texts: dict[str, int] = field(default_factory=dict)  # repeated id -> hash of its first non-empty text
    empty: set[str] = field(default_factory=set)  # ids without a text
    other_text: set[str] = field(default_factory=set)  # ids that repeat with another text
    in_field: list[int] = field(default_factory=list)  # number of documents with text, by field
    read: int = 0
    kept: int = 0  # distinct ids with a text

    def distinct(self, documents: Callable[[], Iterator[Document]]) -> Iterator[Document]:
        """Yield the first document with a text for each id. Two passes over the source keep few ids in memory."""
        again = _hashes_of_repeated(document_id for document_id, _ in documents())
        for document_id, texts in documents():
            self.read += 1
            if not any(text.strip() for text in texts):
                self.empty.add(document_id)
                continue
            if hash(document_id) in again and self._was_seen(document_id, texts):
                continue
            self.kept += 1
            self.in_field = self.in_field or [0] * len(texts)
            for place, text in enumerate(texts):
                self.in_field[place] += bool(text.strip())
            yield document_id, texts
        self.empty -= self.texts.keys()

    def _was_seen(self, document_id: str, texts: list[str]) -> bool:
        found = hash(tuple(texts))
        if document_id not in self.texts:
            self.texts[document_id] = found
            return False
        if self.texts[document_id] != found:
            self.other_text.add(document_id)
        return True

    def check_fields(self, names: Sequence[str]) -> None:
        """InputError if a field of `names` is empty in all documents: it may be misspelt."""
        for name, count in zip(names, self.in_field, strict=False):
            if not count:
                raise InputError(f"join.document_fields: expected documents with a {name}, found none in {self.read}")


def _hashes_of_repeated(ids: Iterable[str]) -> set[int]:
    """Hashes of repeated ids, and of ids whose hashes collide: 8 bytes an id in memory."""
    hashes = np.fromiter(map(hash, ids), np.int64)
    hashes.sort()
    return set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())


def judgements_table(
    rows: list[tuple[str, str, int | None]], qrels_split: str = "", subtopics: Sequence[str] = ()
) -> pd.DataFrame:
    """Table of the judgements read.

    query_id, document_id, qrels_split and subtopic are str, the last two empty in formats without them; grade is Int32,
    missing if it was blank.
    """
    frame = pd.DataFrame(rows, columns=[*IDS, "grade"], dtype=object)
    frame = frame.assign(qrels_split=qrels_split, subtopic=list(subtopics) if subtopics else "")
    return frame.astype(dict.fromkeys(frame, str) | {"grade": "Int32"})


def queries_table(path: Path, queries: Iterator[tuple[str, str, str]]) -> pd.DataFrame:
    """Table of queries from (where, id, text); InputError names a blank or repeated one."""
    seen: dict[str, str] = {}
    for where, query_id, text in queries:
        if query_id in seen:
            raise InputError(f"{where}: expected query id {query_id} once, found with {seen[query_id]!r} and {text!r}")
        if not text.strip():
            raise InputError(f"{where}: expected a query in text, found {text!r}")
        seen[query_id] = text
    if not seen:
        raise InputError(f"{path}: expected queries, found none")
    return pd.DataFrame({"query_id": list(seen), "query": list(seen.values())}, dtype=str)


def parse_grade(where: str, text: str) -> int | None:
    """Parse a grade, None if blank; InputError at `where` if it is not a whole number of at most MAX_GRADE."""
    text = text.strip()
    if not text:
        return None
    if not re.fullmatch(r"-?[0-9]+(\.0+)?", text):  # pandas writes 1.0 if a column has gaps
        raise InputError(f"{where}: expected a whole number as grade, found {text[:80]!r}")
    grade = float(text)  # int() refuses more than 4300 digits
    if abs(grade) > MAX_GRADE:
        raise InputError(f"{where}: expected a grade of at most {MAX_GRADE}, found {text[:80]!r}")
    return int(grade)

"""What a source holds, whatever its format: queries, judgements, and documents that are read one by one."""

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
    """As it was read: nothing is decided, and nothing dropped."""

    queries: pd.DataFrame  # query_id, query: each id once
    judgements: pd.DataFrame  # as `judgements_table` makes it
    documents: Callable[[], Iterator[Document]]  # in the source's order, ids and texts as they are
    listed: pd.DataFrame | None = None  # query_id, document_id, labelled_grade: what a second file says
    own: int = 0  # how many of the judgements are a user's own
    findings: pd.DataFrame | None = None  # query_id, document_id, finding, kept: of these


@dataclass
class Census:
    """What was seen of documents. Ids are kept of those alone that come again or have no text, which are few."""

    texts: dict[str, int] = field(default_factory=dict)  # of each id that comes again and has a text, a hash of it
    empty: set[str] = field(default_factory=set)  # ids without a text
    other_text: set[str] = field(default_factory=set)  # ids that came again with another text
    in_field: list[int] = field(default_factory=list)  # how many documents have text in each field
    read: int = 0
    kept: int = 0  # that have a text, each id once

    def distinct(self, documents: Callable[[], Iterator[Document]]) -> Iterator[Document]:
        """Each document that has a text, once: the first of its id. They are read twice, so that few ids are kept."""
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
        """InputError where no document has text in one of the fields `names`: it may be misspelt."""
        for name, count in zip(names, self.in_field, strict=False):
            if not count:
                raise InputError(f"join.document_fields: expected documents with a {name}, found none in {self.read}")


def _hashes_of_repeated(ids: Iterable[str]) -> set[int]:
    """Hashes of the ids that come more than once, and of those that share theirs with another: 8 bytes an id."""
    hashes = np.fromiter(map(hash, ids), np.int64)
    hashes.sort()
    return set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())


def judgements_table(
    rows: list[tuple[str, str, int | None]], qrels_split: str = "", subtopics: Sequence[str] = ()
) -> pd.DataFrame:
    """Judgements as they were read, with the split of the qrels and the subtopic, each empty in formats without it.

    query_id, document_id, qrels_split and subtopic are str; grade is Int32, missing where none was given.
    """
    frame = pd.DataFrame(rows, columns=[*IDS, "grade"], dtype=object)
    frame = frame.assign(qrels_split=qrels_split, subtopic=list(subtopics) if subtopics else "")
    return frame.astype(dict.fromkeys(frame, str) | {"grade": "Int32"})


def queries_table(path: Path, queries: Iterator[tuple[str, str, str]]) -> pd.DataFrame:
    """Queries as `Collection` has them, of (where, id, text); InputError names one that is blank or there twice."""
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
    """A grade as it is written, None where it is blank; InputError says `where` one is no whole number."""
    text = text.strip()
    if not text:
        return None
    if not re.fullmatch(r"-?[0-9]+(\.0+)?", text):  # pandas writes 1.0 where a column has gaps
        raise InputError(f"{where}: expected a whole number as grade, found {text[:80]!r}")
    grade = float(text)  # int() refuses more than 4300 digits
    if abs(grade) > MAX_GRADE:
        raise InputError(f"{where}: expected a grade of at most {MAX_GRADE}, found {text[:80]!r}")
    return int(grade)

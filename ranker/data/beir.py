"""A BEIR folder: corpus.jsonl, queries.jsonl and qrels/*.tsv."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from ranker.common.errors import InputError
from ranker.common.lines import identifier, json_objects, text_lines, text_of
from ranker.data.collection import Collection, Document, judgements_table, parse_grade, queries_table

CORPUS = "corpus.jsonl"
QUERIES = "queries.jsonl"
QRELS = "qrels/*.tsv"
HEADER = ["query-id", "corpus-id", "score"]
SUBTOPIC = "subtopic"  # a fourth column, in the qrels that stage fetch wrote of a diversity track


def read_beir(folder: Path, fields: Sequence[str], splits: Sequence[str]) -> Collection:
    """The collection in a folder, with the qrels of `splits`, by default of all; each has its split's name."""
    files = sorted(file for file in folder.glob(QRELS) if not file.name.startswith("."))
    if missing := set(splits) - {file.stem for file in files}:
        found = ", ".join(file.stem for file in files) or "none"
        raise InputError(f"{folder}/qrels: expected the split {min(missing)}, found {found}")
    tables = [_judgements(file) for file in files if not splits or file.stem in splits]
    return Collection(
        queries=queries_table(folder / QUERIES, _queries(folder / QUERIES)),
        judgements=pd.concat(tables, ignore_index=True),
        documents=partial(_documents, folder / CORPUS, fields),
    )


def _queries(path: Path) -> Iterator[tuple[str, str, str]]:
    for where, row in json_objects(path):
        yield where, identifier(where, row, ("_id",)), text_of(where, row, "text")


def _documents(path: Path, fields: Sequence[str]) -> Iterator[Document]:
    for where, row in json_objects(path):
        yield identifier(where, row, ("_id",)), [text_of(where, row, name) for name in fields]


def _judgements(path: Path) -> pd.DataFrame:
    lines = text_lines(path)
    _, first = next(lines, (1, ""))
    header = first.split("\t")
    if header not in (HEADER, [*HEADER, SUBTOPIC]):
        raise InputError(f"{path}: line 1: expected the header {' '.join(HEADER)}, found {first[:80]!r}")
    rows: list[tuple[str, str, int | None]] = []
    subtopics: list[str] = []
    for number, line in lines:
        cells = line.split("\t")
        where = f"{path}: line {number}"
        if len(cells) != len(header):
            raise InputError(f"{where}: expected {len(header)} cells between tabs, found {len(cells)}")
        rows.append((cells[0], cells[1], parse_grade(where, cells[2])))
        subtopics += cells[len(HEADER) :]
    return judgements_table(rows, path.stem, subtopics)

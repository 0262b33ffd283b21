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


def read_beir(folder: Path, fields: Sequence[str], splits: Sequence[str]) -> Collection:
    """The collection in a folder; qrels of `splits`, or of all files, one after the other, with each file's name."""
    files = sorted(folder.glob(QRELS))
    if missing := set(splits) - {file.stem for file in files}:
        found = ", ".join(file.stem for file in files) or "none"
        raise InputError(f"{folder}/qrels: expected the split {min(missing)}, found {found}")
    tables = [judgements_table(list(_qrels(file)), file.stem) for file in files if not splits or file.stem in splits]
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


def _qrels(path: Path) -> Iterator[tuple[str, str, int | None]]:
    lines = text_lines(path)
    _, header = next(lines, (1, ""))
    if header.split("\t") != HEADER:
        raise InputError(f"{path}: line 1: expected the header {' '.join(HEADER)}, found {header[:80]!r}")
    for number, line in lines:
        cells = line.split("\t")
        where = f"{path}: line {number}"
        if len(cells) != len(HEADER):
            raise InputError(f"{where}: expected {len(HEADER)} cells between tabs, found {len(cells)}")
        yield cells[0], cells[1], parse_grade(where, cells[2])

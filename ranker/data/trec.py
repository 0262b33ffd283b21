"""TREC's shapes: topics in XML, SGML or tabs, qrels of four columns, a corpus as JSON lines, CSV or Parquet."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq

from ranker.common.csv_rows import csv_rows
from ranker.common.errors import InputError
from ranker.common.lines import identifier, json_objects, text_lines, text_of
from ranker.data.collection import Collection, Document, judgements_table, parse_grade, queries_table

IDS = ("document_id", "docno", "doc_id", "_id", "id", "cord_uid")
NUMBER = re.compile(r"(?i)^\s*Number:\s*")
LABEL = re.compile(r"(?i)^\s*(Topic|Title|Description|Narrative|Question):\s*")  # a text may begin with such a word
TAGS = {"title": ("title", "query"), "description": ("desc", "description"), "narrative": ("narr", "narrative")}
ROWS = 8192  # of Parquet, in memory at a time
Cells = list[tuple[str, str]]  # the elements of a topic, by name, in order


def read_trec(topics: Path, qrels: Path, corpus: Path, fields: Sequence[str], query_field: str) -> Collection:
    """The collection of three files; of a topic, the text of `query_field` (title, description, question …)."""
    return Collection(
        queries=queries_table(topics, _topics(topics, query_field)),
        judgements=judgements_table(list(_qrels(qrels))),
        documents=partial(_documents, corpus, fields),
    )


def _topics(path: Path, field: str) -> Iterator[tuple[str, str, str]]:
    text = "\n".join(line for _, line in text_lines(path))
    if not text.lstrip().startswith("<"):
        yield from _tabs(path)
        return
    names = TAGS.get(field, (field,))
    for number, cells in _xml(path, text) if re.search(r"</(topic|title|query)>", text) else _sgml(path, text):
        where = f"{path}: topic {number}"
        by_name = [[content for name, content in cells if name == wanted and content.strip()] for wanted in names]
        found = next(filter(None, by_name), [])
        if not found:
            there = ", ".join(name for name, _ in cells)
            raise InputError(f"{where}: expected {' or '.join(names)}, found {there}")
        if len(found) > 1:
            raise InputError(f"{where}: expected one {field}, found {len(found)}")
        yield where, number, " ".join(found[0].split())


def _tabs(path: Path) -> Iterator[tuple[str, str, str]]:
    for number, line in text_lines(path):
        query_id, _, text = line.partition("\t")
        if line.count("\t") != 1 or not query_id.strip():
            raise InputError(f"{path}: line {number}: expected an id, a tab and a text, found {line[:80]!r}")
        yield f"{path}: line {number}", query_id.strip(), text


def _xml(path: Path, text: str) -> Iterator[tuple[str, Cells]]:
    """Topics of XML, whose number is an attribute or an element; the list of them may lack a root."""
    body = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)
    try:
        root = ElementTree.fromstring(f"<all>{body}</all>")
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: expected topics in XML, found: {error}") from error
    for element in root.iter():
        if element.tag.lower() in ("top", "topic"):
            cells = [(child.tag.lower(), "".join(child.itertext())) for child in element]
            yield _number(path, element.get("number") or "", cells), cells


def _sgml(path: Path, text: str) -> Iterator[tuple[str, Cells]]:
    """Topics of TREC's first years, whose elements end where the next begins, and whose texts begin with a label."""
    blocks = re.findall(r"(?is)<top>(.*?)</top>", text)
    if len(blocks) != (opened := len(re.findall(r"(?i)<top>", text))):
        raise InputError(f"{path}: expected a </top> for each of {opened} <top>, found {len(blocks)} pairs")
    for block in blocks:
        found = re.findall(r"(?is)<(\w+)>(.*?)(?=</?\w+>|\Z)", block)
        cells = [(name.lower(), LABEL.sub("", unescape(content))) for name, content in found]
        yield _number(path, "", cells), cells


def _number(path: Path, attribute: str, cells: Cells) -> str:
    named = dict(reversed(cells))  # the first of a name
    number = NUMBER.sub("", attribute or named.get("num") or named.get("number") or "").strip()
    if not number:
        raise InputError(
            f"{path}: expected a number for each topic, found none beside {', '.join(name for name, _ in cells)}"
        )
    return number


def _qrels(path: Path) -> Iterator[tuple[str, str, int | None]]:
    for number, line in text_lines(path):
        cells = line.split()
        where = f"{path}: line {number}"
        if len(cells) != 4:
            raise InputError(f"{where}: expected four columns (query, iteration, document, grade), found {len(cells)}")
        yield cells[0], cells[2], parse_grade(where, cells[3])


def _documents(path: Path, fields: Sequence[str]) -> Iterator[Document]:
    readers = {".jsonl": json_objects, ".csv": _csv, ".parquet": _parquet}
    if path.suffix not in readers:
        raise InputError(f"{path}: expected .jsonl, .csv or .parquet, found {path.suffix or 'no suffix'}")
    for where, row in readers[path.suffix](path):
        yield identifier(where, row, IDS), [text_of(where, row, name) for name in fields]


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open("rb") as file:
        for line, row in csv_rows(str(path), file, list):
            yield f"{path}: line {line}", row


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    line = 0
    try:
        for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(ROWS):  # it would hold the whole file
            for row in batch.to_pylist():
                line += 1
                yield f"{path}: row {line}", row
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: expected a Parquet file, found: {error}") from error

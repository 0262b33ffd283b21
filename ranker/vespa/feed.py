"""Vespa's feed: a JSON line for each document, with its id and fields; Vespa tokenises them itself."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from ranker.common.errors import InputError
from ranker.common.files import atomic
from ranker.common.table import SYNONYMS, Synonyms, Wanted, filled, needed
from ranker.contract.document import TITLE
from ranker.contract.folder import DEFAULT_APPLICATION
from ranker.contract.words import DROPPED, NOT_TEXT
from ranker.serving.documents import Document, read_documents
from ranker.vespa.names import Names
from ranker.vespa.query import SETTINGS_FILE, read_settings

NAMES = Names("")  # without a version's parts

if TYPE_CHECKING:  # only shards need it
    import pyarrow as pa


@dataclass(frozen=True)
class Fields:
    """Names of a document's fields: in a table, and in Vespa."""

    table: tuple[str, ...] = TITLE
    vespa: Names = NAMES


def feed_fields(application: Path | None) -> Fields:
    """Fields in `application`, by default in stage package's output; if that is missing too, the title."""
    if application is None and not (DEFAULT_APPLICATION / SETTINGS_FILE).is_file():
        return Fields()
    settings = read_settings(application or DEFAULT_APPLICATION)
    return Fields(settings.document_fields, settings.names)


def feed_lines(documents: Iterable[Document], names: Names = NAMES) -> Iterator[str]:
    """Yield a put operation for each document.

    InputError if an id has characters that Vespa refuses; dropping these could make two ids equal.
    """
    kind = names.document_type
    for document_id, *texts in documents:
        if found := NOT_TEXT.intersection(document_id):
            raise InputError(f"document_id {document_id!r}: expected text that Vespa takes, found {min(found)!r}")
        fields = {names.id_field: document_id}
        fields |= {name: text.translate(DROPPED) for name, text in zip(names.text_fields, texts, strict=True)}
        put = {"put": f"id:{kind}:{kind}::{document_id}", "fields": fields}
        yield json.dumps(put, ensure_ascii=False, separators=(",", ":"))


def write_feed(documents: Iterable[Document], path: Path, names: Names = NAMES) -> int:
    """Write a feed to `path` atomically; returns the number of documents.

    If documents share an id, Vespa keeps the last.
    """
    if path.is_dir():
        raise InputError(f"{path}: expected a file to write, found a folder")
    count = 0
    with atomic(path) as partial_file, partial_file.open("w", encoding="utf-8", newline="\n") as file:
        for line in tqdm(feed_lines(documents, names), desc="feed", unit="doc", disable=None):
            file.write(f"{line}\n")
            count += 1
    return count


def feed_table(fields: Fields, table: "pa.Table", path: Path, name: str) -> None:
    """Write the feed of a shard (ranker.serving.shards); InputError gives the shard's `name` and a line, from 1."""
    rows = zip(*(table[column].to_pylist() for column in ("document_id", *fields.table)), strict=True)
    documents = _documents(name, rows)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in feed_lines(documents, fields.vespa))


def _documents(name: str, rows: Iterable[Sequence[str | None]]) -> Iterator[Document]:
    """Rows of a shard as documents, a missing text empty; InputError names a row without an id."""
    for line, (document_id, *texts) in enumerate(rows, start=1):
        cells = {"document_id": document_id or ""}
        yield filled(f"{name}: line {line}", cells, "document_id"), *(text or "" for text in texts)


def feed_corpus(
    source: Path,
    out: Path,
    ray_address: str | None = None,
    fields: Fields | None = None,
    columns: Synonyms = SYNONYMS,
) -> str:
    """Write the feed of a documents file to one .jsonl, or of Parquet to a folder of shards; returns a summary line.

    `fields` are the title alone if not given.
    """
    fields = fields or Fields()
    read, shown = fields.table, " and ".join(fields.vespa.text_fields)
    if out.suffix == ".jsonl" and not ray_address:
        count = write_feed(read_documents(source, read, columns), out, fields.vespa)
        return f"{out}: {count} documents of {shown}"
    if source.suffix != ".parquet" and not source.is_dir():
        if ray_address:
            raise InputError(f"--ray-address: expected Parquet, found {source}")
        raise InputError(f"--out: expected a file .jsonl for {source}, found {out}")
    from ranker.serving import run, shards  # pyarrow takes a while to import

    wanted = Wanted(needed("document_id", *read), [], columns)
    plan = shards.plan(source, wanted, out, ".jsonl")
    names = " ".join((fields.vespa.document_type, fields.vespa.id_field, *fields.vespa.text_fields))
    left = shards.pending(plan, out, {"document_fields": " ".join(read), "names_in_vespa": names})
    run.run(left, wanted, lambda: partial(feed_table, fields), ray_address, "doc")
    return f"{out}: {sum(shard.rows for shard in plan)} documents of {shown}"

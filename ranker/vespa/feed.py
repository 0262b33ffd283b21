"""Vespa's feed: a JSON line for each document, of its id and title; Vespa makes the tokens of each title itself."""

import json
from collections.abc import Iterable, Iterator
from itertools import count as numbers
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from ranker.common.errors import InputError
from ranker.common.files import atomic
from ranker.serving.documents import Document, checked, read_documents
from ranker.vespa.names import DOCUMENT_TYPE

if TYPE_CHECKING:  # for shards alone
    import pyarrow as pa

    from ranker.serving.shards import Make

# What Vespa takes for no text and refuses in a string field: by com.yahoo.text.Text.isTextCharacter.
CONTROLS = [chr(code) for code in range(0x20) if chr(code) not in "\t\n\r"]
_NO_CHARACTERS = [plane << 16 | end for plane in range(17) for end in (0xFFFE, 0xFFFF)]
NOT_TEXT = frozenset([*CONTROLS, *map(chr, [*range(0xD800, 0xE000), *range(0xFDD0, 0xFDE0), *_NO_CHARACTERS])])
# Dropped, not made spaces, as BERT's normaliser drops control characters: the tokens stay those of the whole title.
# Of code points that are no characters, which no text should have, it makes [UNK].
DROPPED = dict.fromkeys(map(ord, NOT_TEXT))


def feed_lines(documents: Iterable[Document]) -> Iterator[str]:
    """A put operation for each document.

    InputError where an id has characters that Vespa does not take: without them, two ids could be one in Vespa.
    """
    for document_id, title in documents:
        if found := NOT_TEXT.intersection(document_id):
            raise InputError(f"document_id {document_id!r}: expected text that Vespa takes, found {min(found)!r}")
        fields = {"document_id": document_id, "title": title.translate(DROPPED)}
        put = {"put": f"id:{DOCUMENT_TYPE}:{DOCUMENT_TYPE}::{document_id}", "fields": fields}
        yield json.dumps(put, ensure_ascii=False, separators=(",", ":"))


def write_feed(documents: Iterable[Document], path: Path) -> int:
    """Write a feed to `path`, in place whole or not at all; returns how many documents it has.

    Of documents with one id, Vespa keeps the last.
    """
    if path.is_dir():
        raise InputError(f"{path}: expected a file to write, found a folder")
    count = 0
    with atomic(path) as partial_file, partial_file.open("w", encoding="utf-8", newline="\n") as file:
        for line in tqdm(feed_lines(documents), desc="feed", unit="doc", disable=None):
            file.write(f"{line}\n")
            count += 1
    return count


def feed_table(table: "pa.Table", path: Path, name: str) -> None:
    """Write the feed of a shard (ranker.serving.shards), lines counted from 1; InputError calls it by `name`."""
    rows = zip(numbers(1), table["document_id"].to_pylist(), table["title"].to_pylist(), strict=False)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in feed_lines(checked(name, rows)))


def feeder() -> "Make":
    """What makes a file of each shard."""
    return feed_table


def feed_corpus(source: Path, out: Path, ray_address: str | None = None) -> str:
    """Write the feed of a file of documents to one .jsonl, or of Parquet to a folder of shards; says what it wrote."""
    if out.suffix == ".jsonl" and not ray_address:
        return f"{out}: {write_feed(read_documents(source), out)} documents"
    from ranker.serving import shards  # pyarrow takes a while to import

    columns = ("document_id", "title")
    plan = shards.plan(source, columns, out, ".jsonl")
    shards.run(shards.pending(plan, out, {}), columns, feeder, ray_address, "doc")
    return f"{out}: {sum(shard.rows for shard in plan)} documents"

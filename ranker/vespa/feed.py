"""Vespa's feed: a JSON line for each document, with its token ids, so that no title is tokenised again."""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import count as numbers
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from ranker.common.errors import InputError
from ranker.common.files import atomic, sha256
from ranker.contract.folder import CONTRACT_FILE, TOKENIZER_FILE
from ranker.serving.documents import Document, checked, read_documents
from ranker.serving.ranker import TextEncoder

if TYPE_CHECKING:  # for shards alone
    import pyarrow as pa

    from ranker.serving.shards import Make

# Names in the application package, which its feed and its queries use.
DOCUMENT_TYPE = "doc"  # and namespace: a document's id in Vespa is id:doc:doc::ID
TOKENS_FIELD = "doc_token_ids"
QUERY_TENSOR = "query_token_ids"
PROFILE = "ranker"
TOKENIZER = "tokenizer"

CHUNK = 8192  # documents in memory at a time
PAD = 0  # what Vespa pads with, and where it stops counting

# What Vespa takes in a string field: com.yahoo.text.Text.isTextCharacter; anything else is fed as a space.
_CONTROLS = [code for code in range(0x20) if chr(code) not in "\t\n\r"]
_NO_CHARACTERS = [plane << 16 | end for plane in range(17) for end in (0xFFFE, 0xFFFF)]
NOT_TEXT = dict.fromkeys([*_CONTROLS, *range(0xD800, 0xE000), *range(0xFDD0, 0xFDE0), *_NO_CHARACTERS], " ")


def feed_lines(documents: Sequence[Document], encoder: TextEncoder) -> Iterator[str]:
    """A put operation for each document; a tensor has a cell for every one of its places, the last of them 0.

    InputError where a title has the token id 0: Vespa would count its tokens wrong.
    """
    size = encoder.layout.max_document_tokens
    encoded = encoder.encode_documents([title for _, title in documents])
    for (document_id, title), tokens in zip(documents, encoded, strict=True):
        if PAD in tokens:
            raise InputError(f"document_id {document_id!r}: expected token ids above {PAD}, found {tokens.tolist()}")
        document_id = document_id.translate(NOT_TEXT)
        fields = {
            "document_id": document_id,
            "title": title.translate(NOT_TEXT),
            TOKENS_FIELD: {"values": tokens.tolist() + [PAD] * (size - len(tokens))},
        }
        put = {"put": f"id:{DOCUMENT_TYPE}:{DOCUMENT_TYPE}::{document_id}", "fields": fields}
        yield json.dumps(put, ensure_ascii=False, separators=(",", ":"))


def write_feed(documents: Iterable[Document], encoder: TextEncoder, path: Path) -> int:
    """Write a feed to `path`, in place whole or not at all; returns how many documents it has.

    Of documents with one id, Vespa keeps the last.
    """
    if path.is_dir():
        raise InputError(f"{path}: expected a file to write, found a folder")
    lines = tqdm(_all_lines(documents, encoder), desc="feed", unit="doc", disable=None)
    count = 0
    with atomic(path) as partial_file, partial_file.open("wb") as file:
        for line in lines:
            file.write(line)
            count += 1
    return count


def _all_lines(documents: Iterable[Document], encoder: TextEncoder) -> Iterator[bytes]:
    documents = iter(documents)
    while part := list(islice(documents, CHUNK)):
        yield from (f"{line}\n".encode() for line in feed_lines(part, encoder))


def feed_table(encoder: TextEncoder, table: "pa.Table", path: Path, name: str) -> None:
    """Write the feed of a shard (ranker.serving.shards), lines counted from 1; InputError calls it by `name`."""
    rows = zip(numbers(1), table["document_id"].to_pylist(), table["title"].to_pylist(), strict=False)
    with path.open("wb") as file:
        file.writelines(_all_lines(checked(name, rows), encoder))


def feeder(ranker: Path) -> "Make":
    """What a process makes once, the tokenizer, and with it a file of each shard."""
    return partial(feed_table, TextEncoder(ranker))


def feed_corpus(source: Path, out: Path, folder: Path, ray_address: str | None = None) -> str:
    """Write the feed of a file of documents to one .jsonl, or of Parquet to a folder of shards; says what it wrote.

    `folder` is an exported ranker's.
    """
    encoder = TextEncoder(folder)
    if out.suffix == ".jsonl" and not ray_address:
        return f"{out}: {write_feed(read_documents(source), encoder, out)} documents"
    from ranker.serving import shards  # pyarrow takes a while to import

    columns = ("document_id", "title")
    plan = shards.plan(source, columns, out, ".jsonl")
    made_by = {file: sha256(folder / file) for file in (TOKENIZER_FILE, CONTRACT_FILE)}
    pending = shards.pending(plan, out, made_by)
    shards.run(pending, columns, partial(feeder, folder.resolve()), ray_address, "doc")
    return f"{out}: {sum(shard.rows for shard in plan)} documents"

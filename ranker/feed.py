"""Vespa's feed: a JSON line for each document, with its token ids, so that no title is tokenised again."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from ranker.documents import Document
from ranker.errors import InputError
from ranker.serving import Ranker

DOCUMENT_TYPE = "doc"  # and namespace: a document's id in Vespa is id:doc:doc::ID
TOKENS_FIELD = "doc_token_ids"
CHUNK = 8192  # documents in memory at a time
PAD = 0  # what Vespa pads with, and where it stops counting

# What Vespa takes in a string field: com.yahoo.text.Text.isTextCharacter; anything else is fed as a space.
_CONTROLS = [code for code in range(0x20) if chr(code) not in "\t\n\r"]
_NO_CHARACTERS = [plane << 16 | end for plane in range(17) for end in (0xFFFE, 0xFFFF)]
NOT_TEXT = dict.fromkeys([*_CONTROLS, *range(0xD800, 0xE000), *range(0xFDD0, 0xFDE0), *_NO_CHARACTERS], " ")


def feed_lines(documents: Sequence[Document], ranker: Ranker) -> Iterator[str]:
    """A put operation for each document; a tensor has a cell for every one of its places, the last of them 0.

    InputError where a title has the token id 0: Vespa would count its tokens wrong.
    """
    size = ranker.layout.doc_input_size - 1
    encoded = ranker.encode_documents([title for _, title in documents])
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


def write_feed(documents: Iterable[Document], ranker: Ranker, path: Path) -> int:
    """Write a feed to `path`, in place whole or not at all; returns how many documents it has.

    A run that was stopped goes on where it stopped. InputError where what it left is of other documents or tokens.
    """
    partial = path.with_name(f".{path.name}.partial")
    done, last = _whole_lines(partial)
    written, documents = 0, iter(documents)
    with partial.open("a", encoding="utf-8", newline="\n") as file, tqdm(desc="feed", unit="doc", disable=None) as bar:
        while part := list(islice(documents, CHUNK)):
            if written + len(part) >= done:  # what is before was written, and is not tokenised again
                new = list(feed_lines(part, ranker))
                if written < done and new[done - written - 1] != last:
                    raise InputError(f"{partial}: expected a part of this very feed, found another: remove it")
                file.writelines(f"{line}\n" for line in new[max(0, done - written) :])
            written += len(part)
            bar.update(len(part))
        file.flush()
        os.fsync(file.fileno())
    if written < done:
        raise InputError(f"{partial}: expected a part of this very feed, found one of more documents: remove it")
    partial.replace(path)
    return written


def _whole_lines(path: Path) -> tuple[int, str]:
    """How many lines a file has, and the last of them; what follows it, of a run that was killed, is cut off."""
    if not path.is_file():
        return 0, ""
    count, end, last = 0, 0, b""
    with path.open("rb+") as file:
        for line in file:
            if line.endswith(b"\n"):
                count, end, last = count + 1, end + len(line), line
        file.truncate(end)
    return count, last.decode("utf-8").removesuffix("\n")

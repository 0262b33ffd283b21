"""Documents for OpenSearch's `_bulk`: two lines each, the id and the text that the models read."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from ranker.common.errors import InputError
from ranker.common.files import atomic
from ranker.common.table import SYNONYMS, Synonyms
from ranker.contract.document import TITLE, read_document_fields, whole_text
from ranker.contract.folder import CONTRACT_FILE
from ranker.opensearch.bodies import TEXT
from ranker.serving.documents import Document, read_documents

LONGEST = 512  # bytes of an id, by OpenSearch


def bulk_lines(documents: Iterable[Document]) -> Iterator[str]:
    """Yield each document's two lines; InputError if OpenSearch would refuse its id.

    A document without text has no field, because releases before 2.19 refuse to embed an empty one.
    """
    for document_id, *texts in documents:
        if (size := len(document_id.encode())) > LONGEST:
            raise InputError(f"document_id {document_id[:20]!r}…: expected at most {LONGEST} bytes, found {size}")
        text = whole_text(texts)
        for line in ({"index": {"_id": document_id}}, {TEXT: text} if text else {}):
            yield json.dumps(line, ensure_ascii=False)


def write_bulk(source: Path, out: Path, exported: Path, columns: Synonyms = SYNONYMS) -> str:
    """Write a file of documents to `out`; returns a summary line.

    `exported`, the folder of stage export, names a document's fields; without it, the title is read.
    """
    if out.is_dir():
        raise InputError(f"{out}: expected a file to write, found a folder")
    contract, count = exported / CONTRACT_FILE, 0
    fields = read_document_fields(contract) if contract.is_file() else TITLE
    with atomic(out) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for line in bulk_lines(read_documents(source, fields, columns)):
            file.write(f"{line}\n")
            count += 1
    return f"{out}: {count // 2} documents of {' and '.join(fields)}"

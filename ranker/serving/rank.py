"""Rank a file of documents for one query, and print the best."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ranker.common.errors import InputError, one_line
from ranker.common.table import SYNONYMS, Synonyms
from ranker.contract.document import whole_text
from ranker.contract.folder import Model
from ranker.serving.documents import Document, check_query, read_documents
from ranker.serving.ranker import Ranker

Ranked = tuple[float, Document]  # score, document


def print_ranking(
    query: str,
    documents: Path,
    folder: Path,
    model: Model,
    top: int,
    threads: int,
    jsonl: bool,
    names: Synonyms = SYNONYMS,
) -> None:
    """Print the `top` documents of a file for a query, best first; InputError names a wrong option."""
    check_options(query, top, threads)
    ranker = Ranker(folder, model, threads)
    for line in lines(best(ranker, query, documents, top, names), jsonl, ranker.document_fields[0]):
        print(line)
    sys.stdout.flush()  # here, where run_stage handles a closed pipe


def check_options(query: str, top: int, threads: int) -> None:
    """InputError unless the query is text and both numbers are possible."""
    cores = os.cpu_count() or 1
    if top < 1:
        raise InputError(f"--top: expected at least 1, found {top}")
    if not 0 <= threads <= cores:
        raise InputError(f"--threads: expected 0 to {cores} (this machine's cores), found {threads}")
    check_query(query)


def best(ranker: Ranker, query: str, file: Path, top: int, names: Synonyms = SYNONYMS) -> list[Ranked]:
    """The best documents of a file with their scores, best first."""
    documents = list(read_documents(file, ranker.document_fields, names))
    encoded = ranker.encode_documents([whole_text(texts) for _, *texts in documents])
    return [(score, documents[row]) for row, score in ranker.rank(query, encoded, top)]


def lines(ranked: list[Ranked], jsonl: bool, name: str = "title") -> Iterator[str]:
    """Format a ranking as a table or JSON lines, with each document's first field, called `name`.

    A table shows it on one line without control characters.
    """
    if jsonl:
        for place, (score, (document_id, title, *_)) in enumerate(ranked, start=1):
            yield json.dumps({"rank": place, "score": score, "document_id": document_id, name: title})
        return
    rows = [("rank", "score", "document_id", name)]
    for place, (score, (document_id, title, *_)) in enumerate(ranked, start=1):
        rows.append((str(place), f"{score:.3f}", one_line(document_id), one_line(title)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        yield f"{cells[0]:>{widths[0]}}  {cells[1]:>{widths[1]}}  {cells[2]:<{widths[2]}}  {cells[3]}"

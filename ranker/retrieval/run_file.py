"""A TREC run of the user's own engine: six columns, of which the query, the document and the score count."""

from collections.abc import Container
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from urllib.parse import unquote

import pandas as pd

from ranker.common.errors import InputError
from ranker.common.lines import text_lines

COLUMNS = "six columns (query, Q0, document, rank, score, tag)"


@dataclass(frozen=True)
class Run:
    """Hits of known queries and documents, and how many rows were of others."""

    hits: pd.DataFrame  # query_id, document_id, score
    unknown_queries: int
    unknown_documents: int


def read_run_file(path: Path, queries: Container[str], documents: Container[str]) -> Run:
    """Read a run; its order is that of its scores, as in trec_eval, whatever its ranks say.

    White space in an id may be written as %20 and the like, as `ranker.evaluation.trec_files` does.
    InputError names the line that has other columns, no number for a score, or a document twice; and a run of which no
    hit is of `queries` and `documents`.
    """
    if not path.is_file():
        raise InputError(f"{path}: expected a TREC run (first_stage.run), found none")
    found: dict[tuple[str, str], float] = {}
    unknown = {"queries": 0, "documents": 0}
    for number, line in text_lines(path):
        cells = line.split()
        where = f"{path}: line {number}"
        if len(cells) != 6:
            raise InputError(f"{where}: expected {COLUMNS}, found {len(cells)}")
        pair, score = (_id(cells[0], queries), _id(cells[2], documents)), _score(where, cells[4])
        if pair in found:
            raise InputError(f"{where}: expected each document once for a query, found {pair[1]} again for {pair[0]}")
        if pair[0] not in queries:
            unknown["queries"] += 1
        elif pair[1] not in documents:
            unknown["documents"] += 1
        else:
            found[pair] = score
    if not found:
        others = f"{unknown['queries']} of other queries, {unknown['documents']} of other documents and no more"
        raise InputError(f"{path}: expected hits of this collection, found {others}")
    query_ids, document_ids = zip(*found, strict=True)
    hits = pd.DataFrame({"query_id": query_ids, "document_id": document_ids, "score": list(found.values())})
    return Run(hits, unknown["queries"], unknown["documents"])


def _id(cell: str, known: Container[str]) -> str:
    written = unquote(cell)
    return written if written in known else cell


def _score(where: str, text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = float("nan")
    if not isfinite(score):
        raise InputError(f"{where}: expected a score, found {text!r}")
    return score

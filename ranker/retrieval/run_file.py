"""A TREC run of the user's own engine: six columns, of which the second and the last are ignored."""

from collections.abc import Container
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from urllib.parse import unquote

import pandas as pd

from ranker.common.errors import InputError
from ranker.common.lines import text_lines
from ranker.project.tables import IDS

COLUMNS = "six columns (query, Q0, document, rank, score, tag)"


@dataclass(frozen=True)
class Run:
    """Hits of known queries and documents, best first, and numbers of the other rows."""

    hits: pd.DataFrame  # query_id, document_id, score; rank, from 1
    unknown_queries: int
    unknown_documents: int


def read_run_file(path: Path, queries: Container[str], documents: Container[str]) -> Run:
    """Read a run, ordered by rank, then by score, then by line.

    So hits with equal scores, or scores equal in float32, keep their ranks. Ids may be percent-encoded (%20 for a
    space), as `ranker.evaluation.trec_files` writes them. InputError names a line with other columns, a rank or score
    that is not a number, or a repeated document. InputError too if no hit is of `queries` and `documents`, if scores
    contradict ranks, or if ranks and scores give no order.
    """
    if not path.is_file():
        raise InputError(f"{path}: expected a TREC run (first_stage.run), found none")
    found: dict[tuple[str, str], tuple[float, float]] = {}
    unknown = {"queries": 0, "documents": 0}
    for number, line in text_lines(path):
        cells = line.split()
        where = f"{path}: line {number}"
        if len(cells) != 6:
            raise InputError(f"{where}: expected {COLUMNS}, found {len(cells)}")
        pair = _id(cells[0], queries), _id(cells[2], documents)
        numbers = _number(where, "rank", cells[3]), _number(where, "score", cells[4])
        if pair in found:
            raise InputError(f"{where}: expected each document once for a query, found {pair[1]} again for {pair[0]}")
        if pair[0] not in queries:
            unknown["queries"] += 1
        elif pair[1] not in documents:
            unknown["documents"] += 1
        else:
            found[pair] = numbers
    if not found:
        others = f"{unknown['queries']} of other queries, {unknown['documents']} of other documents and no more"
        raise InputError(f"{path}: expected hits of this collection, found {others}")
    hits = pd.DataFrame([(*pair, *numbers) for pair, numbers in found.items()], columns=[*IDS, "rank", "score"])
    return Run(_in_order(path, hits), unknown["queries"], unknown["documents"])


def _in_order(path: Path, hits: pd.DataFrame) -> pd.DataFrame:
    """Sort the hits, best first, with ranks from 1; InputError if scores contradict ranks or neither gives an order."""
    of_query = hits.groupby("query_id")
    if (of_query.size() > 1).any() and of_query[["rank", "score"]].nunique().le(1).to_numpy().all():
        raise InputError(f"{path}: expected ranks or scores that order the hits of a query, found them all equal")
    hits = hits.assign(place=pd.factorize(hits["query_id"])[0])
    # Stable: ties keep the order of lines.
    hits = hits.sort_values(["place", "rank", "score"], ascending=[True, True, False])
    rises = hits.groupby("place")["score"].diff() > 0
    if contradicted := hits.loc[rises, "query_id"].nunique():
        raise InputError(
            f"{path}: expected scores that fall as ranks rise, found the order by score to be another one in "
            f"{contradicted} of {hits['query_id'].nunique()} queries: write a distance with a minus sign; where the "
            "ranks are wrong, write 0 for each"
        )
    return hits.assign(rank=hits.groupby("place").cumcount() + 1).drop(columns="place").reset_index(drop=True)


def _id(cell: str, known: Container[str]) -> str:
    written = unquote(cell)
    return written if written in known else cell


def _number(where: str, name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise InputError(f"{where}: expected a {name}, found {text!r}")
    return number

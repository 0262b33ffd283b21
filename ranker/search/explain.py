"""Show a search's hits: a table, the trace of each score, or JSON lines."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from ranker.common.errors import one_line
from ranker.search.search import Hit
from ranker.stack.stack import Stack

SHOWN = {"cross_encoder": "cross-encoder", "cosine": "cosine", "bm25": "BM25"}  # parts, in words
LISTS = {"bm25": "BM25", "dense": "vectors"}
SHORTEST_ID = 8  # characters
INDENT = " " * 6  # below the score

Group = tuple[str, list[str], list[list[str]]]  # columns under one name: their own names, and rows of cells


def json_lines(hits: Sequence[Hit], titles: Sequence[str], name: str, explain: bool) -> Iterator[str]:
    """A JSON object a hit; `explain` adds what `explained` gives."""
    for place, (hit, title) in enumerate(zip(hits, titles, strict=True), start=1):
        row = {"rank": place, "score": hit.score, "document_id": hit.document_id, name: title}
        yield json.dumps(row | (explained(hit) if explain else {}))


def explained(hit: Hit) -> dict[str, Any]:
    """A hit's rank as found, its ranks by list, its raw scores, and the parts of its sum."""
    return {"as_found": hit.as_found, "ranks": hit.ranks, "raw": hit.raw, "parts": hit.parts}


def heading(stack: Stack, documents: int, candidates: int, fields: Sequence[str], models: str) -> Iterator[str]:
    """Lines above a trace: the stack, its candidates, and its sum."""
    lists = " and ".join(f"the best {stack.depth} by {LISTS[name]}" for name in stack.found_by)
    weights = [f"{stack.weights[part]:g} {SHOWN[part]}" for part in stack.summed if _counts(stack, part)]
    alone = SHOWN["cross_encoder"] if stack.order == "cross_encoder" else LISTS[stack.found_by[0]]
    yield f"{stack.name} over {documents:,} documents ({', '.join(fields)}){f', by {models}' if models else ''}"
    yield f"{candidates:,} candidates: {lists}"
    yield f"score = {' + '.join(weights)}, each scaled to 0..1" if weights else f"score = that of {alone}"


def _counts(stack: Stack, part: str) -> bool:
    return stack.weights[part] > 0 and (part != "cosine" or stack.vectors is not None)


def trace(hits: Sequence[Hit], titles: Sequence[str], columns: int) -> Iterator[str]:
    """Two lines a hit, of at most `columns` characters: its figures and id, and its title.

    The figures are its rank by each list, and each part's raw score with its share of the sum.
    """
    if not hits:
        return
    groups: list[Group] = [
        ("", ["rank"], [[str(place)] for place in range(1, len(hits) + 1)]),
        ("", ["score"], [[f"{hit.score:.3f}"] for hit in hits]),
        ("rank by", [LISTS[found] for found in hits[0].ranks], [_ranks(hit) for hit in hits]),
    ]
    for part in hits[0].raw:
        summed = part in hits[0].parts
        cells = [[f"{hit.raw[part]:.2f}", *([f"{hit.parts[part]:.3f}"] if summed else [])] for hit in hits]
        groups.append((SHOWN[part], ["raw", "part"] if summed else ["raw"], cells))
    names, header, *figures = _aligned(groups)
    yield names.rstrip()
    yield f"{header}  document_id"
    for line, hit, title in zip(figures, hits, titles, strict=True):
        yield f"{line}  {_cut(one_line(hit.document_id), max(columns - len(line) - 2, SHORTEST_ID))}"
        yield f"{INDENT}{_cut(one_line(title), columns - len(INDENT))}"


def _ranks(hit: Hit) -> list[str]:
    return ["-" if rank is None else str(rank) for rank in hit.ranks.values()]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return " ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


def _aligned(groups: Sequence[Group]) -> list[str]:
    """Lines of equal length: the groups' names, the columns' names, and each row's cells, to the right."""
    lines: list[list[str]] = []
    for name, header, rows in groups:
        table = [header, *rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        widths[-1] = max(widths[-1], len(name) - sum(widths[:-1]) - (len(widths) - 1))
        drawn = [_row(cells, widths) for cells in table]
        lines.append([f"{name:>{len(drawn[0])}}", *drawn])
    return ["  ".join(cells) for cells in zip(*lines, strict=True)]

"""Rank documents for a query with the exported model.

python -m ranker "coronavirus origin" --documents titles.csv [--top 10] [--jsonl] [--model int8] [--ranker FOLDER]
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ranker import tables
from ranker.documents import STDIN, Document, check_query, read_documents
from ranker.errors import InputError, one_line, run_stage
from ranker.serving import MODEL_FILES, Ranker


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ranker", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("query")
    parser.add_argument(
        "--documents",
        type=Path,
        default=STDIN,
        help="CSV, JSON lines or Parquet with document_id and title (- : stdin)",
    )
    parser.add_argument("--top", type=int, default=10, help="how many to show (10)")
    parser.add_argument("--jsonl", action="store_true", help="a JSON object a line instead of a table")
    parser.add_argument("--model", choices=MODEL_FILES, default="fp32")
    parser.add_argument("--threads", type=int, default=0, help="of one batch (0: one a core)")
    parser.add_argument("--ranker", type=Path, default=tables.RANKER, help="the folder that stage export wrote")
    asked = parser.parse_args()
    cores = os.cpu_count() or 1
    if asked.top < 1:
        raise InputError(f"--top: expected at least 1, found {asked.top}")
    if not 0 <= asked.threads <= cores:
        raise InputError(f"--threads: expected 0 to {cores}, for there are so many cores, found {asked.threads}")
    check_query(asked.query)
    return asked


def rank(asked: argparse.Namespace) -> list[tuple[float, Document]]:
    """The best documents with their scores, best first."""
    ranker = Ranker(asked.ranker, asked.model, asked.threads)
    documents = list(read_documents(asked.documents))
    encoded = ranker.encode_documents([title for _, title in documents])
    return [(score, documents[row]) for row, score in ranker.rank(asked.query, encoded, asked.top)]


def lines(ranked: list[tuple[float, Document]], jsonl: bool) -> Iterator[str]:
    """What is printed: a table, whose titles are one line each without control characters, or JSON lines."""
    if jsonl:
        for place, (found, (document_id, title)) in enumerate(ranked, start=1):
            yield json.dumps({"rank": place, "score": found, "document_id": document_id, "title": title})
        return
    shown = [
        (str(i), f"{score:.3f}", one_line(document[0]), one_line(document[1]))
        for i, (score, document) in enumerate(ranked, 1)
    ]
    rows = [("rank", "score", "document_id", "title"), *shown]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for rank, score, document_id, title in rows:
        yield f"{rank:>{widths[0]}}  {score:>{widths[1]}}  {document_id:<{widths[2]}}  {title}"


def main() -> None:
    asked = parse()
    for line in lines(rank(asked), asked.jsonl):
        print(line)
    sys.stdout.flush()  # here, where a closed pipe is known


if __name__ == "__main__":
    run_stage("ranker", main)

"""Measures what docs/scale.md quotes of a feed of many documents, and of many pairs scored by Ray.

python -m bench.studies.scaling [--data FOLDER]

After `make repro` and `pip install -r requirements-scale.txt -c constraints.txt`: it feeds and scores with
models/ranker. It writes bench/results/scaling.md.
"""

import argparse
import itertools
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.data import SAMPLE, Pairs, read_pairs
from bench.runner import Case, Job, command, run_case
from bench.table import OURS, case_rows, page
from ranker.common.files import atomic
from ranker.contract.folder import served_model
from ranker.project import paths

Rows = list[dict[str, Any]]
RESULT = Path("bench/results/scaling.md")
DOCUMENTS = (10**5, 10**6, 10**7)
PAIRS = (20_000, 60_000)
ROW_GROUP = 10_000  # at least one for each of Ray's workers
ENGINES = {"one process": (), "Ray": ("--ray-address", "local")}
RANKER = (sys.executable, "-m", "ranker")


def write_corpus(pairs: Pairs, count: int, path: Path) -> None:
    """So many judged pairs, which come round again and again, in a row group of ROW_GROUP at most for each part."""
    rows = min(count, ROW_GROUP)
    queries, titles = (list(itertools.islice(itertools.cycle(side), rows)) for side in (pairs.queries, pairs.documents))
    ids = [str(row) for row in range(rows)]
    part = pa.table({"query_id": queries, "query": queries, "document_id": ids, "title": titles})
    with pq.ParquetWriter(path, part.schema) as file:
        for _ in range(count // rows):
            file.write_table(part)


def feeding(pairs: Pairs, work: Path, sizes: Sequence[int]) -> Rows:
    """Rows of the feed, and the bytes of a document in it."""
    rows: Rows = []
    for size in sizes:
        write_corpus(pairs, size, work / "documents.parquet")
        feed = partial(command, *RANKER, "feed", work / "documents.parquet", "--out", work / "feed.jsonl")
        case = Case(f"feed {size:,} documents", size, {OURS: Job(feed)})
        rows += case_rows(case, run_case(case, 1))
        rows[-1]["note"] = f"{(work / 'feed.jsonl').stat().st_size / size:.0f} bytes a document"
        (work / "feed.jsonl").unlink()
    return rows


def scoring(pairs: Pairs, work: Path, sizes: Sequence[int], engines: dict[str, tuple[str, ...]]) -> Rows:
    """Rows of a corpus scored by each engine, in int8 where a model passed export's gate."""
    model = served_model(paths.RANKER, "int8")
    rows: Rows = []
    for size in sizes:
        write_corpus(pairs, size, work / "pairs.parquet")
        jobs = {}
        for name, options in engines.items():
            out = work / f"{name}-{size}"
            score = partial(command, *RANKER, "score", work / "pairs.parquet", "--model", model, "--out", out, *options)
            jobs[f"{OURS}, {name}"] = Job(score)
        case = Case(f"score {size:,} pairs in {model}", size, jobs)
        rows += case_rows(case, run_case(case, 1))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SAMPLE, help="a folder with the tutorial's two files")
    pairs = read_pairs(parser.parse_args().data)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        rows = scoring(pairs, work, PAIRS, ENGINES) + feeding(pairs, work, DOCUMENTS)
    with atomic(RESULT) as file:
        file.write_text(page("Scaling", {}, rows), "utf-8")


if __name__ == "__main__":
    main()

"""Measure seconds and memory of the stages that read a whole large collection, for docs/scale.md.

python -m bench.studies.collection [--documents N ...]

Run `make repro` first, because it uses that base model and ranker. The collection is a BEIR folder of random words with
10^3 queries of 20 judged documents each. The first stage embeds every document; score reranks the hits of
the held-out fifth of the queries. It writes bench/results/collection.md.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bench.data import SAMPLE, read_pairs
from bench.runner import Case, Job, command, run_case
from bench.table import OURS, case_rows, page
from ranker.common.files import atomic
from ranker.project import paths
from ranker.project.params import PARAMS_FILE

RESULT = Path("bench/results/collection.md")
DOCUMENTS = (10**5, 10**6)
QUERIES, JUDGED = 1000, 20
TITLE, TEXT = 8, 40  # words
STAGES = ("fetch", "join", "encode", "embed", "split", "first_stage", "score")
HITS = 100


def write_collection(documents: int, vocabulary: Sequence[str], folder: Path) -> None:
    """Write corpus.jsonl, queries.jsonl and qrels/test.tsv of random words."""
    random, words = np.random.default_rng(13), np.array(vocabulary)
    (folder / "qrels").mkdir(parents=True)
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for row in range(documents):
            drawn = words[random.integers(0, len(words), TITLE + TEXT)].tolist()
            document = {"_id": f"d{row}", "title": " ".join(drawn[:TITLE]), "text": " ".join(drawn[TITLE:])}
            print(json.dumps(document), file=file)
    with (folder / "queries.jsonl").open("w", encoding="utf-8") as file:
        for row in range(QUERIES):
            text = " ".join(words[random.integers(0, len(words), 5)].tolist())
            print(json.dumps({"_id": f"q{row}", "text": text}), file=file)
    with (folder / "qrels/test.tsv").open("w", encoding="utf-8") as file:
        print("query-id", "corpus-id", "score", sep="\t", file=file)
        for row in range(QUERIES):
            for document_row in random.choice(documents, JUDGED, replace=False):
                print(f"q{row}", f"d{document_row}", random.integers(0, 3), sep="\t", file=file)


def write_project(collection: Path, folder: Path) -> None:
    """Write a folder in which the stages run: params.yaml, pinned packages, base model and ranker."""
    params = yaml.safe_load(PARAMS_FILE.read_text("utf-8"))
    params["fetch"] |= {"format": "beir", "folder": str(collection)}
    params["join"] |= {"document_fields": ["title", "text"]}
    params["first_stage"] |= {"depth": HITS, "retriever": "base_hybrid"}  # trains no retriever
    (folder / PARAMS_FILE).write_text(yaml.safe_dump(params), "utf-8")
    for made in (paths.BASE_MODEL, paths.RANKER, Path("requirements.txt")):
        (folder / made).parent.mkdir(parents=True, exist_ok=True)
        (folder / made).symlink_to(made.absolute())


def stage_rows(documents: int, vocabulary: Sequence[str], work: Path) -> list[dict[str, Any]]:
    """A row for each stage, each run in its own process."""
    collection, project = work / "collection", work / "project"
    write_collection(documents, vocabulary, collection)
    project.mkdir()
    write_project(collection, project)
    rows = []
    for stage in STAGES:
        job = Job(partial(command, sys.executable, "-m", f"stages.{stage}", folder=project))
        case = Case(f"{stage} {documents:,} documents", documents, {OURS: job})
        rows += case_rows(case, run_case(case, 1))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=DOCUMENTS)
    asked = parser.parse_args().documents
    vocabulary = sorted(set(" ".join(read_pairs(SAMPLE).documents).split()))
    os.environ["PYTHONPATH"] = str(Path.cwd())
    rows = []
    for documents in asked:
        with tempfile.TemporaryDirectory() as work:
            rows += stage_rows(documents, vocabulary, Path(work))
    about = {"collection": f"random words, {TITLE} in a title and {TEXT} in a text; {QUERIES:,} queries of {JUDGED}"}
    with atomic(RESULT) as file:
        file.write_text(page("Collection", about, rows), "utf-8")


if __name__ == "__main__":
    main()

"""Measure what docs/scale.md quotes of more documents and more processes, and write bench/results/scale.md.

python -m bench.scale --data FOLDER

After `make repro` and `pip install -r requirements-scale.txt -c constraints.txt`: it feeds and scores with
`models/ranker`, and trains a copy of the project.
"""

import argparse
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.data import SAMPLE, Pairs, read_pairs
from bench.trials import copy_project, measure
from ranker.common.files import atomic
from ranker.model.hardware import chip
from ranker.project import paths
from ranker.project.params import load_params

RESULT = Path("bench/results/scale.md")
DOCUMENTS = (10**5, 10**6, 10**7)
ROW_GROUP = 100_000
COPIES = (4, 12)  # of the judged pairs, to be scored
TORCHRUN = "torchrun --standalone --nproc-per-node 2"


def write_documents(titles: list[str], count: int, path: Path) -> None:
    """So many documents, whose titles come round again and again."""
    schema, names = pa.schema({"document_id": pa.string(), "title": pa.string()}), itertools.cycle(titles)
    with pq.ParquetWriter(path, schema) as file:
        for start in range(0, count, ROW_GROUP):
            ids = [str(i) for i in range(start, min(start + ROW_GROUP, count))]
            columns = {"document_id": ids, "title": list(itertools.islice(names, len(ids)))}
            file.write_table(pa.table(columns, schema), row_group_size=ROW_GROUP)


def write_pairs(pairs: Pairs, copies: int, path: Path) -> int:
    """The pairs, so many times over, in row groups of a quarter of them; how many that is."""
    rows = pa.table(
        {
            "query_id": pa.array([""] * len(pairs)),
            "query": pa.array(pairs.queries),
            "document_id": pa.array([str(i) for i in range(len(pairs))]),
            "title": pa.array(pairs.documents),
        }
    )
    pq.write_table(pa.concat_tables([rows] * copies), path, row_group_size=len(pairs) // 4 + 1)
    return len(pairs) * copies


def feeding(titles: list[str], work: Path) -> Iterator[list[str]]:
    """Rows of `ranker.vespa feed`, one process."""
    for count in DOCUMENTS:
        write_documents(titles, count, work / "documents.parquet")
        command = f"python -m ranker.vespa feed {work}/documents.parquet --out {work}/feed.jsonl"
        cost = measure(command, Path())[1]
        size = (work / "feed.jsonl").stat().st_size / count
        (work / "feed.jsonl").unlink()
        yield ["`ranker.vespa feed`", f"{count:,} documents", *_figures(cost, count), f"{size:.0f} bytes a document"]


def scoring(pairs: Pairs, work: Path) -> Iterator[list[str]]:
    """Rows of `ranker.score`, here and on two of Ray's workers."""
    for copies in COPIES:
        count = write_pairs(pairs, copies, work / "pairs.parquet")
        for name, option in (("one process", ""), ("Ray", " --ray-address local")):
            out = work / f"scores{option[-5:]}"
            command = f"python -m ranker.score {work}/pairs.parquet --model int8 --out {out}{option}"
            cost = measure(command, Path())[1]
            yield [f"`ranker.score`, int8, {name}", f"{count:,} pairs", *_figures(cost, count), ""]
            shutil.rmtree(out)


def training(work: Path) -> Iterator[list[str]]:
    """Rows of `stages.train` on what the project has prepared, in one process and in two."""
    place = work / "project"
    copy_project(place)
    for folder in ("data", "models"):
        shutil.copytree(folder, place / folder, dirs_exist_ok=True)
    for launcher in ("python", TORCHRUN):
        printed, cost = measure(f"{launcher} -m stages.train", place)
        count = int(next(line for line in printed.splitlines() if line.startswith("train: ")).split()[1])
        held_out = json.loads((place / paths.CURVES / "metrics.json").read_text())["eval"]
        found = ", ".join(f"{name} {held_out[name]:.4f}" for name in ("loss", "nDCG@10"))
        found += "".join(f"; {line}" for line in printed.splitlines() if line.startswith("training: 2 processes"))
        yield [
            f"`{launcher} -m stages.train`",
            f"{count:,} pairs",
            *_figures(cost, count * load_params().train.epochs),
            found,
        ]


def _figures(cost: dict[str, float], count: float) -> list[str]:
    return [f"{cost['seconds']:.1f}", f"{count / cost['seconds']:,.0f}", f"{cost['peak_mib']:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SAMPLE, help="a folder with the tutorial's two files")
    pairs = read_pairs(parser.parse_args().data)
    lines = [
        f"`python -m bench.scale`: {chip()['processor']}, {os.cpu_count()} cores, on the models of `make repro`.",
        "",
    ]
    lines += ["| work | of | seconds | a second | peak MiB | |", "| --- | --- | --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for row in itertools.chain(training(work), scoring(pairs, work), feeding(pairs.documents, work)):
            lines.append(f"| {' | '.join(row)} |")
            print(lines[-1], flush=True)
    with atomic(RESULT) as partial:
        partial.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()

"""Measure this project beside its peers, in one run, and write bench/results: a table, its figures, a curve.

python -m bench [--data FOLDER] [--repeats N] [--quick]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import data, growth, models, ours, report, worker
from bench.limit import describe_model, limit_rows, machine
from bench.runs import Measure, Repeat, alone, notes, run_work
from bench.table import work_rows
from bench.trials import sum_of, trial_rows
from bench.works import OURS, PEER, Work, works
from ranker.model.cross_encoder import new_cross_encoder
from ranker.model.hardware import resolve_precision
from ranker.project import paths

RESULTS = Path("bench/results")
SAME_CODE = {PEER, f"{OURS}, fp32", f"{OURS}, ONNX Runtime fp32"}  # as in another precision: --quick leaves them out


def describe(sizes: dict[str, int], source: Path | None) -> str:
    """What was measured on."""
    parts = [f"the sample ({sizes['sample']:,} pairs)"]
    if source:
        parts.append(f"real: the judged titles of `--data` ({sizes['real']:,} pairs)")
        parts.append(
            f"full: all its judgements ({sizes['full']:,} pairs), for speed alone: a document without a title has one "
            "of the real titles, drawn with replacement"
        )
    return "; ".join(parts) + "."


def run(source: Path | None, base_model: Path, repeats: int, work: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of the table, and what stands around it."""
    whole = work / "full"
    if source:
        data.write_full_size(source, whole)
    folders = {"sample": data.SAMPLE, "real": source or data.SAMPLE, "full": whole if source else data.SAMPLE}
    sizes = {kind: len(data.read_pairs(folder)) for kind, folder in folders.items()}
    rows, found = measure(works(sizes["sample"], sizes["real"], sizes["full"]), folders, base_model, repeats, work)
    encode, head = (found[name] for name in list(found)[:2])
    rows += trial_rows(folders["full"], base_model, work / "project", sum_of(encode, head))
    pairs = ours.encode_texts(data.read_pairs(folders["real"]), base_model)
    return rows, {
        "machine": machine(),
        "base_model": describe_model(base_model),
        "data": describe(sizes, source),
        "limit": limit_rows(rows, pairs, base_model, resolve_precision("auto")),
        "quality": quality_rows(folders["real"], base_model, work),
        "growth": growth.growth_rows(folders["real"], base_model, work, growth.SCALES),
    }


def run_quick(base_model: Path, work: Path) -> None:
    """A few pairs of everything but the sweep, once, in this process: to see that it runs; nothing is written."""
    few = work / "few"
    data.write_some(data.SAMPLE, few, queries=12)
    pairs = data.read_pairs(few)
    folders = dict.fromkeys(("sample", "real", "full"), few)
    items = [
        replace(item, jobs={system: job for system, job in item.jobs.items() if system not in SAME_CODE})
        for item in works(len(pairs), len(pairs), len(pairs), share=32)
        if item.data != "sample"
    ]
    rows, _ = measure(items, folders, base_model, 1, work, worker.measure)
    context = {
        "machine": machine(),
        "base_model": describe_model(base_model),
        "data": "A few pairs of the sample.",
        "limit": limit_rows(rows, ours.encode_texts(pairs, base_model), base_model, resolve_precision("auto")),
        "quality": quality_rows(few, base_model, work),
        "growth": growth.growth_rows(few, base_model, work, (1,)),
    }
    report.write(work / "results", rows, context)
    print((work / "results/table.md").read_text("utf-8"))


def measure(
    items: list[Work], folders: dict[str, Path], base_model: Path, repeats: int, work: Path, way: Measure = alone
) -> tuple[list[dict[str, Any]], dict[str, list[Repeat]]]:
    """Rows of works, and their repeats by name."""
    sizes = ours.QUERY_INPUT_SIZE, ours.DOC_INPUT_SIZE
    models.export(new_cross_encoder(base_model, ours.SEED).eval(), base_model, work / "ranker", sizes)
    values = {"work": str(work), "precision": resolve_precision("auto")}
    found = {item.name: run_work(item, folders[item.data], base_model, values, repeats, way) for item in items}
    return [row for item in items for row in work_rows(item.name, item.pairs, found[item.name], notes(item))], found


def quality_rows(folder: Path, base_model: Path, work: Path) -> list[dict[str, Any]]:
    """The table of measures, made in a process of its own, for it works in a folder of its own."""
    command = [sys.executable, "-m", "bench.quality", str(folder), str(base_model), str(work)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with the tutorial's two files; else the sample alone")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a few pairs, to see that it runs; nothing is written")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        os.environ["TMPDIR"] = tempfile.tempdir = work  # of what its jobs leave, too
        if asked.quick:
            run_quick(paths.BASE_MODEL, Path(work))
            return
        rows, context = run(asked.data, paths.BASE_MODEL, asked.repeats, Path(work))
    report.write(RESULTS, rows, context)
    print((RESULTS / "table.md").read_text("utf-8"))


if __name__ == "__main__":
    main()

"""Measure reranking in Vespa's own Java code: milliseconds a hit by model, depth and length.

python -m bench.studies.vespa

Run `make repro` first; it needs Maven and a JDK (engines/). It writes bench/results/vespa.md and vespa.json. Stage
package compares vespa.latency_ms and vespa.timeout_ms with these figures.

The models are rank profiles of one package, and take turns in one process.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench.table import machine
from engines import harness
from ranker.common.files import atomic, write_json
from ranker.contract.folder import MODEL_FILES, Model, served_model
from ranker.project import paths
from ranker.project.params import load_params
from ranker.serving.ranker import TextEncoder
from ranker.vespa.feed import write_feed
from ranker.vespa.latency import FIGURES, misfits, read_figures
from ranker.vespa.package import model_file, write_application
from ranker.vespa.query import QuerySettings, query_body, read_settings

TABLE = FIGURES.with_suffix(".md")
QUERY = "masks in hospitals"
DEPTHS = (30, 100)
LENGTHS = (16, 24, 32, 48, 64, 96, 128)  # tokens of a pair
HITS = 20  # of each length
WORD = "virus"  # one token
ROUNDS = 5


def write_package(folder: Path, ranker: Path, settings: QuerySettings) -> dict[str, Model]:
    """Write a package with a rank profile for each exported model; returns each profile's model."""
    profiles: dict[str, Model] = {}
    present: list[Model] = [model for model, file in MODEL_FILES.items() if (ranker / file).is_file()]
    for number, model in enumerate(present):
        part = folder / model
        write_application(part, ranker, "bench", f"0.0.{number}", model, settings)
        shutil.copytree(part, folder / "package", dirs_exist_ok=True)
        profiles[f"ranker_0_0_{number}"] = model
    return profiles


def sampled_titles(path: Path, count: int) -> list[str]:
    """`count` titles of a collection, evenly spaced from the first to the last."""
    titles = pq.read_table(path, columns=["title"])["title"].to_pylist()
    return [titles[row] for row in np.linspace(0, len(titles) - 1, count).astype(int)]


def request(
    package: Path, profiles: dict[str, Model], feeds: dict[str, Path], settings: QuerySettings, depths: tuple[int, ...]
) -> dict[str, dict[str, Any]]:
    """Steps for the harness: the collection's titles at each depth, and HITS titles of each length."""

    def step(feed: Path, depth: int) -> dict[str, Any]:
        count = {"ranking.globalPhase.rerankCount": depth}
        bodies = {name: query_body(QUERY, settings) | {"ranking": name} | count for name in profiles}
        return {"step": "rerank", "application": str(package), "feed": str(feed), "bodies": bodies, "rounds": ROUNDS}

    collection = feeds["collection"]
    steps = {f"{depth} hits": step(collection, depth) for depth in depths}
    return steps | {name: step(feed, HITS) for name, feed in feeds.items() if feed != collection}


def rows(answer: dict[str, Any], profiles: dict[str, Model]) -> list[dict[str, Any]]:
    """A row for each case and rank profile: median milliseconds over the rounds, of all hits and of one."""
    found = []
    for case, by_profile in answer.items():
        for profile, rounds in by_profile.items():
            runs = rounds[0]["runs"]
            hits = rounds[0]["asked for"] if case.endswith("hits") else HITS
            cpu, clock = median(turn["cpu ms"] for turn in rounds), median(turn["ms"] for turn in rounds)
            kinds = {"case": case, "model": profiles[profile], "hits": hits, "runs": runs}
            found.append(kinds | {"cpu_ms": cpu, "ms": clock, "ms_per_hit": cpu / hits})
    return found


def markdown(measured: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    """The page: facts of the measurement, and a table."""
    lines = [
        "# Reranking in Vespa",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "Vespa's own GlobalPhaseRanker and ONNX Runtime, one thread; medians of turns. Processor time is that on an",
        "idle core; clock time is longer if the machine runs other programs.",
        "",
        "| case | model | runs | ms, processor | ms, clock | ms a hit |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        "| {case} | {model} | {runs} | {cpu_ms:.0f} | {ms:.0f} | {ms_per_hit:.2f} |".format(**row) for row in measured
    ]
    return "\n".join(lines) + "\n"


def measure(
    ranker: Path,
    documents: Path,
    settings: QuerySettings,
    depths: tuple[int, ...],
    lengths: tuple[int, ...],
    work: Path,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Rows, and statistics of the collection's tokens a pair; `work` is an empty folder."""
    profiles = write_package(work / "packages", ranker, settings)
    encoder = TextEncoder(ranker)
    special = len(encoder.encode_query(QUERY)) + 3
    titles = {"collection": sampled_titles(documents, max(depths))}
    titles |= {f"{length} tokens a pair": [" ".join([WORD] * (length - special))] * HITS for length in lengths}
    feeds = {}
    for number, (name, texts) in enumerate(titles.items()):
        feeds[name] = work / f"{number}.jsonl"
        write_feed([(str(row), title) for row, title in enumerate(texts)], feeds[name])
    (work / "run").mkdir()
    answer = harness.run(request(work / "packages/package", profiles, feeds, settings, depths), work / "run")
    tokens = encoder.encode_documents(titles["collection"]).lengths + special
    spread = {"mean": float(tokens.mean()), "median": float(np.median(tokens)), "longest": float(tokens.max())}
    return rows(answer, profiles), spread


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    params = load_params()
    settings = read_settings(paths.VESPA)
    with tempfile.TemporaryDirectory() as work:
        measured, tokens = measure(paths.RANKER, paths.DOCUMENTS, settings, DEPTHS, LENGTHS, Path(work))
    model = served_model(paths.RANKER, params.vespa.model)
    (ships,) = [row for row in measured if (row["case"], row["model"]) == ("100 hits", model)]
    size = model_file(paths.VESPA, params.export.version).stat().st_size
    facts = {
        "machine": machine()["machine"],
        "vespa": harness.NEWEST,
        "model": model,
        "model_bytes": size,
        "ms_per_hit": ships["ms_per_hit"],
        "tokens_per_pair": tokens,
    }
    write_json(FIGURES, facts | {"rows": measured})
    shown = {"machine": facts["machine"], "Vespa": facts["vespa"], "tokens of a pair": json.dumps(tokens)}
    with atomic(TABLE) as file:
        file.write_text(markdown(measured, shown), "utf-8")
    print(markdown(measured, shown))
    bounds = params.order.depth, params.vespa.latency_ms, params.vespa.timeout_ms
    for line in misfits(read_figures(), size, *bounds):
        print(line)


if __name__ == "__main__":
    main()

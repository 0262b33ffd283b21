"""Measure a query's milliseconds: the models in Vespa's own Java code, by length, and each rank profile.

python -m bench.studies.stacks

Run `make repro` first; it needs Maven and a JDK (engines/). It writes bench/results/stacks.md and stacks.json, which
the table of stacks and stage package read. One thread. What Vespa's content node does is C++ and is not here: BM25 and
an exact search of vectors are this repository's own.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench.table import machine
from engines import harness
from ranker.common.files import atomic, read_json, write_json
from ranker.contract.folder import Model
from ranker.project import paths
from ranker.project.params import load_params
from ranker.serving.ranker import TextEncoder
from ranker.stack.bm25 import Bm25
from ranker.stack.order import best
from ranker.stack.stack import Stack
from ranker.stacks.costs import FIGURES, architecture
from ranker.vespa.beside import write_beside
from ranker.vespa.feed import write_feed
from ranker.vespa.names import Names
from ranker.vespa.package import Exported, write_application
from ranker.vespa.profiles import served_stacks
from ranker.vespa.query import QuerySettings, query_body

TABLE = FIGURES.with_suffix(".md")
VERSIONS: dict[Model, str] = {"fp32": "0.0.0", "int8": "0.0.1"}
PAIRS = (16, 24, 32, 48, 64, 96, 128)  # tokens of a pair
TEXTS = (8, 16, 32, 64, 128)  # tokens of a query, as the retriever reads it
DEPTHS = (30, 100)
HITS = 20  # of each length
DOCUMENTS = 1000  # embedded as they are fed
ROUNDS = 3
WORD = "virus"  # one token
QUERY = "masks in hospitals"
LONG_QUERY = 30  # tokens; with a document of 95, a pair of 128
Request = dict[str, dict[str, Any]]


def write_packages(folder: Path, stack: Stack, ranker: Path, retriever: Path) -> dict[Model, QuerySettings]:
    """Write an application of each precision's models, side by side, to folder/both; returns the settings of each."""
    found: dict[Model, QuerySettings] = {}
    for model, version in VERSIONS.items():
        found[model] = QuerySettings(Names(version), stack, 60_000, has_retriever=True)
        write_application(folder / model, "bench", found[model], Exported(ranker, model), Exported(retriever, model))
    write_beside(folder / "fp32", folder / "int8", folder / "both")
    return found


def asked_tokens(pair: int) -> int:
    """Tokens of the query in a pair of this length: a quarter, as far as the layout has room."""
    return min(LONG_QUERY, pair // 4)


def bodies(settings: dict[Model, QuerySettings], depth: int, query: str, only: str = "") -> dict[str, Any]:
    """A request for each precision and stack that the global phase orders, or for one stack."""
    found = {}
    for model, own in settings.items():
        for stack in own.stacks:
            if (stack.runs_cross_encoder or stack.name == "hybrid") and only in ("", stack.name):
                count = {"ranking.globalPhase.rerankCount": depth * len(stack.found_by)}
                found[f"{model} {depth} {stack.name}"] = query_body(query, own, stack=stack.name) | count
    return found


def request(
    application: Path,
    settings: dict[Model, QuerySettings],
    feeds: dict[str, Path],
    documents: list[str],
    depths: tuple[int, ...],
) -> Request:
    """Steps for the harness; `documents` are embedded one by one."""
    place = {"application": str(application)}
    long = " ".join([WORD] * LONG_QUERY)

    def rerank(feed: str, asked: dict[str, Any]) -> dict[str, Any]:
        return {"step": "rerank", **place, "feed": str(feeds[feed]), "bodies": asked, "rounds": ROUNDS}

    steps = {
        "titles": rerank("titles", {k: v for depth in depths for k, v in bodies(settings, depth, QUERY).items()}),
        "128 tokens": rerank("128", {k: v for depth in depths for k, v in bodies(settings, depth, long).items()}),
    }
    for length in PAIRS:
        query = " ".join([WORD] * asked_tokens(length))
        steps[str(length)] = rerank(str(length), bodies(settings, HITS, query, "bm25+cross_encoder"))
    for model, own in settings.items():
        texts = [" ".join([WORD] * (length - 2)) for length in TEXTS] * (ROUNDS + 1)
        field = {"field": own.names.vectors, "retriever": own.names.of("retriever")}
        steps[f"retriever {model}"] = {"step": "vectors", **place, **field, "texts": texts}
        steps[f"documents {model}"] = {"step": "vectors", **place, **field, "texts": documents}
    return steps


def write_feeds(folder: Path, titles: list[str]) -> dict[str, Path]:
    """A feed of titles, one of each length, and one as long as the layout lets a document be."""
    texts = {"titles": titles, "128": [" ".join([WORD] * 95)] * len(titles)}
    texts |= {str(length): [" ".join([WORD] * (length - 3 - asked_tokens(length)))] * HITS for length in PAIRS[:-1]}
    feeds = {name: folder / f"{name}.jsonl" for name in texts}
    for name, feed in feeds.items():
        write_feed(((str(row), text) for row, text in enumerate(texts[name])), feed)
    return feeds


def by_length(answer: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Milliseconds of a pair or a text by tokens, for each model and precision: medians over the rounds."""
    models: dict[str, dict[str, float]] = {}
    for model in VERSIONS:
        turns = {length: answer[str(length)][f"{model} {HITS} bm25+cross_encoder"] for length in PAIRS}
        models[f"cross_encoder {model}"] = {
            str(length): median(turn["cpu ms"] / turn["runs"] for turn in found) for length, found in turns.items()
        }
        ms = np.array(answer[f"retriever {model}"]["cpu ms"]).reshape(-1, len(TEXTS))[1:]  # the first round warms up
        models[f"retriever {model}"] = dict(zip(map(str, TEXTS), np.median(ms, axis=0).tolist(), strict=True))
    return models


def rows(answer: dict[str, Any], stacks: list[Stack], models: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """A row for each text, precision, depth and stack: the query's vector and the global phase."""
    found = []
    for texts, tokens in (("titles", "8"), ("128 tokens", "32")):
        for name, turns in answer[texts].items():
            model, depth, stack = name.split(" ")
            (known,) = [each for each in stacks if each.name == stack]
            ms = median(turn["cpu ms"] for turn in turns)
            ms += models[f"retriever {model}"][tokens] if known.vectors else 0.0
            found.append(
                {
                    "texts": texts,
                    "stack": stack,
                    "model": model,
                    "depth": int(depth),
                    "runs": turns[0]["runs"],
                    "ms": ms,
                }
            )
    return found


def searched(queries: list[str], titles: list[str], depth: int) -> dict[str, float]:
    """Milliseconds of BM25 and of an exact search of as many vectors, by this repository's own code."""
    index = Bm25(None, [(title,) for title in titles], "en")
    vectors = np.random.default_rng(0).standard_normal((len(titles), 384), np.float32)
    parts: dict[str, Callable[[str], object]] = {
        "bm25": lambda query: best(index.scores_of(query), depth),
        "vectors": lambda _: best(vectors @ vectors[0], depth),
    }
    found: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(ROUNDS + 1):
        for name, part in parts.items():
            start = time.process_time()
            for query in queries:
                part(query)
            found[name].append(1000 * (time.process_time() - start) / len(queries))
    return {name: median(turns[1:]) for name, turns in found.items()}


def markdown(found: dict[str, Any]) -> str:
    """The page: facts of the measurement, the models by length, and the rank profiles."""
    facts = ("machine", "vespa", "architecture", "documents", "tokens_per_pair", "ms", "document")
    lines = [
        "# A query's milliseconds",
        "",
        *(f"- {name}: {found[name]}" for name in facts),
        "",
        "Processor milliseconds on one thread, by Vespa's own embedder, GlobalPhaseRanker and ONNX Runtime; medians of",
        "turns. A pair is scored by itself. BM25 and the search of vectors (`ms`) are this repository's own;",
        "`document` is a document's vector, the mean over a thousand titles.",
        "",
    ]
    for model, ms in found["models"].items():
        lines += [f"| {model}, tokens | {' | '.join(ms)} |", "| --- |" + " ---: |" * len(ms)]
        lines += ["| ms | " + " | ".join(f"{value:.2f}" for value in ms.values()) + " |", ""]
    lines += ["| texts | stack | model | depth | runs | ms a query |", "| --- | --- | --- | ---: | ---: | ---: |"]
    lines += ["| {texts} | {stack} | {model} | {depth} | {runs} | {ms:.0f} |".format(**row) for row in found["rows"]]
    return "\n".join(lines) + "\n"


def measure(
    stack: Stack, ranker: Path, retriever: Path, documents: list[str], depths: tuple[int, ...], work: Path
) -> dict[str, Any]:
    """The figures by Vespa's code; `work` is an empty folder, `documents` are at least twice the largest depth."""
    settings = write_packages(work, stack, ranker, retriever)
    (work / "feeds").mkdir()
    feeds = write_feeds(work / "feeds", spaced(documents, 2 * max(depths)))
    (work / "run").mkdir()
    answer = harness.run(request(work / "both", settings, feeds, documents, depths), work / "run")
    models = by_length(answer)
    return {
        "models": models,
        "document": {model: mean(answer[f"documents {model}"]["cpu ms"]) for model in VERSIONS},
        "rows": rows(answer, served_stacks(stack, retriever=True), models),
    }


def spaced(titles: list[str], count: int) -> list[str]:
    """`count` titles, evenly spaced from the first to the last; one comes twice if there are fewer."""
    return [titles[row] for row in np.linspace(0, len(titles) - 1, count).astype(int)]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    order = load_params().order
    stack = Stack("hybrid", "fused", order.depth, order.weights.model_dump(), "en")
    titles = pq.read_table(paths.DOCUMENTS, columns=["title"])["title"].to_pylist()
    queries = pq.read_table(paths.QUERIES, columns=["query"])["query"].to_pylist()
    some = spaced(titles, DOCUMENTS)
    encoder = TextEncoder(paths.RANKER)
    tokens = encoder.encode_documents(some).lengths.mean() + len(encoder.encode_query(QUERY)) + 3
    with tempfile.TemporaryDirectory() as work:
        measured = measure(stack, paths.RANKER, paths.RETRIEVER, some, DEPTHS, Path(work))
    found = {
        "machine": machine()["machine"],
        "vespa": harness.NEWEST,
        "architecture": architecture(read_json(paths.BASE_MODEL / "config.json")),
        "documents": len(titles),
        "tokens_per_pair": float(tokens),
        "ms": searched(queries, titles, order.depth),
        **measured,
    }
    write_json(FIGURES, found)
    with atomic(TABLE) as file:
        file.write_text(markdown(found), "utf-8")
    print(markdown(found))


if __name__ == "__main__":
    main()

"""Measure a search's parts: processor milliseconds a query, whose sums are the costs of the stacks.

python -m bench.studies.stacks

Run `make repro` first, with a first stage that trains a retriever. It writes bench/results/stacks.md and stacks.json.
One thread, the sample's own queries and documents; the parts take turns in one process, which is then alike for all.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench.table import machine
from ranker.common.files import atomic, write_json
from ranker.common.table import read_documents
from ranker.contract.folder import MODEL_FILES, Model
from ranker.project import paths
from ranker.project.params import load_params
from ranker.search.search import Search
from ranker.serving.ranker import Ranker
from ranker.serving.retriever import Retriever
from ranker.stack.order import best
from ranker.stack.stack import Stack
from ranker.stacks.shipped import shipped_stack

FIGURES = Path("bench/results/stacks.json")
TABLE = FIGURES.with_suffix(".md")
ROUNDS = 5
PAIRS = 10  # of each query
Part = Callable[[str], object]  # one query's work


def sampled(texts: list[str]) -> list[str]:
    """PAIRS texts, evenly spaced from the first to the last."""
    return [texts[row] for row in np.linspace(0, len(texts) - 1, PAIRS).astype(int)]


def parts_of(search: Search, retrievers: dict[Model, Retriever], rankers: dict[Model, Ranker]) -> dict[str, Part]:
    """The parts by name; those of a model end in its name. `pair` does PAIRS pairs, one by one."""
    bm25, vectors = search.bm25, search.vectors
    assert bm25 is not None
    assert vectors is not None
    depth, some = search.stack.depth, sampled(search.texts())
    asked = np.ascontiguousarray(vectors[0])
    parts: dict[str, Part] = {
        "bm25": lambda query: best(bm25.scores_of(query), depth),
        "vectors": lambda _: best(vectors @ asked, depth),
    }
    for model, retriever in retrievers.items():
        parts[f"embed {model}"] = lambda query, retriever=retriever: retriever.embed_queries([query])  # type: ignore[misc]
    for model, ranker in rankers.items():
        documents = ranker.encode_documents(some)
        parts[f"pair {model}"] = lambda query, ranker=ranker, documents=documents: ranker.score_unbatched(  # type: ignore[misc]
            ranker.encode_query(query), documents
        )
    return parts


def measured(parts: dict[str, Part], queries: list[str], rounds: int = ROUNDS) -> dict[str, float]:
    """Processor milliseconds of each part: the mean over queries, the median over rounds; a pair's are of one pair."""
    turns: dict[str, list[float]] = {name: [] for name in parts}
    for turn in range(rounds + 1):
        for name, part in parts.items():
            start = time.process_time()
            for query in queries:
                part(query)
            if turn:  # the first one warms up
                turns[name].append(1000 * (time.process_time() - start) / len(queries))
    return {name: median(found) / (PAIRS if name.startswith("pair") else 1) for name, found in turns.items()}


def stack_rows(search: Search, queries: list[str], ms: dict[str, float], retriever: Model, ranker: Model) -> list[Any]:
    """A row for each stack: candidates a query, and the sum of its parts' milliseconds; sums of scores cost nothing."""
    found = []
    for first_stage in ("bm25", "dense", "hybrid"):
        stack: Stack = replace(search.stack, first_stage=first_stage, order="as_found")
        alone = Search(stack, search.retriever)
        alone.index(search.ids, search.fields, search.vectors)
        candidates = mean(len(alone.find(query, None)) for query in queries)
        lists = {"bm25": ms["bm25"], "dense": ms[f"embed {retriever}"] + ms["vectors"]}
        cost = sum(lists[name] for name in stack.found_by)
        found.append({"stack": first_stage, "candidates": candidates, "ms": cost})
        cost += candidates * ms[f"pair {ranker}"]
        found.append({"stack": f"{first_stage}, with the cross-encoder", "candidates": candidates, "ms": cost})
    return found


def markdown(facts: dict[str, Any], ms: dict[str, float], rows: list[Any]) -> str:
    """The page: facts of the measurement, the parts, and the stacks."""
    lines = [
        "# A search's parts",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "Processor milliseconds on one thread: means over the queries, medians over turns. A pair is scored by itself.",
        "",
        "| part | ms a query |",
        "| --- | ---: |",
        *(f"| {name} | {value:.2f} |" for name, value in ms.items()),
        "",
        "| stack | candidates a query | ms a query |",
        "| --- | ---: | ---: |",
        *("| {stack} | {candidates:.0f} | {ms:.1f} |".format(**row) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def measure(retriever: Path, ranker: Path, stack: Stack, queries: list[str], documents: Path) -> dict[str, Any]:
    """The figures of these folders' models; `stack` gives the depth and the language."""
    here = [model for model, file in MODEL_FILES.items() if (retriever / file).is_file()]
    retrievers: dict[Model, Retriever] = {model: Retriever(retriever, model, threads=1) for model in here}
    here = [model for model, file in MODEL_FILES.items() if (ranker / file).is_file()]
    rankers: dict[Model, Ranker] = {model: Ranker(ranker, model, threads=1) for model in here}
    served: dict[str, Model] = {"retriever": list(retrievers)[-1], "ranker": list(rankers)[-1]}  # int8, if it passed
    model = retrievers[served["retriever"]]
    search = Search(replace(stack, first_stage="hybrid", order="as_found"), model)
    ids, fields = zip(*read_documents(documents, model.document_fields), strict=True)
    search.index(ids, fields)
    ms = measured(parts_of(search, retrievers, rankers), queries)
    counted = rankers[served["ranker"]]
    tokens = counted.encode_documents(sampled(search.texts())).lengths.mean() + 3
    tokens += mean(len(counted.encode_query(query)) for query in queries)
    return {
        "documents": len(ids),
        "queries": len(queries),
        "depth": stack.depth,
        "tokens_per_pair": float(tokens),
        "model": served,
        "model_bytes": {
            "retriever": (retriever / MODEL_FILES[served["retriever"]]).stat().st_size,
            "ranker": (ranker / MODEL_FILES[served["ranker"]]).stat().st_size,
        },
        "ms": ms,
        "rows": stack_rows(search, queries, ms, served["retriever"], served["ranker"]),
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    queries = pq.read_table(paths.QUERIES, columns=["query"])["query"].to_pylist()
    found = measure(paths.RETRIEVER, paths.RANKER, shipped_stack(load_params()), queries, paths.DOCUMENTS)
    found = {"machine": machine()["machine"]} | found
    write_json(FIGURES, found)
    page = markdown(
        {name: value for name, value in found.items() if name not in ("ms", "rows")}, found["ms"], found["rows"]
    )
    with atomic(TABLE) as file:
        file.write_text(page, "utf-8")
    print(page)


if __name__ == "__main__":
    main()

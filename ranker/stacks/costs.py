"""Measured milliseconds of a query, and sizes. Their file lies outside the DAG, because times are not reproducible.

A model's time depends on its architecture and on tokens, so figures of one model hold for others of its architecture.
They are interpolated between the lengths that were measured; above the longest, the last two lengths' line goes on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

import numpy as np

from ranker.common.files import read_json
from ranker.contract.folder import Model
from ranker.contract.stacks import FOUND_BY, FirstStageName
from ranker.project import paths, tables
from ranker.project.params import Params

FIGURES = Path("bench/results/stacks.json")
MEASURE = "python -m bench.studies.stacks"  # writes it
ARCHITECTURE = ("num_hidden_layers", "hidden_size", "intermediate_size")  # keys of config.json


class Figures(TypedDict):
    """The keys of FIGURES that this module reads."""

    machine: str
    architecture: dict[str, int]
    ms: dict[str, float]  # of BM25, and of an exact search of vectors
    models: dict[str, dict[str, float]]  # "cross_encoder int8" -> tokens -> milliseconds of a pair, or of a text


@dataclass(frozen=True)
class Costs:
    """Processor milliseconds of texts like one's own, by the models that serve."""

    figures: Figures
    pair_tokens: float  # mean, with special tokens
    query_tokens: float  # as the retriever reads it
    cross_encoder: Model
    retriever: Model

    @property
    def pair(self) -> float:
        """A run of the cross-encoder."""
        return self._interpolated(f"cross_encoder {self.cross_encoder}", self.pair_tokens)

    @property
    def query(self) -> float:
        """A query's vector; the base model's costs what the retriever's does, because it has its architecture."""
        return self._interpolated(f"retriever {self.retriever}", self.query_tokens)

    def _interpolated(self, model: str, tokens: float) -> float:
        known = self.figures["models"][model]
        lengths, ms = [float(length) for length in known], list(known.values())
        beyond = max(tokens - lengths[-1], 0.0) * (ms[-1] - ms[-2]) / (lengths[-1] - lengths[-2])
        return float(np.interp(tokens, lengths, ms)) + beyond

    def stack(self, first_stage: FirstStageName, runs: float) -> float:
        """A query's lists of hits, and `runs` of the cross-encoder."""
        ms = self.figures["ms"]
        vectors = self.query + ms["vectors"]
        lists: dict[str, float] = {"bm25": ms["bm25"], "dense": vectors, "base": vectors, "run": 0.0}
        return sum(lists[name] for name in FOUND_BY[first_stage]) + runs * self.pair


def architecture(config: Mapping[str, object]) -> dict[str, int]:
    """The keys of a model's config.json that its time depends on."""
    return {name: int(cast(int, config[name])) for name in ARCHITECTURE}


def read_costs(params: Params, cross_encoder: Model, retriever: Model) -> Costs | None:
    """The costs of this project's texts; None if no model of the base model's architecture was measured."""
    sizes, longest = params.encode, params.retriever.max_length
    most_query, most_document, most_text = sizes.query_input_size - 2, sizes.doc_input_size - 1, longest - 2
    if not FIGURES.is_file():
        return None
    figures: Figures = read_json(FIGURES)
    if figures["architecture"] != architecture(read_json(paths.BASE_MODEL / "config.json")):
        return None
    queries, documents = (tables.read_tokens(file).lengths for file in (paths.SPLIT_QUERIES, paths.SPLIT_DOCUMENTS))
    pair = np.minimum(queries, most_query).mean() + np.minimum(documents, most_document).mean() + 3
    query = np.minimum(queries, most_text).mean() + 2
    return Costs(figures, float(pair), float(query), cross_encoder, retriever)


def misfits(costs: Costs | None, lists: int, depth: int, latency_ms: int, timeout_ms: int) -> Iterator[str]:
    """A line for each time limit that ordering `depth` hits of each list exceeds, or one on missing measurements."""
    if costs is None:
        yield f"{FIGURES}: none of this base model's architecture; {MEASURE} measures what a query takes"
        return
    ms = lists * depth * costs.pair
    each = f"{costs.pair:.2f} ms a pair of {costs.pair_tokens:.0f} tokens, by figures of {costs.figures['machine']}"
    for name, bound in (("latency_ms", latency_ms), ("timeout_ms", timeout_ms)):
        if ms > bound:
            fits = int(bound / costs.pair / lists)
            measured = f"{lists * depth} hits take {ms:.0f} ms ({each})"
            yield f"vespa.{name}: {bound} is too little: {measured}; order.depth: {fits} would fit"

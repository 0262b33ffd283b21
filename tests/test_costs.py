"""ranker.stacks.costs: a stack's milliseconds are the sum of its parts, interpolated between measured lengths."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ranker.common.files import write_json
from ranker.project import paths
from ranker.project.tables import pack, write_texts
from ranker.report.stacks import with_costs
from ranker.stacks.costs import FIGURES, Costs, Figures, misfits, read_costs
from tests.factories import PARAMS

MEASURED: Figures = {
    "machine": "two cores",
    "architecture": {"num_hidden_layers": 6, "hidden_size": 384, "intermediate_size": 1536},
    "ms": {"bm25": 0.5, "vectors": 0.25},
    "models": {
        "cross_encoder int8": {"16": 2.0, "32": 4.0, "128": 10.0},
        "retriever fp32": {"8": 1.0, "16": 3.0},
        "retriever int8": {"8": 0.5, "16": 1.5},
    },
}
COSTS = Costs(MEASURED, 24, 12, "int8", "fp32")
TABLE: Any = {
    "rows": {
        "bm25": {"first_stage": "bm25", "cross_encoder_runs": 0.0},
        "base": {"first_stage": "base", "cross_encoder_runs": 0.0},
        "hybrid+fused": {"first_stage": "hybrid", "cross_encoder_runs": 150.0},
        "run": {"first_stage": "run", "cross_encoder_runs": 0.0},
    }
}
MEASURE = "python -m bench.studies.stacks measures what a query takes"


@pytest.mark.parametrize(("tokens", "ms"), [(16, 2.0), (24, 3.0), (80, 7.0), (128, 10.0), (160, 12.0), (4, 2.0)])
def test_a_pair_is_interpolated_by_its_tokens(tokens: float, ms: float) -> None:
    assert Costs(MEASURED, tokens, 8, "int8", "fp32").pair == ms


def test_a_stack_costs_the_sum_of_its_parts() -> None:
    assert (COSTS.pair, COSTS.query) == (3.0, 2.0)
    ms = {name: row["ms"] for name, row in with_costs(TABLE, COSTS)["rows"].items()}
    assert ms == {"bm25": 0.5, "base": 2.25, "hybrid+fused": 0.5 + 2.25 + 450, "run": 0}
    assert with_costs(TABLE, None) == TABLE


def test_misfits_say_which_depth_would_fit() -> None:
    """By lists, depth of each, and the milliseconds of latency and timeout."""
    each = "3.00 ms a pair of 24 tokens, by figures of two cores"
    assert list(misfits(COSTS, 1, 100, 300, 5000)) == []
    assert list(misfits(COSTS, 2, 100, 300, 500)) == [
        f"vespa.latency_ms: 300 is too little: 200 hits take 600 ms ({each}); order.depth: 50 would fit",
        f"vespa.timeout_ms: 500 is too little: 200 hits take 600 ms ({each}); order.depth: 83 would fit",
    ]
    none = f"bench/results/stacks.json: none of this base model's architecture; {MEASURE}"
    assert list(misfits(None, 1, 100, 1, 1)) == [none]


def test_figures_of_another_architecture_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_costs(PARAMS, "int8", "fp32") is None
    write_json(FIGURES, MEASURED)
    write_json(Path("data/base_model/config.json"), MEASURED["architecture"] | {"num_hidden_layers": 12})
    assert read_costs(PARAMS, "int8", "fp32") is None


def test_tokens_are_means_of_ones_own_texts_as_each_model_cuts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queries of 4 and 40 tokens, documents of 10 and 200; a pair has room for 30 and 95, and three special tokens."""
    monkeypatch.chdir(tmp_path)
    write_json(FIGURES, MEASURED)
    write_json(Path("data/base_model/config.json"), MEASURED["architecture"] | {"vocab_size": 7})
    queries = pd.DataFrame({"query_id": ["a", "b"], "query": ["x", "y"]})
    documents = pd.DataFrame({"document_id": ["a", "b"], "title": ["x", "y"], "text": ["x", "y"]})
    for path, texts, lengths in (
        (paths.SPLIT_QUERIES, queries, (4, 40)),
        (paths.SPLIT_DOCUMENTS, documents, (10, 200)),
    ):
        write_texts(path, texts, pack(["a", "b"], [[5] * length for length in lengths]))
    costs = read_costs(PARAMS, "int8", "fp32")
    assert costs is not None
    assert (costs.pair_tokens, costs.query_tokens) == ((4 + 30 + 10 + 95) / 2 + 3, (4 + 40) / 2 + 2)
    assert (costs.cross_encoder, costs.retriever) == ("int8", "fp32")

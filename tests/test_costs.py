"""ranker.stacks.costs: a stack's milliseconds are the sum of its parts, interpolated between measured lengths."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ranker.common.files import write_json
from ranker.contract.folder import Model
from ranker.project import paths
from ranker.project.params import check_params
from ranker.project.tables import pack, write_table, write_texts
from ranker.report.files import new_version, read_last_release
from ranker.report.stacks import with_costs
from ranker.stack.stack import as_stack
from ranker.stacks.costs import FIGURES, Costs, Figures, misfits, model_bytes, read_costs
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
CONTENT: dict[str, Any] = PARAMS.model_dump(mode="json")
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


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries of 4 and 40 tokens, documents of 10 and 200, and figures of their base model's architecture."""
    monkeypatch.chdir(tmp_path)
    write_json(FIGURES, MEASURED)
    write_json(Path("data/base_model/config.json"), MEASURED["architecture"] | {"vocab_size": 7})
    queries = pd.DataFrame({"query_id": ["a", "b"], "query": ["x", "y"]})
    documents = pd.DataFrame({"document_id": ["a", "b"], "title": ["x", "y"], "text": ["x", "y"]})
    for path, table, lengths in (
        (paths.SPLIT_QUERIES, queries, (4, 40)),
        (paths.SPLIT_DOCUMENTS, documents, (10, 200)),
    ):
        write_texts(path, table, pack(["a", "b"], [[5] * length for length in lengths]))


@pytest.mark.usefixtures("texts")
def test_tokens_are_means_of_ones_own_texts_as_each_model_cuts_them() -> None:
    """A pair has room for 30 tokens and 95, and for three special tokens."""
    costs = read_costs(PARAMS, "int8", "fp32")
    assert costs is not None
    assert (costs.pair_tokens, costs.query_tokens) == ((4 + 30 + 10 + 95) / 2 + 3, (4 + 40) / 2 + 2)
    assert (costs.cross_encoder, costs.retriever) == ("int8", "fp32")


def test_sizes_are_those_of_the_files_that_the_stack_runs(tmp_path: Path) -> None:
    """The retriever has no int8 file, so its fp32 one is served."""
    for name, size in (("ranker/model.onnx", 40), ("ranker/model.int8.onnx", 10), ("retriever/model.onnx", 300)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    models: dict[str, Model] = {"cross_encoder": "int8", "retriever": "int8"}
    weights = {"cross_encoder": 0.0, "cosine": 1.0, "bm25": 1.0}
    for first_stage, order, size in (
        *(("bm25", "as_found", 0), ("bm25", "cross_encoder", 10), ("dense", "as_found", 300)),
        *(("hybrid", "cross_encoder", 310), ("hybrid", "fused", 300), ("base_hybrid", "as_found", 0)),
    ):
        stack = as_stack({"first_stage": first_stage, "order": order, "depth": 9, "weights": weights, "language": "en"})
        assert model_bytes(tmp_path, stack, models) == size


WEIGHTS = {"cross_encoder": 1.0, "cosine": 0.0, "bm25": 0.0}
ABOUT: dict[str, Any] = {
    "against": "shop-ranker@v0.0.9",
    "version": "0.0.9",
    "stack": {"first_stage": "bm25", "order": "cross_encoder", "depth": 9, "weights": WEIGHTS, "language": "en"},
    "models": {"cross_encoder": "int8", "retriever": "fp32"},
    "bytes": 10,
    "reason": "it is new",
    "collection": {"queries": 2},
    "data": {"data/split/pairs.parquet": "ab"},
    "params": {
        "fetch.base_sha256": PARAMS.fetch.base_sha256,
        "join.document_fields": PARAMS.join.document_fields,
        "encode.doc_input_size": 16,
        "evaluate.against": "",
    },
    "asked": ["a", "b"],
    "why": None,
}


@pytest.mark.usefixtures("texts")
def test_a_release_costs_what_it_reads_and_runs() -> None:
    """It ordered 3 hits of 2 queries, by int8, of documents cut at 15 tokens."""
    hits = pd.DataFrame({"query_id": list("aab"), "document_id": list("xyx"), "score": [2.0, 1.0, 1.0]})
    write_table(paths.RELEASE_HITS, hits)
    write_json(paths.RELEASE_ABOUT, ABOUT)
    last = read_last_release(PARAMS)
    assert last is not None
    tokens = (4 + 30 + 10 + 15) / 2 + 3
    assert last.ms == pytest.approx(0.5 + 3 / 2 * (4 + (tokens - 32) / (128 - 32) * (10 - 4)))
    assert (last.name, last.version, last.bytes, last.reason) == ("shop-ranker@v0.0.9", "0.0.9", 10, "it is new")
    assert set(last.params) == {"fetch.base_sha256", "join.document_fields", "encode.doc_input_size"}


@pytest.mark.parametrize(
    "other",
    [
        {"params": ABOUT["params"] | {"fetch.base_sha256": "ef" * 32}},
        {"params": ABOUT["params"] | {"join.document_fields": ["title", "abstract"]}},
        {"asked": [], "why": "its models read the field abstract"},
    ],
)
@pytest.mark.usefixtures("texts")
def test_the_milliseconds_of_a_release_that_differs_too_much_are_not_known(other: dict[str, Any]) -> None:
    write_table(paths.RELEASE_HITS, pd.DataFrame({"query_id": ["a"], "document_id": ["x"], "score": [1.0]}))
    write_json(paths.RELEASE_ABOUT, ABOUT | other)
    last = read_last_release(PARAMS)
    assert last is not None
    assert last.ms is None


def test_no_release_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_json(paths.RELEASE_ABOUT, {})
    assert read_last_release(PARAMS) is None


def test_params_of_a_version_are_those_that_a_release_names() -> None:
    """The manifests' and the stack's: none of an idle retriever, and not which of its models serves."""
    trained, idle = (
        new_version(
            check_params(CONTENT | {"first_stage": CONTENT["first_stage"] | {"retriever": name}}), {}, {}
        ).params
        for name in ("hybrid", "bm25")
    )
    assert {name.split(".")[0] for name in trained} == {
        *("fetch", "join", "encode", "split", "retriever", "first_stage", "order", "negatives", "train")
    }
    assert "retriever.model" not in trained
    assert trained["order.weights.bm25"] == CONTENT["order"]["weights"]["bm25"]
    assert trained.keys() - idle.keys() == {name for name in trained if name.startswith("retriever.")}

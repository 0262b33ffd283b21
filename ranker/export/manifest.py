"""The manifest of an exported model: digests of its inputs and files. Without dates, equal inputs give equal bytes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from ranker.common.files import sha256
from ranker.contract.document import query_key
from ranker.contract.folder import MODEL_FILES, MadeOf, Manifest
from ranker.export.int8 import Trial
from ranker.export.onnx import describe
from ranker.model.hardware import chip
from ranker.project import paths, tables
from ranker.project.params import Params
from ranker.project.sides import collection, held_out_rows

# Sections of params.yaml that the ranker does not depend on
NOT_EXPORTS = {"crossval", "evaluate", "order", "retriever", "vespa"}
# Sections of params.yaml that the retriever depends on, but for the exported model that searches
RETRIEVERS = {"fetch", "join", "split", "retriever", "export"}
SEARCHES = {"retriever": {"model"}}


@dataclass(frozen=True)
class Measured:
    """The exported models' measures on the held-out side."""

    counts: Mapping[str, int]  # of its pairs, or of its queries and of the documents that they search
    exact: Mapping[str, float | None]  # the fp32 model's; None without a held-out side
    differences: dict[str, float]  # from PyTorch: ranker.export.onnx.largest_differences
    tried: list[Trial]  # the int8 schemes, on the training side: ranker.export.int8.try_schemes
    int8: Mapping[str, object]  # the scheme that passed, on the held-out side


def manifest(
    folder: Path, params: Params, used: Mapping[str, object], measured: Measured, made_of: MadeOf, outputs: str
) -> Manifest:
    """manifest.json's content.

    `used` are the params that the model depends on, `made_of` digests of data, base model and code; `outputs` is the
    name of that which was compared with PyTorch.
    """
    chosen, pairs = measured.tried[-1], tables.read_table(paths.SPLIT_PAIRS)
    present = {name: folder / file for name, file in MODEL_FILES.items() if (folder / file).is_file()}
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {
        "name": params.export.name,
        "version": params.export.version,
        "files": {file.relative_to(folder).as_posix(): sha256(file) for file in files},
        "onnx": {name: describe(file) for name, file in present.items()},
        "fp32": {**measured.exact, f"largest_{outputs}_difference_from_pytorch": measured.differences},
        "int8": {
            "chosen": chosen["scheme"] if chosen["passed"] else None,
            "chip": chip(),
            "held out": measured.int8,
            "tried": measured.tried,
        },
        "measured_on": {"held_out_fold": params.split.held_out, **measured.counts},
        "collection": collection(pairs),
        "trained_on": training_queries(pairs, params.split.held_out),
        "made_of": {"params": hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest(), **made_of},
        "made_with": {package: version(package) for package in ("torch", "transformers", "onnx", "onnxruntime")},
        "base_model": params.fetch.base_model,
        "params": dict(used),
    }


def training_queries(pairs: pd.DataFrame, held_out: int | str) -> list[str]:
    """The keys of the queries that the model was trained on, sorted."""
    training, _ = held_out_rows(pairs, held_out)
    queries = tables.read_texts(paths.SPLIT_QUERIES)
    return sorted(
        {query_key(text) for text in queries.loc[queries["query_id"].isin(pairs["query_id"].iloc[training]), "query"]}
    )


def side_by_side(folder: Path, measured: Measured, outputs: str) -> dict[str, dict[str, object]]:
    """Metrics of both models. int8's are of the held-out side or, if no scheme passed, the last scheme's."""
    mib = {
        name: (folder / file).stat().st_size / 2**20 if (folder / file).is_file() else 0.0
        for name, file in MODEL_FILES.items()
    }
    last = {**{name: value for name, value in measured.tried[-1].items() if name != "left_out"}, **measured.int8}
    difference = {f"largest {outputs} difference from PyTorch": max(measured.differences.values())}
    return {"fp32": {"MiB": mib["fp32"], **measured.exact, **difference}, "int8": {"MiB": mib["int8"], **last}}

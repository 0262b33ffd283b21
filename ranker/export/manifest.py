"""The export's manifest: digests of its inputs and files. It has no dates, so equal inputs give equal bytes."""

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ranker.common.files import sha256
from ranker.contract.folder import MODEL_FILES, MadeOf, Manifest
from ranker.export.gate import Agreement, Trial
from ranker.export.onnx import describe
from ranker.model.hardware import chip
from ranker.project.params import Params

NOT_EXPORTS = {"crossval", "vespa"}  # sections of params.yaml that the models do not depend on


@dataclass(frozen=True)
class Measured:
    """The exported models' measures, over `pairs` held-out pairs."""

    pairs: int
    ndcg: float | None  # nDCG@10 of the fp32 model; None without held-out pairs
    differences: dict[str, float]  # from PyTorch: ranker.export.onnx.compare
    tried: list[Trial]  # the int8 schemes, on training-side pairs: ranker.export.gate.gate
    int8: dict[str, Agreement]  # the scheme that passed, on held-out pairs: ranker.export.gate.compare_ways


def manifest(folder: Path, params: Params, measured: Measured, made_of: MadeOf) -> Manifest:
    """manifest.json's content; `made_of` are digests of data, base model and code."""
    used, chosen = params.model_dump(exclude=NOT_EXPORTS), measured.tried[-1]
    present = {name: folder / file for name, file in MODEL_FILES.items() if (folder / file).is_file()}
    return {
        "name": params.export.name,
        "version": params.export.version,
        "files": {file.name: sha256(file) for file in sorted(folder.iterdir())},
        "onnx": {name: describe(file) for name, file in present.items()},
        "fp32": {"nDCG@10": measured.ndcg, "largest_logit_difference_from_pytorch": measured.differences},
        "int8": {
            "chosen": chosen["scheme"] if chosen["passed"] else None,
            "chip": chip(),
            "held out": measured.int8,
            "tried": measured.tried,
        },
        "measured_on": {"held_out_fold": params.split.held_out, "pairs": measured.pairs},
        "made_of": {"params": hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest(), **made_of},
        "made_with": {package: version(package) for package in ("torch", "transformers", "onnx", "onnxruntime")},
        "base_model": params.fetch.base_model,
        "params": used,
    }


def side_by_side(folder: Path, measured: Measured) -> dict[str, dict[str, object]]:
    """Metrics of both models. int8's are on held-out pairs or, if no scheme passed, the last scheme's."""
    mib = {
        name: (folder / file).stat().st_size / 2**20 if (folder / file).is_file() else 0.0
        for name, file in MODEL_FILES.items()
    }
    last = {**{name: value for name, value in measured.tried[-1].items() if name != "left_out"}, **measured.int8}
    difference = max(measured.differences.values())
    exact = {"nDCG@10": measured.ndcg, "largest logit difference from PyTorch": difference}
    return {"fp32": {"MiB": mib["fp32"], **exact}, "int8": {"MiB": mib["int8"], **last}}

"""Export the fine-tuned model to ONNX, exact and in eight bits, with tokenizer, contract and manifest, and prove both.

python -m stages.export
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ranker.common.errors import run_stage
from ranker.common.files import atomic, code_digest, read_json, sha256, write_json
from ranker.contract.folder import CONTRACT_FILE, MANIFEST_FILE, MODEL_FILES, TOKENIZER_FILE
from ranker.contract.layout import contract
from ranker.export.gate import HeldOut, gate, in_batches
from ranker.export.golden import GOLDEN_FILE, golden
from ranker.export.int8 import prepare
from ranker.export.manifest import Measured, manifest, measured_fold, side_by_side
from ranker.export.onnx import compare, export_onnx
from ranker.model.cross_encoder import TOKENIZER_FILES, CrossEncoder, load_checkpoint
from ranker.model.dataset import load_pairs, project_layout
from ranker.project import paths
from ranker.project.params import Params, load_params
from ranker.project.versions import say_other_versions
from ranker.serving.ranker import Ranker


def export_models(model: CrossEncoder, folder: Path, params: Params) -> Measured:
    """Write both models into `folder`, which has the tokenizer and the contract; measure them on held-out pairs.

    Where none are held out, on those of the first fold: what ONNX and rounding change shows on any pairs.
    """
    pairs, encoded = load_pairs(params, paths.CHECKPOINT)
    rows = np.flatnonzero(pairs["fold"] == measured_fold(params))
    pairs, encoded = pairs.iloc[rows].reset_index(drop=True), encoded.take(rows)
    export_onnx(model, folder / MODEL_FILES["fp32"], params.export)
    ranker = Ranker(folder, trusted=True)
    differences = compare(model, ranker, encoded, params.train.eval_batch_tokens)
    held_out = HeldOut(pairs, encoded, in_batches(ranker, encoded))
    tried = gate(model, prepare(folder / MODEL_FILES["fp32"], model.config), folder, held_out, params.export)
    return Measured(len(pairs), held_out.ndcg(held_out.logits), differences, tried)


def made_of(params: Params) -> dict[str, Any]:
    """Digests of data, base model and code: that of this stage's deps, which are those of all stages before it too."""
    deps = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]["export"]["deps"]
    trained = read_json(paths.CHECKPOINT / paths.TRAINING_FILE)
    return {
        "data": trained.pop("data"),
        "base_model": params.fetch.base_model_sha256,
        "code": code_digest(*(Path(dep) for dep in deps if dep.startswith(("ranker/", "stages/")))),
        "trained_on": trained,
    }


def main() -> None:
    params = load_params()
    say_other_versions("export")
    model = load_checkpoint(paths.CHECKPOINT)
    with atomic(paths.RANKER) as partial:
        partial.mkdir()
        for name in TOKENIZER_FILES:
            shutil.copyfile(paths.CHECKPOINT / name, partial / name)
        positions = model.config.max_position_embeddings
        write_json(
            partial / CONTRACT_FILE,
            contract(project_layout(params, partial), sha256(partial / TOKENIZER_FILE), positions),
        )
        measured = export_models(model, partial, params)
        write_json(partial / GOLDEN_FILE, golden(Ranker(partial, trusted=True)))
        write_json(partial / MANIFEST_FILE, manifest(partial, params, measured, made_of(params)))
    write_json(paths.EXPORT_REPORT, side_by_side(paths.RANKER, measured))
    side = "training" if params.split.held_out == "none" else "held-out"
    print(
        f"export: {params.export.name} {params.export.version}: ONNX and PyTorch differ by at most "
        f"{max(measured.differences.values()):.1e}; on {measured.pairs} {side} pairs, nDCG@10 {measured.ndcg:.4f}"
    )
    for tried in measured.tried:
        found = ", ".join(f"{name} {value:.4f}" for name, value in tried["one by one"].items())
        print(f"export: int8 by {tried['scheme']} {'passes' if tried['passed'] else 'fails'} the gate: {found}")


if __name__ == "__main__":
    run_stage("export", main)

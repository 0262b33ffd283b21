"""Export the fine-tuned model to ONNX in fp32 and int8, with tokenizer, contract and manifest, and check both.

python -m stages.export
"""

import shutil
from pathlib import Path

from ranker.common.errors import run_stage
from ranker.common.files import atomic, code_digest, read_json, sha256, write_json
from ranker.contract.batching import TOKENS
from ranker.contract.folder import CONTRACT_FILE, MANIFEST_FILE, MODEL_FILES, TOKENIZER_FILE, MadeOf
from ranker.contract.layout import contract
from ranker.export.gate import compare_ways, gate, judged, sampled_rows
from ranker.export.golden import GOLDEN_FILE, golden
from ranker.export.int8 import prepare
from ranker.export.manifest import NOT_EXPORTS, Measured, manifest, side_by_side
from ranker.export.onnx import compare, export_onnx
from ranker.metrics.ranking import MAIN
from ranker.model.cross_encoder import TOKENIZER_FILES, CrossEncoder, load_checkpoint
from ranker.model.dataset import load_pairs, project_layout
from ranker.project import paths
from ranker.project.params import Params, load_params
from ranker.project.preflight import say_other_versions
from ranker.project.sides import held_out_rows
from ranker.serving.ranker import Ranker

# The code that makes the ONNX files: this stage's code deps in dvc.yaml.
WINGS = ("common", "contract", "export", "metrics", "model", "project", "serving")
CODE = (*(Path("ranker") / wing for wing in WINGS), Path("stages/export.py"))


def export_models(model: CrossEncoder, folder: Path, params: Params) -> Measured:
    """Write both models into `folder`, which has the tokenizer and the contract; measure them on held-out pairs.

    Training-side pairs choose the int8 scheme. Without held-out pairs they are also those that compare ONNX with
    PyTorch, and no measures are taken.
    """
    pairs, encoded = load_pairs(params, paths.CHECKPOINT)
    training, held = held_out_rows(pairs, params.split.held_out)
    drawn = training[sampled_rows(pairs.iloc[training], params.split.seed)]
    export_onnx(model, folder / MODEL_FILES["fp32"], params.export)
    exact = Ranker(folder, trusted=True)
    compared = encoded.take(held if len(held) else drawn)
    differences = compare(model, exact, compared, TOKENS)
    prepared = prepare(folder / MODEL_FILES["fp32"], model.config)
    tried = gate(model, prepared, folder, judged(exact, pairs, encoded, drawn), params.export)
    if not len(held):
        return Measured({"pairs": 0}, {MAIN: None}, differences, tried, {})
    held_out, int8 = judged(exact, pairs, encoded, held), {}
    if tried[-1]["passed"]:
        ways = {"in batches": held_out, "one by one": held_out.sample(params.split.seed)}
        int8 = compare_ways(Ranker(folder, "int8", trusted=True), ways)
    ndcg = {MAIN: float(held_out.ndcg(held_out.exact).mean())}
    return Measured({"pairs": len(held)}, ndcg, differences, tried, int8)


def made_of(params: Params) -> MadeOf:
    """Digests of data, base model and code; stage train recorded its own."""
    trained = read_json(paths.CHECKPOINT / paths.TRAINING_FILE)
    return {
        "data": trained.pop("data"),
        "base_model": params.fetch.base_sha256,
        "code": {"train": trained.pop("code"), "export": code_digest(*CODE)},
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
        layout, positions = project_layout(params, partial), model.config.max_position_embeddings
        tokenizer = sha256(partial / TOKENIZER_FILE)
        write_json(partial / CONTRACT_FILE, contract(layout, tokenizer, positions, params.join.document_fields))
        measured = export_models(model, partial, params)
        write_json(partial / GOLDEN_FILE, golden(Ranker(partial, trusted=True)))
        used = params.model_dump(exclude=NOT_EXPORTS)
        write_json(partial / MANIFEST_FILE, manifest(partial, params, used, measured, made_of(params), "logit"))
    write_json(paths.EXPORT_REPORT, side_by_side(paths.RANKER, measured, "logit"))
    held_out = "no held-out pairs"
    if (found := measured.exact[MAIN]) is not None:
        held_out = f"on {measured.counts['pairs']} held-out pairs, {MAIN} {found:.4f}"
    print(
        f"export: {params.export.name} {params.export.version}: ONNX and PyTorch differ by at most "
        f"{max(measured.differences.values()):.1e}; {held_out}"
    )
    for tried in measured.tried:
        outcome = "passes" if tried["passed"] else "fails"
        print(f"export: int8 by {tried['scheme']} {outcome} the gate")
    print(f"export: {paths.EXPORT_REPORT} has the agreement of int8 and fp32")


if __name__ == "__main__":
    run_stage("export", main)

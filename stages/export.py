"""Export the fine-tuned model to ONNX, exact and in eight bits, with tokenizer, contract and manifest, and prove both.

python -m stages.export
"""

import shutil
from pathlib import Path
from typing import Any

import yaml
from transformers import BertForSequenceClassification

from ranker import tables
from ranker.encoded_pairs import encode_pairs
from ranker.encoding import Layout, contract, load_layout
from ranker.errors import run_stage
from ranker.files import atomic, sha256, write_json
from ranker.folds import held_out_pairs
from ranker.gate import HeldOut, gate, in_batches
from ranker.golden import GOLDEN_FILE, golden
from ranker.manifest import Measured, code_digest, manifest, side_by_side
from ranker.model import TOKENIZER_FILES, load_checkpoint
from ranker.onnx_export import compare, export_onnx
from ranker.params import Params, load_params
from ranker.quantisation import prepare
from ranker.serving import CONTRACT_FILE, MANIFEST_FILE, MODEL_FILES, Ranker


def export_models(model: BertForSequenceClassification, layout: Layout, folder: Path, params: Params) -> Measured:
    """Write both models into `folder`, which has the tokenizer and the contract; measure them on held-out pairs."""
    _, pairs = held_out_pairs(tables.read_table(tables.PAIRS), tables.read_table(tables.FOLDS), params.split.held_out)
    tokens = tables.read_tokens(tables.ENCODED_QUERIES), tables.read_tokens(tables.ENCODED_DOCUMENTS)
    encoded = encode_pairs(pairs, *tokens, layout)
    export_onnx(model, folder / MODEL_FILES["fp32"], params.export)
    ranker = Ranker(folder, trusted=True)
    differences = compare(model, ranker, encoded, params.train.eval_batch_tokens)
    held_out = HeldOut(pairs, encoded, in_batches(ranker, encoded), params.join.relevant_from)
    tried = gate(model, prepare(folder / MODEL_FILES["fp32"], model.config), folder, held_out, params.export)
    return Measured(len(pairs), held_out.ndcg(held_out.logits), differences, tried)


def made_of() -> dict[str, Any]:
    """Digests of data, base model and code: that of this stage's deps, which are those of all stages before it too."""
    deps = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]["export"]["deps"]
    return {
        "data": {file.name: sha256(file) for file in (tables.RAW_LABELLED_DATA, tables.RAW_JUDGEMENTS)},
        "base_model": sha256(tables.BASE_MODEL / "model.safetensors"),
        "code": code_digest(Path(dep) for dep in deps if dep.endswith(".py")),
    }


def main() -> None:
    params = load_params()
    model = load_checkpoint(tables.CHECKPOINT)
    with atomic(tables.RANKER) as partial:
        partial.mkdir()
        for name in TOKENIZER_FILES:
            shutil.copyfile(tables.CHECKPOINT / name, partial / name)
        layout = load_layout(partial, params.encode.query_input_size, params.encode.doc_input_size)
        write_json(partial / CONTRACT_FILE, contract(layout, sha256(partial / "tokenizer.json")))
        measured = export_models(model, layout, partial, params)
        write_json(partial / GOLDEN_FILE, golden(Ranker(partial, trusted=True)))
        write_json(partial / MANIFEST_FILE, manifest(partial, params, measured, made_of()))
    write_json(tables.EXPORT_REPORT, side_by_side(tables.RANKER, measured))
    print(
        f"export: {params.export.name} {params.export.version}: ONNX and PyTorch differ by at most "
        f"{max(measured.differences.values()):.1e}; on {measured.pairs} held-out pairs, nDCG@10 {measured.ndcg:.4f}"
    )
    for tried in measured.tried:
        found = ", ".join(f"{name} {value:.4f}" for name, value in tried["one by one"].items())
        print(f"export: int8 by {tried['scheme']} {'passes' if tried['passed'] else 'fails'} the gate: {found}")


if __name__ == "__main__":
    run_stage("export", main)

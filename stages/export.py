"""Export the fine-tuned model to one ONNX file with its tokenizer, contract and manifest, and prove it equals PyTorch.

python -m stages.export
"""

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ranker import tables
from ranker.encoded_pairs import encode_pairs
from ranker.encoding import contract, load_layout
from ranker.errors import run_stage
from ranker.files import atomic, sha256, write_json
from ranker.folds import held_out_pairs
from ranker.model import TOKENIZER_FILES, load_checkpoint
from ranker.onnx_export import compare, describe, export_onnx
from ranker.params import Params, load_params
from ranker.serving import CONTRACT_FILE, MODEL_FILE, OnnxRanker


def manifest(folder: Path, params: Params, differences: dict[str, float]) -> dict[str, Any]:
    """What was exported, from what and with what: digests instead of dates, so that equal inputs give equal bytes."""
    return {
        "name": params.export.name,
        "version": params.export.version,
        "files": {file.name: sha256(file) for file in sorted(folder.iterdir())},
        "onnx": describe(folder / MODEL_FILE),
        "largest_logit_difference_from_pytorch": differences,
        "params": params.model_dump(exclude={"crossval"}),
        "data": {file.name: sha256(file) for file in (tables.RAW_LABELLED_DATA, tables.RAW_JUDGEMENTS)},
        "base_model": {"source": params.fetch.base_model, "sha256": sha256(tables.BASE_MODEL / "model.safetensors")},
        "made_with": {package: version(package) for package in ("torch", "transformers", "onnx", "onnxruntime")},
    }


def main() -> None:
    params = load_params()
    layout = load_layout(tables.CHECKPOINT, params.encode.query_input_size, params.encode.doc_input_size)
    _, pairs = held_out_pairs(tables.read_table(tables.PAIRS), tables.read_table(tables.FOLDS), params.split.held_out)
    held_out = encode_pairs(
        pairs, tables.read_tokens(tables.ENCODED_QUERIES), tables.read_tokens(tables.ENCODED_DOCUMENTS), layout
    )
    model = load_checkpoint(tables.CHECKPOINT)
    with atomic(tables.RANKER) as partial:
        partial.mkdir()
        for name in TOKENIZER_FILES:
            shutil.copyfile(tables.CHECKPOINT / name, partial / name)
        write_json(partial / CONTRACT_FILE, contract(layout, sha256(partial / "tokenizer.json")))
        metadata = {"name": params.export.name, "version": params.export.version}
        export_onnx(model, partial / MODEL_FILE, metadata, params.export.opset)
        differences = compare(model, OnnxRanker(partial), held_out, params.train.eval_batch_tokens)
        write_json(partial / "manifest.json", manifest(partial, params, differences))
    report = {
        "largest logit difference": max(differences.values()),
        "MiB": (tables.RANKER / MODEL_FILE).stat().st_size / 2**20,
    }
    write_json(tables.EXPORT_REPORT, report)
    print(
        f"export: {params.export.name} {params.export.version}: {report['MiB']:.1f} MiB, ONNX and PyTorch differ by at "
        f"most {report['largest logit difference']:.1e} over {len(held_out)} held-out pairs"
    )


if __name__ == "__main__":
    run_stage("export", main)

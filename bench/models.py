"""The exported models that several jobs score with."""

from pathlib import Path

from transformers import BertForSequenceClassification

from ranker.common.files import sha256, write_json
from ranker.contract.folder import CONTRACT_FILE, MANIFEST_FILE, MODEL_FILES
from ranker.contract.layout import contract
from ranker.contract.tokens import load_layout
from ranker.export.int8 import SCHEMES, prepare, quantise
from ranker.export.onnx import export_onnx
from ranker.model.cross_encoder import TOKENIZER_FILES
from ranker.project.params import load_params


def export(model: BertForSequenceClassification, base_model: Path, folder: Path, sizes: tuple[int, int]) -> None:
    """Write what serving needs to `folder`, as stage export writes it, with the first eight-bit scheme."""
    folder.mkdir(parents=True)
    for name in TOKENIZER_FILES:
        (folder / name).write_bytes((base_model / name).read_bytes())
    write_json(folder / CONTRACT_FILE, contract(load_layout(base_model, *sizes), ""))
    params = load_params().export
    export_onnx(model, folder / MODEL_FILES["fp32"], params)
    prepared = prepare(folder / MODEL_FILES["fp32"], model.config)
    quantise(prepared, SCHEMES[0], folder / MODEL_FILES["int8"], params)
    write_json(folder / MANIFEST_FILE, {"files": {file.name: sha256(file) for file in folder.iterdir()}})

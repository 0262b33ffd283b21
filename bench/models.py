"""The exported models that several jobs score with."""

from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import BertForSequenceClassification

from ranker.encoding import contract, load_layout
from ranker.files import write_json
from ranker.onnx_export import export_onnx


def export(model: BertForSequenceClassification, base_model: Path, folder: Path, sizes: tuple[int, int]) -> None:
    """Write `ranker`, as stage export writes a model, and `int8`, the same with weights of eight bits per channel."""
    exact, rounded = folder / "ranker", folder / "int8"
    for place in (exact, rounded):
        place.mkdir(parents=True)
        write_json(place / "encoding.json", contract(load_layout(base_model, *sizes), ""))
    export_onnx(model, exact / "model.onnx", {}, 17)
    quantize_dynamic(exact / "model.onnx", rounded / "model.onnx", per_channel=True, weight_type=QuantType.QInt8)

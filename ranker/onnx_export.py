"""Cross-encoder -> one ONNX file, and the proof that it computes what PyTorch computed."""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch.export import Dim
from transformers import BertForSequenceClassification

from ranker.batching import scoring_batches
from ranker.encoded_pairs import EncodedPairs
from ranker.encoding import INPUTS, OUTPUT
from ranker.errors import InputError
from ranker.serving import OnnxRanker

TOLERANCE = 1e-4  # largest logit difference, fp32 on both sides; about 1e-6 is usual
FEW = 64  # pairs that the small batches are compared on; the large ones see every held-out pair


def export_onnx(model: BertForSequenceClassification, path: Path, metadata: dict[str, str], opset: int) -> None:
    """Write `model` to `path`: inputs INPUTS, int64 [batch, sequence], both free; output OUTPUT, float32 [batch, 2].

    Inputs are bound by name. The tutorial passed them by position, types before mask, to a `forward` that takes them
    the other way round, and so swapped them in its graph. One file: Vespa takes no external data. `metadata` goes
    into the file's own; equal weights and metadata give equal bytes.
    """
    # A size of 1 would be taken for a constant, and one tensor in three places for one input.
    example = {name: torch.ones((2, 16), dtype=torch.int64) for name in INPUTS}
    axes = {0: Dim("batch"), 1: Dim("sequence", max=model.config.max_position_embeddings)}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of names of axes that equal ones already have
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # of a torchvision that is not needed
        logging.getLogger("onnxscript").setLevel(logging.ERROR)  # of opset 17 being left to onnx's own converter
        program = torch.onnx.export(
            model.eval(),
            kwargs=example,
            dynamic_shapes=dict.fromkeys(INPUTS, axes),
            output_names=[OUTPUT],
            opset_version=opset,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _clean(proto)
    onnx.helper.set_model_props(proto, metadata)
    check_onnx(proto, opset)
    onnx.save_model(proto, path)


def _clean(proto: onnx.ModelProto) -> None:
    """Drop what the exporter notes about this machine: paths and stack traces."""
    proto.graph.name = "cross_encoder"
    for part in [*proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output, proto.graph]:
        part.doc_string = ""
        del part.metadata_props[:]


def check_onnx(proto: onnx.ModelProto, opset: int) -> None:
    """ValueError unless the model is valid, of this opset, and has exactly the inputs and output of the contract."""
    onnx.checker.check_model(proto, full_check=True)
    opsets = {entry.domain: entry.version for entry in proto.opset_import}
    if opsets != {"": opset}:
        raise ValueError(f"expected opset {opset} alone, found {opsets}")
    expected = {name: (onnx.TensorProto.INT64, ["batch", "sequence"]) for name in INPUTS}
    if (found := {value.name: _signature(value) for value in proto.graph.input}) != expected:
        raise ValueError(f"expected inputs {expected}, found {found}")
    outputs = {value.name: _signature(value) for value in proto.graph.output}
    if outputs != {OUTPUT: (onnx.TensorProto.FLOAT, ["batch", 2])}:
        raise ValueError(f"expected output {OUTPUT} float32 [batch, 2], found {outputs}")


def _signature(value: onnx.ValueInfoProto) -> tuple[int, list[str | int]]:
    tensor = value.type.tensor_type
    return tensor.elem_type, [axis.dim_param or axis.dim_value for axis in tensor.shape.dim]


def compare(
    model: BertForSequenceClassification, ranker: OnnxRanker, held_out: EncodedPairs, tokens: int
) -> dict[str, float]:
    """Largest absolute logit difference between PyTorch and ONNX Runtime, by shape.

    All held-out pairs in batches of `tokens`; FEW of all lengths one by one, in threes, and padded to the
    contract's full length as an engine with fixed shapes does. InputError past TOLERANCE.
    """
    few = np.argsort(held_out.lengths, kind="stable")[np.linspace(0, len(held_out) - 1, FEW).astype(int)]
    ones, threes = np.split(few, len(few)), np.split(few, range(3, len(few), 3))
    shapes = {
        f"batches of {tokens} tokens": (scoring_batches(held_out.lengths, tokens), None),
        "batches of 1": (ones, None),
        "batches of 3": (threes, None),
        "full length": (threes, held_out.layout.max_length),
    }
    differences = {
        shape: max(_difference(model, ranker, held_out.inputs(rows, length)) for rows in batches)
        for shape, (batches, length) in shapes.items()
    }
    for shape, difference in differences.items():
        if not difference <= TOLERANCE:
            raise InputError(
                f"ONNX and PyTorch disagree in {shape}: expected logits within {TOLERANCE}, found {difference} apart"
            )
    return differences


@torch.inference_mode()
def _difference(model: BertForSequenceClassification, ranker: OnnxRanker, inputs: dict[str, np.ndarray]) -> float:
    expected = model(**{name: torch.from_numpy(array) for name, array in inputs.items()}).logits.numpy()
    difference = float(np.abs(expected - ranker.logits(inputs)).max())
    return difference if np.isfinite(difference) else np.inf  # max() would lose a NaN


def describe(path: Path) -> dict[str, Any]:
    """What a user of the ONNX file has to know of it."""
    proto = onnx.load(path)
    return {
        "opset": proto.opset_import[0].version,
        "ir_version": proto.ir_version,
        "inputs": dict.fromkeys(INPUTS, "int64 [batch, sequence]"),
        "output": {OUTPUT: "float32 [batch, 2]"},
    }

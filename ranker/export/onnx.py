"""Export a model to one ONNX file, and check its outputs against PyTorch's."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch.export import Dim
from transformers import PreTrainedModel

from ranker.common.errors import InputError
from ranker.contract.batching import scoring_batches
from ranker.contract.layout import INPUTS, OUTPUT
from ranker.model.cross_encoder import CrossEncoder
from ranker.model.dataset import EncodedPairs
from ranker.project.params import Export
from ranker.serving.ranker import Ranker

TOLERANCE = 1e-4  # largest difference of a logit or of a vector's number, fp32 on both sides; about 1e-6 is usual
COMPARED = 1024  # pairs or texts of all lengths, compared in large batches
FEW = 64  # of them are also compared in small batches
CONTRIB = "com.microsoft"  # ONNX Runtime's own operators

# Vespa's own tests use it, and every Vespa since December 2024 reads it (tried: ONNX Runtime 1.20, 1.22, 1.23, 1.29).
# Older releases read the fp32 model, but lack the int8 model's attention. LayerNormalization needs at least 17.
OPSET = 17
IR_VERSION = 8  # the IR version released with opset 17


Inputs = dict[str, np.ndarray]  # int64 [rows, tokens] each, by INPUTS


def export_onnx(
    model: PreTrainedModel, path: Path, params: Export, output: str = OUTPUT, name: str = "cross_encoder"
) -> None:
    """Write a BERT to `path`: inputs INPUTS, int64 [batch, sequence], both dynamic; one output, float32.

    Binds inputs by name: the tutorial passed types before mask, `forward` takes mask before types, and so its graph
    swapped them. Writes one file, because Vespa does not read external data. Its metadata hold the name and version of
    `params`. Equal weights and params give equal bytes.
    """
    # The exporter would treat a size of 1 as constant, and one tensor passed three times as one input.
    example = {name: torch.ones((2, 16), dtype=torch.int64) for name in INPUTS}
    axes = {0: Dim("batch"), 1: Dim("sequence", max=model.config.max_position_embeddings)}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # about names of equal axes
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # about torchvision, which is not needed
        logging.getLogger("onnxscript").setLevel(logging.ERROR)  # about onnx's converter making opset 17
        program = torch.onnx.export(
            model.eval(),
            kwargs=example,
            dynamic_shapes=dict.fromkeys(INPUTS, axes),
            output_names=[output],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    program.model_proto.graph.name = name
    save(program.model_proto, path, params)
    check_onnx(onnx.load(path))


def save(proto: onnx.ModelProto, path: Path, params: Export, **metadata: str) -> None:
    """Write a model without the exporter's paths and stack traces of this machine."""
    proto.ir_version = IR_VERSION
    for part in [*proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output, proto.graph]:
        part.doc_string = ""
        del part.metadata_props[:]
    onnx.helper.set_model_props(proto, {"name": params.name, "version": params.version} | metadata)
    onnx.save_model(proto, path)


def check_onnx(proto: onnx.ModelProto, fused: bool = False) -> None:
    """Check the model and its versions; `compare` and a gate run it by its contract's inputs and output."""
    onnx.checker.check_model(proto, full_check=True)
    versions = {entry.domain: entry.version for entry in proto.opset_import} | {"IR": proto.ir_version}
    wanted = {"": OPSET, "IR": IR_VERSION} | ({CONTRIB: 1} if fused else {})
    if versions != wanted:
        raise ValueError(f"expected versions {wanted}, found {versions}")


@dataclass(frozen=True)
class Rows:
    """Laid-out pairs or texts, and a model's outputs of them in PyTorch and in ONNX Runtime, float32 [rows, ...]."""

    outputs: str  # their name
    torch: Callable[[Inputs], np.ndarray]
    onnx: Callable[[Inputs], np.ndarray]
    inputs: Callable[[np.ndarray, int | None], Inputs]  # of row numbers, padded to a length or the longest
    graph: Callable[[Inputs], np.ndarray]  # the ONNX model's own output
    lengths: np.ndarray  # int64 [rows]
    max_length: int


def compare(model: CrossEncoder, ranker: Ranker, held_out: EncodedPairs, tokens: int) -> dict[str, float]:
    """`largest_differences` of a cross-encoder's logits."""

    def logits(inputs: Inputs) -> np.ndarray:
        return model(**as_tensors(inputs)).logits.numpy()

    layout = held_out.layout
    rows = Rows("logits", logits, ranker.logits, held_out.inputs, ranker.logits, held_out.lengths, layout.max_length)
    return largest_differences(rows, tokens)


def as_tensors(inputs: Inputs) -> dict[str, torch.Tensor]:
    """The same arrays for PyTorch."""
    return {name: torch.from_numpy(array) for name, array in inputs.items()}


def largest_differences(rows: Rows, tokens: int, counts: tuple[int, int] = (COMPARED, FEW)) -> dict[str, float]:
    """Largest absolute difference between PyTorch's and ONNX Runtime's outputs, by shape.

    Compares many rows of all lengths in batches of `tokens`, and few of them one by one, in threes, and padded to the
    contract's full length, as engines with fixed shapes do; `counts` are those of many and of few. InputError if a
    difference exceeds TOLERANCE, or if swapping mask and types leaves the outputs equal.
    """
    many, few = (_of_all_lengths(rows.lengths, count) for count in counts)
    ones, threes = np.split(few, len(few)), np.split(few, range(3, len(few), 3))
    shapes = {
        f"batches of {tokens} tokens": ([many[part] for part in scoring_batches(rows.lengths[many], tokens)], None),
        "batches of 1": (ones, None),
        "batches of 3": (threes, None),
        "full length": (threes, rows.max_length),
    }
    differences = {}
    for shape, (batches, length) in shapes.items():
        differences[shape] = max(_difference(rows, rows.inputs(batch, length)) for batch in batches)
        if not differences[shape] <= TOLERANCE:
            found = f"expected {rows.outputs} within {TOLERANCE}, found {differences[shape]} apart"
            raise InputError(f"ONNX and PyTorch disagree in {shape}: {found}")
    _check_binding(rows, rows.inputs(few, rows.max_length))
    return differences


def _of_all_lengths(lengths: np.ndarray, count: int) -> np.ndarray:
    """Rows of at most `count` pairs, evenly spaced from the shortest to the longest: int64 [rows]."""
    order = np.argsort(lengths, kind="stable")
    return order[np.linspace(0, len(order) - 1, min(count, len(order))).astype(int)]


def _check_binding(rows: Rows, inputs: Inputs) -> None:
    _, types, mask = INPUTS
    swapped = inputs | {types: inputs[mask], mask: inputs[types]}
    if not np.abs(rows.graph(swapped) - rows.graph(inputs)).max() > TOLERANCE:
        raise InputError(f"expected other {rows.outputs} where {types} and {mask} change places, found the same")


@torch.inference_mode()
def _difference(rows: Rows, inputs: Inputs) -> float:
    difference = float(np.abs(rows.torch(inputs) - rows.onnx(inputs)).max())
    return difference if np.isfinite(difference) else np.inf  # max() would lose a NaN


def describe(path: Path) -> dict[str, object]:
    """The ONNX file's versions, inputs and outputs, for its users."""
    proto = onnx.load(path)
    (output,) = proto.graph.output
    axes = [str(axis.dim_param or axis.dim_value) for axis in output.type.tensor_type.shape.dim]
    return {
        "opsets": {entry.domain or "ai.onnx": entry.version for entry in proto.opset_import},
        "ir_version": proto.ir_version,
        "inputs": dict.fromkeys(INPUTS, "int64 [batch, sequence]"),
        "output": {output.name: f"float32 [{', '.join(axes)}]"},
    }

"""Exported model -> int8: fuse operators, then round all weights but the head's and the scheme's exceptions."""

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes.common import ShapeInferencePass
from onnxruntime.quantization import QuantType, quant_pre_process, quantize_dynamic
from onnxscript.optimizer import optimize
from onnxscript.rewriter.ort_fusions import shape_optimization
from onnxscript.rewriter.ort_fusions.bias_gelu import fuse_bias_gelu
from onnxscript.rewriter.ort_fusions.erfgelu import fuse_erfgelu
from onnxscript.rewriter.ort_fusions.mha import fuse_mha1, fuse_mha2
from onnxscript.rewriter.ort_fusions.mha_bias import fuse_mha_bias
from onnxscript.rewriter.ort_fusions.sdpa import fuse_sdpa
from onnxscript.rewriter.ort_fusions.skip_normalization import fuse_skip_layer_normalization
from torch import nn
from transformers import BertConfig, PreTrainedModel

from ranker.common.errors import InputError
from ranker.contract.folder import MODEL_FILES
from ranker.export.onnx import Inputs, as_tensors, check_onnx, save
from ranker.project.params import Export

BIAS = 5  # position among MultiHeadAttention's inputs


@dataclass(frozen=True)
class Scheme:
    """A way to round weights. Activations are always uint8, scaled to each batch's range."""

    name: str
    weights: QuantType
    reduce_range: bool = False  # seven bits: sums cannot saturate on AVX2 or AVX-512 without VNNI
    left_out: tuple[str, ...] = ()  # matrices that stay in fp32


REDUCED = Scheme("U8S8, reduced range", QuantType.QInt8, reduce_range=True)
SCHEMES = (Scheme("U8S8", QuantType.QInt8), REDUCED, Scheme("U8U8", QuantType.QUInt8))
LEFT_OUT = (1 / 8, 1 / 4, 1 / 2)  # shares of the worst matrices to leave out, if no whole scheme passes
FEW = 32  # pairs or texts, to find the worst matrices
Trial = dict[str, object]  # a scheme, whether it passed, what it left out, and its measures


def try_schemes(
    prepared: onnx.ModelProto,
    folder: Path,
    params: Export,
    worst: Callable[[], list[str]],
    measure: Callable[[], tuple[bool, Mapping[str, object]]],
) -> list[Trial]:
    """Write model.int8.onnx by the first scheme that passes, if any; returns the trials, in order.

    `worst` gives `worst_matrices`; `measure` says if the written model passes, with its measures. Each trial has
    `scheme`, `passed`, `left_out` (matrices in fp32) and the measures.
    """
    tried: list[Trial] = []
    for scheme in _schemes(worst):
        quantise(prepared, scheme, folder / MODEL_FILES["int8"], params)
        passed, found = measure()
        tried.append({"scheme": scheme.name, "passed": passed, "left_out": list(scheme.left_out), **found})
        if passed:
            return tried
    (folder / MODEL_FILES["int8"]).unlink()
    return tried


def _schemes(worst: Callable[[], list[str]]) -> Iterator[Scheme]:
    """Whole schemes, then seven-bit weights with more and more matrices left out, the worst first.

    Seven-bit sums never saturate, so a scheme that passes on one chip passes on any. They are as accurate: with 5
    matrices of the sample's model left out, Kendall's tau is 0.971 with seven bits and with eight.
    """
    yield from SCHEMES
    names = worst()
    for share in LEFT_OUT:
        left_out = tuple(names[: math.ceil(share * len(names))])
        yield replace(REDUCED, name=f"{REDUCED.name}, {len(left_out)} matrices left out", left_out=left_out)


def few(count: int) -> np.ndarray:
    """FEW row numbers of `count`, evenly spaced, int64."""
    return np.linspace(0, count - 1, min(FEW, count)).astype(int)


def prepare(path: Path, config: BertConfig) -> onnx.ModelProto:
    """Fuse an exported model into ONNX Runtime's operators; weights stay in fp32.

    Uses onnxscript's fusions, because ONNX Runtime's own optimiser does not recognise attention in torch's export.
    Applies the fusions of `optimize_for_ort` that fit a BERT but the last, which turns MultiHeadAttention into
    Attention: its joint matrix of query, key and value makes int8 a fifth slower. InputError if a fusion is missed.
    """
    model = ir.load(path)
    ShapeInferencePass()(model)
    optimize(model)
    shape_optimization.rules.apply_to_model(model)
    optimize(model)
    for fuse in (fuse_erfgelu, fuse_skip_layer_normalization, fuse_sdpa, fuse_mha1, fuse_mha2, fuse_mha_bias):
        fuse(model)
        ShapeInferencePass()(model)
    fuse_bias_gelu(model)
    _spread_over_heads(model, config.num_attention_heads)
    optimize(model)
    layers = config.num_hidden_layers
    expected = {
        "MultiHeadAttention": layers,
        "SkipLayerNormalization": 2 * layers,
        "BiasGelu": layers if config.hidden_act == "gelu" else 0,
    }
    kinds = Counter(node.op_type for node in model.graph)
    if (found := {name: kinds[name] for name in expected}) != expected:
        raise InputError(f"{path.name}: expected ONNX Runtime's operators {expected} to be fused, found {found}")
    with tempfile.TemporaryDirectory() as work:
        prepared = Path(work) / "prepared.onnx"
        quant_pre_process(ir.to_proto(model), prepared, skip_optimization=True, skip_symbolic_shape=True)
        return onnx.load(prepared)


def _spread_over_heads(model: ir.Model, heads: int) -> None:
    """Expand the attention mask, a bias for each pair of tokens, per head.

    Otherwise ONNX Runtime 1.20 silently returns wrong logits or NaN in batches. It also silently ignores
    key_padding_mask, and logits are off by 0.5.
    """
    shape = ir.Value(name="heads", const_value=ir.tensor([1, heads, 1, 1], ir.DataType.INT64))
    model.graph.register_initializer(shape)
    spread: dict[ir.Value, ir.Value] = {}
    for node in [node for node in model.graph if node.op_type == "MultiHeadAttention"]:
        bias = node.inputs[BIAS]
        assert bias is not None, f"{node.name} has no mask"
        if bias not in spread:
            spread[bias] = ir.Value(name=f"{bias.name}_by_head")
            model.graph.insert_before(node, ir.node("Expand", [bias, shape], outputs=[spread[bias]]))
        node.replace_input_with(BIAS, spread[bias])


def quantise(prepared: onnx.ModelProto, scheme: Scheme, path: Path, params: Export) -> None:
    """Write the model with int8 embeddings and weights, scaled per channel.

    The head's two small matrices stay in fp32.
    """
    # quantize_dynamic first turns Gemm into MatMul.
    head = [f"{node.name}_MatMul" for node in prepared.graph.node if node.op_type == "Gemm"]
    copied = onnx.ModelProto()
    copied.CopyFrom(prepared)  # quantize_dynamic changes its input
    quantize_dynamic(
        copied,
        path,
        per_channel=True,
        reduce_range=scheme.reduce_range,
        weight_type=scheme.weights,
        nodes_to_exclude=[*head, *scheme.left_out],
    )
    save(onnx.load(path), path, params, quantisation=scheme.name)
    check_onnx(onnx.load(path), fused=True)


def logits(model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """A cross-encoder's output, float32 [pairs, 2]."""
    return model(**inputs).logits


@torch.inference_mode()
def worst_matrices(
    model: PreTrainedModel,
    prepared: onnx.ModelProto,
    inputs: Inputs,
    output: Callable[[PreTrainedModel, dict[str, torch.Tensor]], torch.Tensor] = logits,
) -> list[str]:
    """Names of all matrix products, sorted by how far rounding each one alone moves the output, furthest first.

    `model` is the exported model, `inputs` are laid-out pairs or texts. Rounding in PyTorch takes a sixth of the time
    of writing an ONNX file for each product.
    """
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in prepared.graph.initializer}
    tensors, moved = as_tensors(inputs), {}
    exact = output(model, tensors)
    for node in [node for node in prepared.graph.node if node.op_type == "MatMul"]:
        weight = weights[node.input[1]]
        linear = next(module for module in linears if np.array_equal(module.weight.T.numpy(), weight))
        handle = linear.register_forward_hook(_rounded)
        moved[node.name] = float((output(model, tensors) - exact).abs().max())
        handle.remove()
    return sorted(moved, key=lambda name: -moved[name])


def _rounded(linear: nn.Module, given: tuple[torch.Tensor], exact: torch.Tensor) -> torch.Tensor:
    return rounded_product(given[0], cast(nn.Linear, linear).weight.T) + cast(nn.Linear, linear).bias


def rounded_product(activations: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """A product of uint8 activations, with one range, and int8 weights, with one range per column.

    `activations` is float32 [..., in], `weights` float32 [in, out]; the product is float32 [..., out].

    >>> rounded_product(torch.tensor([[1.0, 255.0]]), torch.tensor([[1.0], [1.0]])).tolist()
    [[256.0]]
    >>> rounded_product(torch.tensor([[1.0, 10_000.0]]), torch.tensor([[1.0], [0.0]])).tolist()  # 1 is rounded to 0
    [[0.0]]
    """
    low, high = activations.min().clamp(max=0), activations.max().clamp(min=0)
    step = ((high - low) / 255).clamp(min=torch.finfo().tiny)
    zero = torch.round(-low / step)
    rounded = (torch.clamp(torch.round(activations / step) + zero, 0, 255) - zero) * step
    steps = (weights.abs().amax(dim=0) / 127).clamp(min=torch.finfo().tiny)
    return rounded @ (torch.round(weights / steps) * steps)

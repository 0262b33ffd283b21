"""The eight-bit model, let through only where it ranks held-out pairs as the exact one does."""

import math
import platform
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnx_ir as ir
import pandas as pd
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
from tqdm import tqdm
from transformers import BertConfig, BertForSequenceClassification

from ranker.batching import scoring_batches
from ranker.encoded_pairs import EncodedPairs
from ranker.encoding import relevance
from ranker.measures import kendall_tau, ranking_measures, top_overlap
from ranker.onnx_export import check_onnx, save
from ranker.params import Export
from ranker.serving import MODEL_FILES, TOKENS, Ranker

TOP = 10
RERANKED = 100  # pairs of a query that the gate looks at: one by one they cost 5 ms each on two cores
FEW = 32  # pairs, to tell which matrices are worst
LEFT_OUT = (1 / 8, 1 / 4, 1 / 2)  # shares of all matrices, the worst ones, where no whole scheme passes
INSTRUCTIONS = ("avx2", "avx512_f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


@dataclass(frozen=True)
class Scheme:
    """How weights are rounded; activations are always uint8, by the range of each batch."""

    name: str
    weights: QuantType
    reduce_range: bool = False  # seven bits: no sum of products saturates where a chip has AVX2 or AVX-512 without VNNI
    left_out: tuple[str, ...] = ()  # matrices that stay in fp32


SCHEMES = (
    Scheme("U8S8", QuantType.QInt8),
    Scheme("U8S8, reduced range", QuantType.QInt8, reduce_range=True),
    Scheme("U8U8", QuantType.QUInt8),
)


def prepare(path: Path, config: BertConfig) -> onnx.ModelProto:
    """An exported model with what ONNX Runtime has operators for fused, before weights are rounded.

    onnxscript's fusions, for ONNX Runtime's own optimiser finds no attention in what torch exports. They are those of
    its `optimize_for_ort` that a BERT has, but the last: of MultiHeadAttention it would make Attention, which has
    query, key and value in one matrix, and in eight bits a fifth less speed. ValueError where they find nothing.
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
    optimize(model)
    layers = config.num_hidden_layers
    expected = {
        "MultiHeadAttention": layers,
        "SkipLayerNormalization": 2 * layers,
        "BiasGelu": layers if config.hidden_act == "gelu" else 0,
    }
    kinds = Counter(node.op_type for node in model.graph)
    if (found := {name: kinds[name] for name in expected}) != expected:
        raise ValueError(f"expected fused operators {expected}, found {found}")
    with tempfile.TemporaryDirectory() as work:
        prepared = Path(work) / "prepared.onnx"
        quant_pre_process(ir.to_proto(model), prepared, skip_optimization=True, skip_symbolic_shape=True)
        return onnx.load(prepared)


def quantise(prepared: onnx.ModelProto, scheme: Scheme, path: Path, params: Export) -> None:
    """Write the model with weights of eight bits per channel; the head, of two small matrices, stays in fp32."""
    head = [f"{node.name}_MatMul" for node in prepared.graph.node if node.op_type == "Gemm"]  # what Gemm is made first
    copied = onnx.ModelProto()
    copied.CopyFrom(prepared)  # it is changed
    quantize_dynamic(
        copied,
        path,
        per_channel=True,
        reduce_range=scheme.reduce_range,
        weight_type=scheme.weights,
        nodes_to_exclude=[*head, *scheme.left_out],
    )
    save(onnx.load(path), path, params, quantisation=scheme.name)
    check_onnx(onnx.load(path), params, fused=True)


@dataclass(frozen=True)
class HeldOut:
    """Pairs that the model was not trained on, and what the exact model makes of them."""

    pairs: pd.DataFrame  # query_id, document_id, grade
    encoded: EncodedPairs
    logits: np.ndarray  # float32 [pairs, 2], of the exact model
    relevant_from: int

    def ndcg(self, logits: np.ndarray) -> float:
        """Mean nDCG@10 of the rankings that logits, float32 [pairs, 2], give."""
        return float(ranking_measures(self.pairs, relevance(logits), self.relevant_from)["nDCG@10"].mean())

    def best(self, count: int) -> "HeldOut":
        """Of each query, the exact model's best `count` pairs: those that a search engine would have to reorder."""
        ranks = pd.Series(-relevance(self.logits)).groupby(self.pairs["query_id"].to_numpy()).rank(method="first")
        rows = np.flatnonzero(ranks <= count)
        pairs = self.pairs.iloc[rows].reset_index(drop=True)
        return HeldOut(pairs, self.encoded.take(rows), self.logits[rows], self.relevant_from)


def in_batches(ranker: Ranker, encoded: EncodedPairs) -> np.ndarray:
    """Logits, float32 [pairs, 2], in the order given, by the batches that Ranker.score has."""
    logits = np.empty((len(encoded), 2), np.float32)
    for rows in tqdm(scoring_batches(encoded.lengths, TOKENS), desc="score", unit="batch", disable=None):
        logits[rows] = ranker.logits(encoded.inputs(rows))
    return logits


def one_by_one(ranker: Ranker, encoded: EncodedPairs) -> np.ndarray:
    """Logits, float32 [pairs, 2], of each pair in a batch of its own, padded to the full length, as Vespa has it.

    In eight bits they differ from those of other batches: activations are rounded by their batch's range, and padding
    has activations too.
    """
    rows = tqdm(range(len(encoded)), desc="score", unit="pair", disable=None)
    return np.concatenate([ranker.logits(encoded.inputs([row], encoded.layout.max_length)) for row in rows])


WAYS = {"in batches": in_batches, "one by one": one_by_one}


def agreement(held_out: HeldOut, logits: np.ndarray) -> dict[str, float]:
    """What rounding does to the ranking: nDCG@10 and its loss, Kendall's tau, the overlap of top tens, logits.

    Means over queries; `logits` is float32 [pairs, 2].
    """
    exact, rounded = relevance(held_out.logits), relevance(logits)
    before, after = held_out.ndcg(held_out.logits), held_out.ndcg(logits)
    return {
        "nDCG@10 in fp32": before,
        "nDCG@10": after,
        "loss of nDCG@10": before - after,
        "Kendall's tau": kendall_tau(held_out.pairs, exact, rounded),
        f"overlap of top {TOP}": top_overlap(held_out.pairs, exact, rounded, TOP),
        "largest logit difference": float(np.abs(held_out.logits - logits).max()),
    }


def passes(found: dict[str, float], params: Export) -> bool:
    """Whether rounding is within the gate's bounds."""
    return (
        found["loss of nDCG@10"] <= params.int8_max_ndcg_loss
        and found["Kendall's tau"] >= params.int8_min_tau
        and found[f"overlap of top {TOP}"] >= params.int8_min_overlap
        and found["largest logit difference"] <= params.int8_max_logit_difference
    )


def gate(
    model: BertForSequenceClassification, prepared: onnx.ModelProto, folder: Path, held_out: HeldOut, params: Export
) -> list[dict[str, Any]]:
    """Write model.int8.onnx by the first scheme that passes, or by none; returns what was tried, the last one last.

    Each has `scheme`, `passed`, `left_out` (matrices in fp32) and what `agreement` tells of the RERANKED best pairs of
    each query `in batches`, as `Ranker.score` has them, and `one by one`, as Vespa has them: it has to pass in both.
    """
    held_out = held_out.best(RERANKED)
    tried: list[dict[str, Any]] = []
    for scheme in _schemes(model, prepared, held_out):
        quantise(prepared, scheme, folder / MODEL_FILES["int8"], params)
        ranker = Ranker(folder, "int8")
        found = {
            way: agreement(held_out, np.nan_to_num(logits(ranker, held_out.encoded))) for way, logits in WAYS.items()
        }
        passed = all(passes(measures, params) for measures in found.values())
        tried.append({"scheme": scheme.name, "passed": passed, "left_out": list(scheme.left_out), **found})
        if passed:
            return tried
    (folder / MODEL_FILES["int8"]).unlink()
    return tried


def _schemes(model: BertForSequenceClassification, prepared: onnx.ModelProto, held_out: HeldOut) -> Iterator[Scheme]:
    """Whole schemes, then the first of them with ever more matrices left out, the worst first."""
    yield from SCHEMES
    few = np.linspace(0, len(held_out.encoded) - 1, min(FEW, len(held_out.encoded))).astype(int)
    worst = worst_matrices(model, prepared, held_out.encoded.inputs(few))
    for share in LEFT_OUT:
        left_out = tuple(worst[: math.ceil(share * len(worst))])
        yield replace(SCHEMES[0], name=f"U8S8, {len(left_out)} matrices left out", left_out=left_out)


@torch.inference_mode()
def worst_matrices(
    model: BertForSequenceClassification, prepared: onnx.ModelProto, inputs: dict[str, np.ndarray]
) -> list[str]:
    """Names of all matrix products, that one first which moves the logits most when it alone is rounded.

    `model` is what was exported, `inputs` are laid out pairs. In PyTorch it takes a sixth of the time that a file for
    each product would.
    """
    linears = [module for module in model.bert.encoder.modules() if isinstance(module, nn.Linear)]
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in prepared.graph.initializer}
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    exact, moved = model(**tensors).logits, {}
    for node in [node for node in prepared.graph.node if node.op_type == "MatMul"]:
        weight = weights[node.input[1]]
        (linear,) = [module for module in linears if np.array_equal(module.weight.T.numpy(), weight)]
        handle = linear.register_forward_hook(_rounded)
        moved[node.name] = float((model(**tensors).logits - exact).abs().max())
        handle.remove()
    return sorted(moved, key=lambda name: -moved[name])


def _rounded(linear: nn.Module, given: tuple[torch.Tensor], exact: torch.Tensor) -> torch.Tensor:
    return rounded_product(given[0], cast(nn.Linear, linear).weight.T) + cast(nn.Linear, linear).bias


def rounded_product(activations: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """A product with activations in uint8, of one range for all, and weights in int8, of one range per column.

    `activations` is float32 [..., in], `weights` float32 [in, out].

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


def chip() -> dict[str, Any]:
    """The processor of this machine and those of its instructions that eight-bit and bf16 products are made of."""
    capabilities = torch.cpu.get_capabilities()
    return {
        "processor": capabilities.get("cpu_name") or platform.machine(),
        "instructions": [name for name in INSTRUCTIONS if capabilities.get(name)],
    }

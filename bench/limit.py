"""This machine: what it is, and how fast its matrix products are, against which the forward pass is held."""

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import BertConfig

from bench.works import OURS
from ranker.model.dataset import EncodedPairs
from ranker.model.hardware import chip

ROWS = 2048  # tokens a batch


def limit_rows(
    rows: list[dict[str, Any]], pairs: EncodedPairs, base_model: Path, precision: str
) -> list[dict[str, Any]]:
    """The forward pass's useful FLOP/s against this machine's matrix products."""
    flops, found = useful_flops(base_model, pairs.lengths.tolist()), []
    for dtype, system in ((precision, f"{OURS}, PyTorch"), ("fp32", f"{OURS}, PyTorch fp32")):
        row = next(row for row in reversed(rows) if row["system"] == system and row["work"].startswith("scoring"))
        peak = matmul_peak(base_model, dtype)  # type: ignore[arg-type]
        speed = flops / row["seconds"]
        found.append({"dtype": dtype, "tflops": speed / 1e12, "peak_tflops": peak / 1e12, "share": speed / peak})
    return found


def matmul_peak(base_model: Path, precision: Literal["bf16", "fp32"]) -> float:
    """FLOP/s of the matrix products of one of the base model's layers, over ROWS tokens, and nothing else."""
    config = BertConfig.from_pretrained(base_model)
    hidden, inner = config.hidden_size, config.intermediate_size
    shapes = [(hidden, hidden)] * 4 + [(hidden, inner), (inner, hidden)]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    layers = [torch.nn.Linear(*shape, dtype=dtype) for shape in shapes]
    inputs = [torch.randn(ROWS, shape[0], dtype=dtype) for shape in shapes]
    seconds = []
    with torch.inference_mode():
        for _ in range(30):
            began = time.perf_counter()
            for layer, given in zip(layers, inputs, strict=True):
                layer(given)
            seconds.append(time.perf_counter() - began)
    return sum(2 * ROWS * a * b for a, b in shapes) / sorted(seconds)[len(seconds) // 2]


def useful_flops(base_model: Path, lengths: list[int]) -> float:
    """FLOPs of a forward pass over the pairs' own tokens, without padding; of the last layer, those for [CLS] alone."""
    config = BertConfig.from_pretrained(base_model)
    hidden, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    total = 0.0
    for n in lengths:
        whole = 2 * n * (4 * hidden**2 + 2 * hidden * inner) + 4 * n * n * hidden
        last = 2 * n * 2 * hidden**2 + 2 * (2 * hidden**2 + 2 * hidden * inner) + 4 * n * hidden
        total += (layers - 1) * whole + last + 2 * hidden**2
    return total


def machine() -> dict[str, Any]:
    """What the figures hold for."""
    found = chip()
    return {
        "processor": f"{found['processor']}, {os.cpu_count()} cores",
        "instructions": found["instructions"],
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "packages": {
            name: version(name) for name in ("torch", "transformers", "sentence-transformers", "onnxruntime", "dvc")
        },
    }


def describe_model(base_model: Path) -> str:
    """The base model that everything was measured with."""
    config = BertConfig.from_pretrained(base_model)
    return f"BERT of {config.num_hidden_layers} layers of {config.hidden_size} units (params.yaml's fetch.base_model)"

"""This machine's precision, chip and versions."""

import platform
from importlib.metadata import version
from typing import Any, Literal

import torch

from ranker.common.distributed import world_size


def resolve_precision(precision: Literal["auto", "bf16", "fp32"]) -> Literal["bf16", "fp32"]:
    """Resolve `auto` to bf16 if the chip is faster in it (CUDA since Ampere, AMX, AMD's AVX512-BF16), else to fp32.

    Intel's AVX512-BF16 without AMX is slower: 168 pairs/s in bf16, 262 in fp32 (MiniLM, two Xeon cores of model 207).
    """
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    chip = torch.cpu.get_capabilities()
    vectors = chip.get("avx512_bf16") and "Intel" not in chip["cpu_name"]
    return "bf16" if vectors or chip.get("amx_bf16") else "fp32"


INSTRUCTIONS = ("avx2", "avx512_f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


def chip() -> dict[str, Any]:
    """The processor, and its instructions for int8 and bf16 products."""
    capabilities = torch.cpu.get_capabilities()
    return {
        "processor": capabilities.get("cpu_name") or platform.machine(),
        "instructions": [name for name in INSTRUCTIONS if capabilities.get(name)],
    }


def machine(precision: Literal["auto", "bf16", "fp32"]) -> dict[str, Any]:
    """Precision, processes, threads, chip and versions: a training's bytes depend on each."""
    packages = ("torch", "transformers", "accelerate", "onnxruntime", "numpy")
    return {
        "precision": resolve_precision(precision),
        "processes": world_size(),
        "threads": torch.get_num_threads(),
        "chip": chip(),
        "versions": {name: version(name) for name in packages},
    }

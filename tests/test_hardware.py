"""ranker.model.hardware: the precision of `auto` for each chip, and the name of this chip."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ranker.model.hardware import INSTRUCTIONS, chip, resolve_precision


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, "bf16"),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, "fp32"),
        ({"cpu_name": "AMD EPYC", "avx2": True}, "fp32"),
        ({}, "fp32"),  # other architectures
    ],
)
def test_resolve_precision_of_a_processor(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, Any], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_precision("auto") == expected
    assert resolve_precision("fp32") == "fp32"
    assert resolve_precision("bf16") == "bf16"


@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16"), (False, "fp32")])
def test_resolve_precision_of_a_gpu(monkeypatch: pytest.MonkeyPatch, supported: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported or including_emulation)
    assert resolve_precision("auto") == expected


def test_chip_is_the_kernels() -> None:
    """As /proc/cpuinfo has it, whose names have other underscores."""
    found = chip()
    assert found["processor"]
    (flags, *_) = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith(("flags", "Feat"))
    ]
    here = {flag.replace("_", "") for flag in flags.split()}
    assert found["instructions"] == [name for name in INSTRUCTIONS if name.replace("_", "") in here]

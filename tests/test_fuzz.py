"""Readers of user files, given arbitrary bytes and mutated files: each accepts them or raises a one-line error."""

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.factories import ROOT
from tests.fuzz.targets import TARGETS, seeds

SEEDS = seeds()
BITS = [*(bytes([code]) for code in b'",\n\r\0\xff[{}-'), b"\\u", b"1e999", b"9" * 5000, b": ", b"\xed\xa0\x80"]


@st.composite
def changed(draw: st.DrawFn, seed: bytes) -> bytes:
    """A file with some bytes cut out, doubled or inserted."""
    content = seed
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 20)))
        put = draw(st.sampled_from(BITS) | st.binary(max_size=4) | st.just(content[start:end] * 2))
        content = content[:start] + put + content[end:]
    return content


@pytest.mark.parametrize("name", TARGETS)
def test_targets_take_a_whole_file(name: str) -> None:
    TARGETS[name](SEEDS[name])


@pytest.mark.parametrize("name", TARGETS)
def test_targets_take_any_bytes(name: str) -> None:
    @given(st.binary(max_size=200))
    @example(b"")
    def any_bytes(data: bytes) -> None:
        TARGETS[name](data)

    any_bytes()


@pytest.mark.parametrize("name", TARGETS)
def test_targets_take_a_file_with_changes(name: str) -> None:
    @given(changed(SEEDS[name]))
    @settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
    def with_changes(data: bytes) -> None:
        TARGETS[name](data)

    with_changes()


def test_fuzz_runs_atheris() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "contract", "-runs=100"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "Done 100 runs" in result.stderr

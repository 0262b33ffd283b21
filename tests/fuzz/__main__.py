"""Fuzz one target with Atheris, guided by code coverage: python -m tests.fuzz NAME [libFuzzer's arguments].

It stops at the first crash and writes the input that caused it; `-max_total_time=600` bounds it.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ranker"]):
    from tests.fuzz.targets import TARGETS, seeds


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"fuzz: expected one of {', '.join(TARGETS)}, found {sys.argv[1:2]}")
    name = sys.argv.pop(1)
    with tempfile.TemporaryDirectory() as corpus:
        (Path(corpus) / "seed").write_bytes(seeds()[name])
        atheris.Setup([*sys.argv, corpus], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()

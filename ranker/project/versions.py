"""Compare installed packages with the project's pins, because outputs depend on them."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PINS = Path("requirements.txt")  # in dvc.yaml, a dep of each stage whose outputs depend on these packages


def say_other_versions(stage: str) -> None:
    """Print a warning for each pinned package whose installed release differs."""
    for line in PINS.read_text(encoding="utf-8").splitlines():
        if pin := re.match(r"([A-Za-z0-9_.-]+)==([^\s;#]+)", line):
            name, pinned = pin.groups()
            try:
                found = version(name).partition("+")[0]  # torch 2.13.0+cpu is 2.13.0
            except PackageNotFoundError:
                found = "none"
            if found != pinned:
                print(f"{stage}: warning: expected {name} {pinned} ({PINS}), found {found}", flush=True)

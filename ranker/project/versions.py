"""Whether the packages that are installed are those that the project pins: outputs are theirs too."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PINS = Path("requirements.txt")  # a dependency of the stages whose bytes these packages make


def say_other_versions(stage: str) -> None:
    """Print a line for each pinned package of which another release is installed."""
    for line in PINS.read_text(encoding="utf-8").splitlines():
        if pin := re.match(r"([A-Za-z0-9_.-]+)==([^\s;#]+)", line):
            name, pinned = pin.groups()
            try:
                found = version(name).partition("+")[0]  # torch 2.13.0+cpu is 2.13.0
            except PackageNotFoundError:
                found = "none"
            if found != pinned:
                print(f"{stage}: warning: expected {name} {pinned} ({PINS}), found {found}", flush=True)

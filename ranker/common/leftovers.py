"""Params that a refused trial has left behind: `dvc exp run -S` writes params.yaml before any stage can refuse it."""

import subprocess
from pathlib import Path
from typing import Any

QUEUED = Path(".dvc/tmp/exps")  # where DVC runs queued trials, whose params.yaml is a copy


def changed_params(file: Path) -> list[str]:
    """Names, SECTION.NAME, of the params whose values differ from those of the last commit.

    Empty where that cannot be known: no Git, no work tree, a file that is not committed, or not YAML.
    """
    if QUEUED.as_posix() in Path.cwd().as_posix():
        return []
    try:
        import yaml  # which serving has not

        shown = subprocess.run(
            ["git", "show", f"HEAD:./{file.name}"], cwd=file.parent, capture_output=True, check=True, timeout=10
        ).stdout
        before, now = (_flat(yaml.safe_load(content)) for content in (shown, file.read_bytes()))
    except (ImportError, OSError, subprocess.SubprocessError, ValueError, yaml.YAMLError):
        return []
    names = [*before, *(name for name in now if name not in before)]
    return [name for name in names if repr(before.get(name)) != repr(now.get(name))]  # 1 and true are equal


def _flat(params: Any) -> dict[str, Any]:
    """The values of params.yaml by SECTION.NAME; ValueError where it holds no sections."""
    if not isinstance(params, dict) or not all(isinstance(section, dict) for section in params.values()):
        raise ValueError("expected sections")
    return {f"{section}.{name}": value for section, values in params.items() for name, value in values.items()}

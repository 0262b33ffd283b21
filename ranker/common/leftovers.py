"""Params that a failed trial left behind: `dvc exp run -S` writes params.yaml before a stage can check it."""

import subprocess
from pathlib import Path
from typing import Any

QUEUED = Path(".dvc/tmp/exps")  # DVC runs queued trials here, with a copy of params.yaml


def changed_params(file: Path) -> list[str]:
    """Names, SECTION.NAME, of the params whose values differ from the last commit's.

    Empty without Git, without a work tree, and if the file is not committed or not YAML.
    """
    if QUEUED.as_posix() in Path.cwd().as_posix():
        return []
    try:
        import yaml  # serving is installed without it

        shown = subprocess.run(
            ["git", "show", f"HEAD:./{file.name}"], cwd=file.parent, capture_output=True, check=True, timeout=10
        ).stdout
        before, now = (_flat(yaml.safe_load(content)) for content in (shown, file.read_bytes()))
    except (ImportError, OSError, subprocess.SubprocessError, ValueError, yaml.YAMLError):
        return []
    names = [*before, *(name for name in now if name not in before)]
    return [name for name in names if repr(before.get(name)) != repr(now.get(name))]  # 1 and true are equal


def _flat(params: Any) -> dict[str, Any]:
    """The values of params.yaml by SECTION.NAME; ValueError if a top-level value is not a section."""
    if not isinstance(params, dict) or not all(isinstance(section, dict) for section in params.values()):
        raise ValueError("expected sections")
    flat: dict[str, Any] = {}
    for section, values in params.items():
        flat |= {f"{section}.{name}": value for name, value in values.items()}
    return flat

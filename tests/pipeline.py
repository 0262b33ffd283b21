"""Helpers for tests of the real pipeline: its outputs, metrics, the stages that DVC ran, the params that they read."""

import json
import re
from pathlib import Path
from typing import Any

from ranker.common.files import sha256
from ranker.project import paths

STAGES = (
    *("fetch", "base_model", "join", "encode", "embed", "split"),
    *("retriever", "export_retriever", "first_stage", "negatives", "features", "train"),
    *("export", "package", "opensearch", "score", "last_release", "release_hits", "evaluate", "hub", "report"),
)


def outputs(folder: Path) -> dict[str, str]:
    """Digest of every output file of the DAG, and of the cross-validation if it has run."""
    files = [
        file
        for path in vars(paths).values()
        if isinstance(path, Path)
        for file in ([folder / path] if (folder / path).is_file() else (folder / path).rglob("*"))
        if file.is_file()
    ]
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}


def metrics(folder: Path) -> dict[str, dict[str, float]]:
    """The metrics of stage evaluate, by system."""
    return {file.stem: json.loads(file.read_text()) for file in sorted((folder / paths.METRICS).glob("*.json"))}


def ran(output: str) -> list[str]:
    """The stages that DVC reports as run, in order; those of the cross-validation without their file's name."""
    return re.findall(r"Running stage '(?:crossval/dvc\.yaml:)?([^']+)'", output)


def recorded(file: Path) -> dict[str, set[str]]:
    """The record of record/sitecustomize.py: the params that each stage read, as SECTION.NAME."""
    found: dict[str, set[str]] = {}
    for line in file.read_text().splitlines():
        stage, name = line.split()
        found.setdefault(stage, set()).add(name)
    return found


def check_declared(stage: dict[str, Any], used: set[str], unread: tuple[str, ...] = ()) -> None:
    """Check that a stage declares the params that it read, by name or by section, and no others except `unread`."""
    declared = set(stage.get("params", []))
    undeclared = {name for name in used if name not in declared and name.split(".")[0] not in declared}
    assert undeclared == set(), "read, but not declared"
    of_use = {*used, *(name.split(".")[0] for name in used), *unread}
    assert declared - of_use == set(), "declared, but not read"

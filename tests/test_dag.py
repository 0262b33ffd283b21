"""dvc.yaml against the code: what a stage imports, reads, writes and is set by is what is declared."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ranker import tables
from ranker.params import Params, load_params
from tests.conftest import ROOT

DVC: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES: dict[str, dict[str, Any]] = DVC["stages"]
PATHS = {name: value for name, value in vars(tables).items() if isinstance(value, Path)}


def first_party_imports(path: Path) -> set[Path]:
    """Files of ranker and stages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            file = ROOT / (module.replace(".", "/") + ".py")
            if module.split(".")[0] in ("ranker", "stages") and file.is_file():
                found.add(file)
    return found


def code_of(stage: str) -> set[str]:
    """Files that run in a stage: its module and all it imports, directly or not."""
    seen: set[Path] = set()
    waiting = {ROOT / f"stages/{stage}.py"}
    while waiting:
        file = waiting.pop()
        seen.add(file)
        waiting |= first_party_imports(file) - seen
    return {file.relative_to(ROOT).as_posix() for file in seen}


def outs_of(stage: str) -> set[str]:
    return {out if isinstance(out, str) else next(iter(out)) for out in STAGES[stage]["outs"]}


@pytest.mark.parametrize("stage", STAGES)
def test_code_deps_are_the_imports(stage: str) -> None:
    assert {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")} == code_of(stage)


def test_packages_run_no_code_of_their_own() -> None:
    for package in ("ranker", "stages"):
        body = ast.parse((ROOT / package / "__init__.py").read_text()).body
        assert all(isinstance(node, ast.Expr) for node in body)


@pytest.mark.parametrize("stage", STAGES)
def test_data_deps_and_outs_are_the_paths_in_the_code(stage: str) -> None:
    source = (ROOT / f"stages/{stage}.py").read_text()
    used = {PATHS[name].as_posix() for name in re.findall(r"\btables\.([A-Z_]+)\b", source)}
    data_deps = {dep for dep in STAGES[stage]["deps"] if not dep.endswith(".py")}
    assert used == data_deps | outs_of(stage)


def test_every_path_has_one_home() -> None:
    for file in [*(ROOT / "ranker").glob("*.py"), *(ROOT / "stages").glob("*.py")]:
        if file.name != "tables.py":
            assert not re.findall(r"[\"'](?:data|models|results)/", file.read_text()), file
        if file.parent.name == "ranker":
            assert not re.findall(rf"\b({'|'.join(PATHS)})\b", file.read_text()) or file.name == "tables.py", file
    declared = {path for stage in STAGES for path in outs_of(stage)}
    sample = {path.as_posix() for path in (tables.SAMPLE_LABELLED_DATA, tables.SAMPLE_JUDGEMENTS)}
    assert {path.as_posix() for path in PATHS.values()} == declared | sample


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_those_that_the_code_reads(stage: str) -> None:
    source = (ROOT / f"stages/{stage}.py").read_text()
    sections = "|".join(Params.model_fields)
    used = {".".join(filter(None, pair)) for pair in re.findall(rf"\bparams\.({sections})\b(?:\.(\w+))?", source)}
    used |= set(re.findall(rf"load_params\(\)\.({sections})\b", source))
    if "params.model_dump()" in source:
        used |= set(Params.model_fields)
    declared = set(STAGES[stage].get("params", []))
    for name in used:
        assert name in declared or name.split(".")[0] in declared, f"{name} is read, but not declared"
    for name in declared:
        assert any(name in (read, read.split(".")[0]) for read in used), f"{name} is declared, but not read"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_one_module_and_one_sentence(stage: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / f"stages/{stage}.py").read_text())) or ""
    assert STAGES[stage]["cmd"] == f"python -m stages.{stage}"
    assert STAGES[stage]["desc"] == docstring.splitlines()[0]
    assert STAGES[stage]["cmd"] == docstring.splitlines()[-1]


def test_every_stage_module_is_a_stage() -> None:
    assert {file.stem for file in (ROOT / "stages").glob("*.py")} - {"__init__"} == set(STAGES)


def test_rooms_import_downwards() -> None:
    for file in (ROOT / "ranker").glob("*.py"):
        assert not [f for f in first_party_imports(file) if f.parent.name == "stages"], file
    for file in (ROOT / "stages").glob("*.py"):
        assert not [f for f in first_party_imports(file) if f.parent.name == "stages"], file


@pytest.mark.parametrize("module", ["stages.fetch", "stages.join", "stages.encode", "stages.split", "stages.evaluate"])
def test_what_needs_no_torch_imports_none(module: str) -> None:
    code = f"import sys, {module}; sys.exit(', '.join({{'torch', 'transformers'}} & set(sys.modules)) or None)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_artifact_is_what_export_writes() -> None:
    artifact = DVC["artifacts"][load_params(ROOT / "params.yaml").export.name]
    assert artifact["path"] == tables.RANKER.as_posix()


def test_metrics_and_plots_are_outputs() -> None:
    outs = {path for stage in STAGES for path in outs_of(stage)}
    plotted = [file for plot in DVC["plots"] for settings in plot.values() for file in settings["y"]]
    for path in [*DVC["metrics"], *plotted]:
        assert any(path == out or path.startswith(f"{out}/") for out in outs), path

"""Both dvc.yaml files against the code: what a stage imports, reads, writes and is set by is what is declared."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ranker import tables
from ranker.manifest import NOT_EXPORTS
from ranker.params import Params, Train, load_params
from tests.conftest import ROOT

DVC: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())
CROSSVAL: dict[str, Any] = yaml.safe_load((ROOT / "crossval/dvc.yaml").read_text())
STAGES: dict[str, dict[str, Any]] = DVC["stages"] | {
    f"crossval {name}": stage for name, stage in CROSSVAL["stages"].items()
}
# Several stages of the cross-validation are one module, which is told the recipe.
MODULES = {stage: f"stages/{stage}.py" for stage in DVC["stages"]} | {
    f"crossval {name}": f"crossval/{'train' if 'matrix' in stage else name}.py"
    for name, stage in CROSSVAL["stages"].items()
}
TRAINING = [stage for stage in STAGES if MODULES[stage] == "crossval/train.py"]
PACKAGES = ("ranker", "stages", "crossval")
COMMANDS = ("__main__.py", "score.py", "vespa.py")  # of ranker: what a user runs, on the folders that stages wrote
PATHS = {name: value for name, value in vars(tables).items() if isinstance(value, Path)}


def first_party_imports(path: Path) -> set[Path]:
    """Files of ours that a file imports, anywhere in it."""
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
            if module.split(".")[0] in PACKAGES and file.is_file():
                found.add(file)
    return found


def code_of(stage: str) -> set[str]:
    """Files that run in a stage: its module and all it imports, directly or not."""
    seen: set[Path] = set()
    waiting = {ROOT / MODULES[stage]}
    while waiting:
        file = waiting.pop()
        seen.add(file)
        waiting |= first_party_imports(file) - seen
    return {file.relative_to(ROOT).as_posix() for file in seen}


def outs_of(stage: str) -> set[str]:
    return {out if isinstance(out, str) else next(iter(out)) for out in STAGES[stage]["outs"]}


def before(stage: str) -> set[str]:
    """The stages of the pipeline that a stage's data come from, directly or not."""
    found = {other for other in DVC["stages"] if outs_of(other) & set(STAGES[stage]["deps"])}
    return found.union(*map(before, found))


@pytest.mark.parametrize("stage", STAGES)
def test_code_deps_are_the_imports(stage: str) -> None:
    expected = code_of(stage)
    if stage == "export":  # its manifest has the digest of all the code that made the model
        assert before(stage) == {"fetch", "join", "encode", "embed", "distil", "split", "features", "train"}
        expected = expected.union(*map(code_of, before(stage)))
    assert {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")} == expected


def test_packages_run_no_code_of_their_own() -> None:
    for package in PACKAGES:
        body = ast.parse((ROOT / package / "__init__.py").read_text()).body
        assert all(isinstance(node, ast.Expr) for node in body)


@pytest.mark.parametrize("stage", STAGES)
def test_data_deps_and_outs_are_the_paths_in_the_code(stage: str) -> None:
    source = (ROOT / MODULES[stage]).read_text()
    names = set(re.findall(r"\btables\.([A-Z_]+)\b", source)) - {"SCORES"}
    used = {PATHS[name].as_posix() for name in names}
    data_deps = {dep for dep in STAGES[stage]["deps"] if not dep.endswith(".py")} - {"ranker/report.html"}
    if stage in TRAINING:
        (out,) = outs_of(stage)
        recipe = stage.removeprefix("crossval ")
        seed = "${item.seed}" if recipe == "ranker" else "${crossval.seeds[0]}"
        assert STAGES[stage]["cmd"] == f"python -m crossval.train {recipe} {seed} ${{item.fold}}"
        assert out == tables.crossval_scores(recipe, 7, 9).as_posix().replace("7-9", f"{seed}-${{item.fold}}")
        used -= {tables.START.as_posix()} if recipe == "head_only" else set()
        assert used == data_deps
    elif "crossval_scores" in source:
        assert used | {tables.CROSSVAL_SCORES.as_posix()} == data_deps | outs_of(stage)
    else:
        assert used == data_deps | outs_of(stage)
    assert ("ranker/report.html" in STAGES[stage]["deps"]) == ("ranker/report.py" in code_of(stage))


def test_every_path_has_one_home() -> None:
    for file in [file for package in PACKAGES for file in (ROOT / package).glob("*.py")]:
        if file.name != "tables.py":
            assert not re.findall(r"[\"'](?:data|models|results)/", file.read_text()), file
        if file.parent.name == "ranker":
            named = re.findall(rf"\b({'|'.join(PATHS)})\b", file.read_text())
            assert not named or file.name in ("tables.py", *COMMANDS), file
    declared = {path for stage in STAGES if stage not in TRAINING for path in outs_of(stage)}
    declared.add(tables.CROSSVAL_SCORES.as_posix())
    sample = {path.as_posix() for path in (tables.SAMPLE_LABELLED_DATA, tables.SAMPLE_JUDGEMENTS)}
    assert {path.as_posix() for path in PATHS.values()} == declared | sample


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_those_that_the_code_reads(stage: str) -> None:
    source = (ROOT / MODULES[stage]).read_text()
    sections = "|".join(Params.model_fields)
    used = {".".join(filter(None, pair)) for pair in re.findall(rf"\bparams\.({sections})\b(?:\.(\w+))?", source)}
    used |= set(re.findall(rf"load_params\(\)\.({sections})\b", source))
    for left_out in re.findall(r"params\.model_dump\(exclude=\{(.*)\}\)", source):
        used |= set(Params.model_fields) - set(re.findall(r"\w+", left_out))
    if stage == "export":  # what its manifest says
        used |= set(Params.model_fields) - NOT_EXPORTS
    declared = set(STAGES[stage].get("params", []))
    if (
        stage in TRAINING
    ):  # of `train`, all but the seed, which the matrix sets, and the launcher; the head alone has its own of two more
        used = used - {"train.model_copy"} | {f"train.{name}" for name in Train.model_fields} - {
            "train.seed",
            "train.launcher",
        }
        if stage == "crossval head_only":
            used -= {"distil.queries", "train.learning_rate", "train.trainable"}
        else:
            used -= {"crossval.head_learning_rate"}
    for name in used:
        assert name in declared or name.split(".")[0] in declared, f"{name} is read, but not declared"
    for name in declared:
        assert any(name in (read, read.split(".")[0]) for read in used), f"{name} is declared, but not read"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_one_module_and_one_sentence(stage: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / MODULES[stage]).read_text())) or ""
    module = MODULES[stage].removesuffix(".py").replace("/", ".")
    if stage in TRAINING:
        assert docstring.splitlines()[-1] == f"python -m {module} RECIPE SEED FOLD"
        return
    launcher = "${train.launcher}" if "is_first" in (ROOT / MODULES[stage]).read_text() else "python"
    assert STAGES[stage]["cmd"] == f"{launcher} -m {module}"
    assert STAGES[stage]["desc"] == docstring.splitlines()[0]
    assert docstring.splitlines()[-1] == f"python -m {module}"


def test_every_stage_module_is_a_stage() -> None:
    files = [file for package in ("stages", "crossval") for file in (ROOT / package).glob("*.py")]
    modules = {file.relative_to(ROOT).as_posix() for file in files if file.stem != "__init__"}
    assert modules == set(MODULES.values())


def test_rooms_import_downwards() -> None:
    for file in [file for package in PACKAGES for file in (ROOT / package).glob("*.py")]:
        assert {found.parent.name for found in first_party_imports(file)} <= {"ranker"}, file


@pytest.mark.parametrize(
    "module",
    [
        "stages.fetch",
        "stages.join",
        "stages.encode",
        "stages.split",
        "stages.features",  # when it has nothing to do
        "stages.package",
        "stages.evaluate",
        "stages.report",
        "crossval.compare",
        "crossval.report",
        "ranker.__main__",
    ],
)
def test_what_needs_no_torch_imports_none(module: str) -> None:
    code = f"import sys, {module}; sys.exit(', '.join({{'torch', 'transformers'}} & set(sys.modules)) or None)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_artifact_is_what_export_writes() -> None:
    artifact = DVC["artifacts"][load_params(ROOT / "params.yaml").export.name]
    assert artifact["path"] == tables.RANKER.as_posix()


def test_metrics_and_plots_are_outputs() -> None:
    outs = {path for stage in STAGES for path in outs_of(stage)}
    plotted = [file for plot in DVC["plots"] for shown in plot.values() for file in shown["y"]]
    for path in [path.removeprefix("../") for path in [*DVC["metrics"], *plotted]]:
        assert any(path == out or path.startswith(f"{out}/") for out in outs), path

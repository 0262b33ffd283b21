"""Both dvc.yaml files against the code, by the graph of imports: what a stage runs and writes is what is declared."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from ranker.export.manifest import NOT_EXPORTS
from ranker.project import paths
from ranker.project.params import Params, load_params
from tests.conftest import ROOT

DVC: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())
CROSSVAL: dict[str, Any] = yaml.safe_load((ROOT / "crossval/dvc.yaml").read_text())
STAGES: dict[str, dict[str, Any]] = DVC["stages"] | {
    f"crossval {name}": stage for name, stage in CROSSVAL["stages"].items()
}
# Several stages of the cross-validation are one module, which is told the recipe.
MODULES = {stage: f"stages/{stage}.py" for stage in DVC["stages"]} | {
    f"crossval {name}": f"crossval/{'train' if name in ('ranker', 'head_only', 'inner') else name}.py"
    for name in CROSSVAL["stages"]
}
PACKAGES = ("ranker", "stages", "crossval")
CODE = ("ranker/", "stages/", "crossval/")
# From the ground: a wing imports those of the rows above its own, never one beside or below it.
FLOORS = (
    {"common", "metrics", "report"},
    {"contract", "splits"},
    {"data", "project", "serving"},
    {"model", "vespa"},
    {"training", "evaluation", "export"},
)
SERVED = {"common", "contract", "serving", "vespa"}


@cache
def imports(file: Path) -> frozenset[Path]:
    """Files of ours that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        modules: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        candidates = (ROOT / (module.replace(".", "/") + ".py") for module in modules)
        found |= {file for file in candidates if file.is_file() and file.relative_to(ROOT).parts[0] in PACKAGES}
    return frozenset(found)


def code_of(stage: str) -> set[Path]:
    """Files that run in a stage: its module and all it imports, directly or not."""
    seen: set[Path] = set()
    waiting = {ROOT / MODULES[stage]}
    while waiting:
        file = waiting.pop()
        seen.add(file)
        waiting |= imports(file) - seen
    return seen


def outs_of(stage: str) -> set[str]:
    return {out if isinstance(out, str) else next(iter(out)) for out in STAGES[stage]["outs"]}


def before(stage: str) -> set[str]:
    """The stages of the pipeline that a stage's data come from, directly or not."""
    read = [Path(dep) for dep in STAGES[stage]["deps"]]
    found = {
        other
        for other in DVC["stages"]
        if any(
            dep == Path(out) or Path(out) in dep.parents or dep in Path(out).parents
            for dep in read
            for out in outs_of(other)
        )
    } - {stage}
    return found.union(*map(before, found))


def wing(file: Path) -> str:
    """The wing of ranker/ that a file is in; of its command line, none."""
    parts = file.relative_to(ROOT).parts
    return parts[1] if parts[0] == "ranker" and len(parts) > 2 else ""


@pytest.mark.parametrize("stage", STAGES)
def test_declared_code_is_the_imported_code(stage: str) -> None:
    """Every file that runs lies in what is declared, and all that is declared holds a file that runs."""
    running = code_of(stage)
    if stage == "export":  # its manifest has the digest of all the code that made the model
        assert before(stage) == {"fetch", "join", "encode", "embed", "distil", "split", "features", "train"}
        running = running.union(*map(code_of, before(stage)))
    declared = [ROOT / dep for dep in STAGES[stage]["deps"] if dep.startswith(CODE)]
    for file in running:
        assert any(file == place or place in file.parents for place in declared), f"{file} runs, and is not declared"
    for place in declared:
        assert place.exists()
        assert any(file == place or place in file.parents for file in running), f"{place} is declared, and nothing runs"


def test_no_wing_imports_upwards() -> None:
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    wings = {path.name for path in (ROOT / "ranker").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert wings == set(floor)
    for file in (ROOT / "ranker").rglob("*.py"):
        for other in imports(file):
            assert wing(other), f"{file} imports the command line"
            if wing(file) and wing(file) != wing(other):
                assert floor[wing(other)] < floor[wing(file)], f"{file} imports {other}"
    for file in [file for package in ("stages", "crossval") for file in (ROOT / package).glob("*.py")]:
        assert {found.relative_to(ROOT).parts[0] for found in imports(file)} <= {"ranker"}, file


def test_a_wing_has_two_to_eight_files_and_one_sentence() -> None:
    for folder in {file.parent for file in (ROOT / "ranker").rglob("*.py")} - {ROOT / "ranker"}:
        assert 2 <= len([file for file in folder.iterdir() if file.stem not in ("__init__", "__pycache__")]) <= 8
        body = ast.parse((folder / "__init__.py").read_text()).body
        assert len(body) == 1, f"{folder}: expected a docstring alone: an import there would be everybody's"


def test_every_path_has_one_home() -> None:
    homes = {ROOT / "ranker/project/paths.py", ROOT / "ranker/contract/folder.py"}
    for file in {file for package in PACKAGES for file in (ROOT / package).rglob("*.py")} - homes:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.startswith(("data/", "models/", "results/")), (file, node.value)


def test_every_path_is_an_output_or_within_one() -> None:
    outs = {Path(out) for stage in STAGES for out in outs_of(stage)} | {Path("data/sample")}
    for path in [value for value in vars(paths).values() if isinstance(value, Path)]:
        assert any(path == out or out in path.parents or path in out.parents for out in outs), path


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_those_that_the_code_reads(stage: str, read_params: dict[str, set[str]]) -> None:
    """What was read where the scratch repository was made: a section or a value of it."""
    if stage not in read_params:
        pytest.skip("the cross-validation's stages are run by its own tests")
    used = read_params[stage]
    if stage in ("export", "report"):  # their manifest and page list all that a model depends on
        used = used | (set(Params.model_fields) - NOT_EXPORTS)
    declared = set(STAGES[stage].get("params", []))
    for name in used:
        assert name in declared or name.split(".")[0] in declared, f"{name} is read, but not declared"
    # The command reads the launcher; features, which had nothing to do there, reads less than where it has.
    for name in declared - {"train.launcher"} if stage != "features" else ():
        assert any(name in (read, read.split(".")[0]) for read in used), f"{name} is declared, but not read"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_one_module_and_one_sentence(stage: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / MODULES[stage]).read_text())) or ""
    module = MODULES[stage].removesuffix(".py").replace("/", ".")
    command = STAGES[stage]["cmd"].split(" -m ")[1]
    assert command.split()[0] == module
    assert docstring.splitlines()[-1].split()[:3] == ["python", "-m", module]
    if command == module:
        assert STAGES[stage]["desc"] == docstring.splitlines()[0]


def test_every_stage_module_is_a_stage() -> None:
    files = [file for package in ("stages", "crossval") for file in (ROOT / package).glob("*.py")]
    modules = {file.relative_to(ROOT).as_posix() for file in files if file.stem != "__init__"}
    assert modules == set(MODULES.values())


def test_dvc_yaml_reads_as_the_dag() -> None:
    lines = (ROOT / "dvc.yaml").read_text().splitlines()
    assert len([line for line in lines if line.strip().startswith(tuple(f"- {place}" for place in CODE))]) <= 80
    assert len(lines) <= 290


HEAVY = {"torch", "transformers"}
OFFLINE = ("fetch", "join", "encode", "split", "features", "package", "evaluate", "report")  # features: where idle


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [(f"stages.{stage}", HEAVY) for stage in OFFLINE]
    + [("crossval.compare", HEAVY), ("crossval.report", HEAVY)]
    + [
        ("ranker.__main__", HEAVY | {"pandas", "pyarrow", "onnxruntime", "pydantic", "yaml"}),
        ("ranker.serving.rank", HEAVY | {"pandas", "pyarrow", "pydantic", "yaml", "tqdm"}),
        ("ranker.vespa.query", HEAVY | {"pandas", "pyarrow", "pydantic", "yaml", "vespa"}),
        ("ranker.serving.score", HEAVY | {"pandas", "pydantic", "yaml"}),
        ("ranker.vespa.feed", HEAVY | {"pandas", "pyarrow", "pydantic", "yaml"}),
    ],
)
def test_a_module_imports_what_it_uses(module: str, unwanted: set[str]) -> None:
    code = f"import sys, {module}; sys.exit(', '.join({unwanted!r} & set(sys.modules)) or None)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_what_serves_imports_no_other_wing() -> None:
    for file in [file for name in SERVED for file in (ROOT / "ranker" / name).glob("*.py")]:
        assert {wing(found) for found in imports(file)} <= SERVED, file


def test_the_artifact_is_what_export_writes() -> None:
    artifact = DVC["artifacts"][load_params(ROOT / "params.yaml").export.name]
    assert artifact["path"] == paths.RANKER.as_posix()


def test_metrics_and_plots_are_outputs() -> None:
    outs = {path for stage in STAGES for path in outs_of(stage)}
    plotted = [file for plot in DVC["plots"] for shown in plot.values() for file in shown["y"]]
    for path in [path.removeprefix("../") for path in [*DVC["metrics"], *plotted]]:
        assert any(path == out or path.startswith(f"{out}/") for out in outs), path

"""Both dvc.yaml files against the code: each stage declares the code that its imports reach, and its outputs."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from ranker.export.manifest import NOT_EXPORTS, RETRIEVERS, SEARCHES
from ranker.project import paths
from ranker.project.params import Params, Retriever
from tests.factories import PARAMS, ROOT
from tests.pipeline import check_declared
from tests.test_english import comments, docstrings

SCORED = ("cross_encoder", "once")  # the stages of crossval/train.py
DVC: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())
CROSSVAL: dict[str, Any] = yaml.safe_load((ROOT / "crossval/dvc.yaml").read_text())
STAGES: dict[str, dict[str, Any]] = DVC["stages"] | {
    f"crossval/{name}": stage for name, stage in CROSSVAL["stages"].items()
}
# Several stages of the cross-validation run one module, with the recipe as an argument.
MODULES = {stage: f"stages/{stage}.py" for stage in DVC["stages"]} | {
    f"crossval/{name}": f"crossval/{'train' if name in SCORED else name}.py" for name in CROSSVAL["stages"]
}
PACKAGES = ("ranker", "stages", "crossval")
CODE = ("ranker/", "stages/", "crossval/")
# From the bottom up: a wing may import wings of the rows above its own in this list, and no others.
FLOORS = (
    {"common", "metrics"},
    {"contract"},
    {"stack"},
    {"project", "serving"},
    {"base", "data", "model", "opensearch", "search", "splits", "vespa"},
    {"fetch", "judging", "retrieval", "service", "stacks"},
    {"release"},
    {"training", "evaluation", "export", "report"},
    {"hub"},
)
SERVED = {"common", "contract", "opensearch", "search", "service", "serving", "stack", "vespa"}


@cache
def imports(file: Path) -> frozenset[Path]:
    """Files of the project that a file imports, anywhere in it."""
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
    """Files that run in a stage: its module and all its imports, direct or indirect."""
    seen: set[Path] = set()
    waiting = {ROOT / MODULES[stage]}
    while waiting:
        file = waiting.pop()
        seen.add(file)
        waiting |= imports(file) - seen
    return seen


def outs_of(stage: str) -> set[str]:
    return {out if isinstance(out, str) else next(iter(out)) for out in STAGES[stage]["outs"]}


def wing(file: Path) -> str:
    """The wing of ranker/ that a file is in; empty for the command line."""
    parts = file.relative_to(ROOT).parts
    return parts[1] if parts[0] == "ranker" and len(parts) > 2 else ""


@pytest.mark.parametrize("stage", STAGES)
def test_deps_declare_the_code_that_is_imported(stage: str) -> None:
    """Every file that runs lies in a declared place, and every declared place holds a file that runs."""
    running = code_of(stage)
    declared = [ROOT / dep for dep in STAGES[stage]["deps"] if dep.startswith(CODE)]
    for file in running:
        assert any(file == place or place in file.parents for place in declared), f"{file} runs, and is not declared"
    for place in declared:
        assert place.exists()
        assert any(file == place or place in file.parents for file in running), f"{place} is declared, and nothing runs"


def test_wings_do_not_import_upwards() -> None:
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


def test_no_files_import_each_other() -> None:
    """Circles of any length count, and so do imports within a function."""
    files = {file for package in PACKAGES for file in (ROOT / package).rglob("*.py")}
    left = {file: imports(file) & files for file in files}
    while done := {file for file, needed in left.items() if not needed & left.keys()}:
        left = {file: needed for file, needed in left.items() if file not in done}
    assert not left


def test_nothing_imports_the_tests() -> None:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    others = [name for name in listed if not name.startswith("tests/")]
    assert "engines/harness.py" in others
    for name in others:
        assert not re.search(r"(?m)^\s*(?:from|import) tests\b", (ROOT / name).read_text()), name


def test_wings_have_two_to_eight_files_and_one_sentence() -> None:
    for folder in {file.parent for file in (ROOT / "ranker").rglob("*.py")} - {ROOT / "ranker"}:
        assert 2 <= len([file for file in folder.iterdir() if file.stem not in ("__init__", "__pycache__")]) <= 8
        body = ast.parse((folder / "__init__.py").read_text()).body
        assert len(body) == 1, f"{folder}: expected a docstring alone: an import there would be everybody's"


def nested_comprehensions(folders: Iterable[str]) -> float:
    """Comprehensions in or with a second loop, in 1,000 lines that are not blank."""
    kinds = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    texts = [file.read_text() for folder in folders for file in (ROOT / folder).rglob("*.py")]
    found = [node for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    nested = [node for node in found if sum(isinstance(part, (ast.comprehension)) for part in ast.walk(node)) > 1]
    return 1000 * len(nested) / sum(bool(line.strip()) for text in texts for line in text.splitlines())


def test_loops_in_comprehensions_are_few() -> None:
    assert nested_comprehensions(("ranker", "stages", "crossval", "scripts", "sweeps", "bench")) <= 1.5
    print(f"nested comprehensions in 1,000 lines of tests: {nested_comprehensions(['tests']):.1f}")


def words(file: Path) -> str:
    return "\n".join(comments(file) + docstrings(file))


def exists(name: str) -> bool:
    """True if a dotted name is one of our modules or a name in one."""
    module, *_ = [
        part for part in (name, name.rpartition(".")[0]) if (ROOT / (part.replace(".", "/") + ".py")).is_file()
    ] or [""]
    if not module:
        return (ROOT / name.replace(".", "/")).is_dir()
    return module == name or hasattr(importlib.import_module(module), name.rpartition(".")[2])


def test_comments_name_modules_that_exist() -> None:
    for file in [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]:
        for name in re.findall(r"\branker(?:\.[A-Za-z_]\w*)+(?![\w(])", words(file)):
            assert exists(name), f"{file}: {name}"
        for name in re.findall(r"\b(?:ranker|stages|crossval)/[\w/]+\.(?:py|yaml|html)", words(file)):
            assert (ROOT / name).is_file(), f"{file}: {name}"


def test_paths_have_one_home() -> None:
    homes = {ROOT / "ranker/project/paths.py", ROOT / "ranker/contract/folder.py"}
    for file in {file for package in PACKAGES for file in (ROOT / package).rglob("*.py")} - homes:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.startswith(("data/", "models/", "results/")), (file, node.value)


def test_paths_are_outputs_or_within_one() -> None:
    outs = {Path(out) for stage in STAGES for out in outs_of(stage)} | {paths.RUNS, paths.RELEASES}  # in Git
    for path in [value for value in vars(paths).values() if isinstance(value, Path)]:
        assert any(path == out or out in path.parents or path in out.parents for out in outs), path


@pytest.mark.parametrize("stage", STAGES)
def test_deps_declare_the_tables_that_a_stage_reads(stage: str) -> None:
    declared = [Path(place) for place in (*STAGES[stage]["deps"], *outs_of(stage))]
    read = re.findall(r"\bread_\w+\(paths\.([A-Z_]+)", (ROOT / MODULES[stage]).read_text())
    for path in [getattr(paths, name) for name in read]:
        assert any(path == place or place in path.parents for place in declared), path


@pytest.mark.parametrize("stage", DVC["stages"])
def test_params_declare_what_a_stage_reads(stage: str, read_params: dict[str, set[str]]) -> None:
    """The params read while the scratch repository was built; test_pipeline_crossval.py checks the other stages."""
    used = read_params.get(stage, set()) - {"fetch.folder", "fetch.judgements"}  # these are dependencies themselves
    listed = {"export": NOT_EXPORTS, "report": {"crossval"}}  # their manifest and page list all other params
    if stage in listed:
        used = used | (set(Params.model_fields) - listed[stage])
    if stage == "export_retriever":  # so does its manifest
        own = {f"retriever.{name}" for name in Retriever.model_fields if name not in SEARCHES["retriever"]}
        used = used | own | (RETRIEVERS - {"retriever"})
    # Some read more when they are not idle, and fetch and join with other formats.
    idle = ("features", "fetch", "first_stage", "join", "release_hits", "retriever", "score")
    unread = tuple(STAGES[stage]["params"]) if stage in idle else ()
    check_declared(STAGES[stage], used, ("train.launcher", "vespa", *unread))


def test_stages_watch_what_a_user_names() -> None:
    assert "${fetch.folder}" in STAGES["fetch"]["deps"]
    assert "${fetch.judgements}" in STAGES["join"]["deps"]


def test_pins_are_a_dependency_of_every_stage_that_says_where_others_are_installed() -> None:
    calls = {stage for stage in STAGES if "say_other_versions(" in (ROOT / MODULES[stage]).read_text()}
    declared = {stage for stage in STAGES if "requirements.txt" in STAGES[stage]["deps"]}
    assert calls == declared
    assert {"embed", "features", "train", "export", "evaluate"} | {f"crossval/{name}" for name in SCORED} <= calls


@pytest.mark.parametrize("stage", STAGES)
def test_stages_are_one_module_and_one_sentence(stage: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / MODULES[stage]).read_text())) or ""
    module = MODULES[stage].removesuffix(".py").replace("/", ".")
    command = STAGES[stage]["cmd"].split(" -m ")[1]
    assert command.split()[0] == module
    assert docstring.splitlines()[-1].split()[:3] == ["python", "-m", module]
    if command == module:
        assert STAGES[stage]["desc"] == docstring.splitlines()[0]


def test_every_module_of_stages_and_crossval_is_a_stage() -> None:
    files = [file for package in ("stages", "crossval") for file in (ROOT / package).glob("*.py")]
    modules = {file.relative_to(ROOT).as_posix() for file in files if file.stem != "__init__"}
    assert modules == set(MODULES.values())


@pytest.mark.parametrize(("file", "most_code_deps"), [("dvc.yaml", 6.6), ("crossval/dvc.yaml", 7.5)])
def test_dvc_yaml_reads_as_the_dag(file: str, most_code_deps: float) -> None:
    """Lines, plots included, and code deps are averages over stages."""
    lines = (ROOT / file).read_text().splitlines()
    stages = yaml.safe_load("\n".join(lines))["stages"]
    assert max(map(len, lines)) <= 120
    assert len(lines) / len(stages) <= 17.4
    deps = [dep for stage in stages.values() for dep in stage["deps"] if dep.startswith(CODE)]
    assert len(deps) / len(stages) <= most_code_deps


def test_manifests_digest_the_code_that_the_stages_declare() -> None:
    for name in ("train", "export", "retriever", "export_retriever"):
        digested = {file.as_posix() for file in importlib.import_module(f"stages.{name}").CODE}
        assert digested == {dep for dep in STAGES[name]["deps"] if dep.startswith(CODE)}


def test_crossval_has_every_recipe_and_no_stage_by_default() -> None:
    """DVC makes no stage of an empty list; test_pipeline_crossval.py checks this in DVC."""
    assert {name for name, stage in CROSSVAL["stages"].items() if " crossval.train " in stage["cmd"]} == set(SCORED)
    assert all("matrix" in stage for stage in CROSSVAL["stages"].values())
    assert not any(PARAMS.crossval.model_dump().values())


HEAVY = {"torch", "transformers"}
MODELS = {"onnx", "onnxruntime", "tokenizers"}
OFFLINE = (
    *("fetch", "join", "encode", "split", "retriever", "export_retriever"),  # the last two when idle
    *("first_stage", "negatives", "features"),  # features: when idle
    *("package", "opensearch", "evaluate", "report"),
)


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        ([*(f"stages.{stage}" for stage in OFFLINE), "crossval.compare", "crossval.report"], HEAVY),
        (["ranker.__main__"], HEAVY | {"pandas", "pyarrow", "onnxruntime", "pydantic", "yaml"}),
        (
            ["ranker.vespa.query", "ranker.vespa.feed"],
            HEAVY | MODELS | {"numpy", "pandas", "pyarrow", "pydantic", "yaml"},
        ),
        (
            ["ranker.serving.rank", "ranker.serving.retriever"],
            HEAVY | {"onnx", "pandas", "pyarrow", "pydantic", "yaml"},
        ),
        (["ranker.search.command"], HEAVY | {"onnx", "pandas", "pyarrow", "pydantic", "yaml"}),
        (["ranker.serving.score"], HEAVY | {"pandas", "pydantic", "yaml"}),
    ],
)
def test_modules_import_what_they_use(modules: list[str], unwanted: set[str]) -> None:
    """Import one after the other in a process that has imported nothing else."""
    code = (
        "import importlib, sys\n"
        f"for module in {modules!r}:\n"
        "    importlib.import_module(module)\n"
        f"    if found := {unwanted!r} & set(sys.modules):\n"
        "        sys.exit(f'{module} imports {found}')\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_what_serves_imports_no_other_wing() -> None:
    for file in [file for name in SERVED for file in (ROOT / "ranker" / name).glob("*.py")]:
        assert {wing(found) for found in imports(file)} <= SERVED, file


def test_what_serves_imports_nothing_that_windows_lacks() -> None:
    unix = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "termios"}
    for file in [file for name in SERVED for file in (ROOT / "ranker" / name).glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not unix & set(names), file


def test_artifacts_are_what_the_exports_write() -> None:
    found = {name: artifact["path"] for name, artifact in DVC["artifacts"].items()}
    expected = {
        "${export.name}": paths.RANKER,
        "${export.name}-retriever": paths.RETRIEVER,
        "${export.name}-hub": paths.HUB,
    }
    assert found == {name: path.as_posix() for name, path in expected.items()}


def test_metrics_and_plots_are_outputs() -> None:
    outs = {path for stage in STAGES for path in outs_of(stage)}
    plotted = [file for plot in DVC["plots"] for shown in plot.values() for file in shown["y"]]
    for path in [*DVC["metrics"], *plotted]:
        assert any(path == out or path.startswith(f"{out}/") for out in outs), path

"""The wheel of `make wheel`: the serving code, without the training code."""

import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pandas as pd
import pytest

from ranker.stack.stack import Stack, write_stack
from tests.factories import ROOT, Run
from tests.readme import recipe

WINGS = {"common", "contract", "opensearch", "search", "service", "serving", "stack", "vespa"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """Built by the Makefile's own lines with the installed setuptools, without any download."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md"):
        shutil.copyfile(ROOT / name, folder / name)
    shutil.copytree(ROOT / "ranker", folder / "ranker", ignore=shutil.ignore_patterns("__pycache__"))
    for line in recipe("wheel"):
        run(line, folder, PIP_NO_BUILD_ISOLATION="0", PIP_NO_INDEX="1")  # with 0, pip switches the isolation off
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "dist", "pyproject.toml", "ranker"]
    (found,) = (folder / "dist").iterdir()
    return found


def test_wheel_has_the_serving_wings_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    packed = {Path(name).parts[1] for name in names if name.startswith("ranker/") and name.count("/") > 1}
    assert packed == WINGS
    for wing in WINGS:
        files = {file.name for file in (ROOT / "ranker" / wing).iterdir() if file.suffix in (".py", ".html")}
        assert {Path(name).name for name in names if name.startswith(f"ranker/{wing}/")} == files
    assert {Path(name).parts[0].split("-")[0] for name in names} == {"ranker", "cord19_ranker"}


def test_wheel_asks_for_little_and_gives_a_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (about,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    asked = message_from_string(archive.read(about).decode()).get_all("Requires-Dist") or []
    plain = {line.split(">")[0] for line in asked if "extra" not in line}
    assert plain == {"numpy", "onnxruntime", "tokenizers"}
    (entry,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert "cord19-ranker = ranker.__main__:main" in archive.read(entry).decode()


ALLOWED = ["numpy", "onnxruntime", "tokenizers", "ranker"]
COMMAND = """
import sys
allowed = {*sys.argv.pop(2).split(","), *sys.stdlib_module_names}
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in allowed and not name.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(name + " is not here", name=name)
sys.meta_path.insert(0, Nothing())
sys.path.insert(0, sys.argv.pop(1))
import ranker
assert ".whl" in ranker.__file__
sys.argv[0] = "cord19-ranker"
from ranker.__main__ import main
main()
"""


@pytest.fixture
def folder(tmp_path: Path, ranker_folder: Path, word_vectors: Path) -> Path:
    """Documents and pairs to serve, and a project's folder `models`; its ranker's also as `ranker`."""
    (tmp_path / "titles.csv").write_text("document_id,title\na,Masks in wards\nb,Bats\n")
    columns = {"query_id": "1", "query": "masks", "document_id": ["a", "b"], "title": ["Masks in wards", "Bats"]}
    pd.DataFrame(columns).to_parquet(tmp_path / "pairs.parquet")
    (tmp_path / "ranker").symlink_to(ranker_folder)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/ranker").symlink_to(ranker_folder)
    (tmp_path / "models/retriever").symlink_to(word_vectors)
    weights = {"cross_encoder": 0.5, "cosine": 1.0, "bm25": 0.25}
    write_stack(tmp_path / "models/stack.json", Stack("hybrid", "fused", 10, weights, "en"))
    return tmp_path


def served(wheel: Path, folder: Path, command: str, *installed: str) -> "subprocess.CompletedProcess[str]":
    """Run from the wheel in a process that can import only its requirements and `installed`."""
    line = [sys.executable, "-c", COMMAND, str(wheel), ",".join([*ALLOWED, *installed]), *command.split()]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True)


def test_wheel_ranks_where_nothing_else_is_installed(wheel: Path, folder: Path) -> None:
    result = served(wheel, folder, "rank masks --documents titles.csv --model-dir ranker")
    assert result.returncode == 0, result.stderr
    assert {row.split()[2] for row in result.stdout.splitlines()[1:]} == {"a", "b"}
    assert served(wheel, folder, "--help").stdout.startswith("usage: cord19-ranker ")


SEARCH = ("bm25s", "Stemmer", "regex")


def test_wheel_searches_where_nothing_but_its_extra_is_installed(wheel: Path, folder: Path) -> None:
    """The whole stack: numpy alone beside the extra, without scipy, numba, torch, pandas and pyarrow."""
    result = served(wheel, folder, "search masks --documents titles.csv --explain --vectors kept", *SEARCH)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("hybrid+fused over 2 documents (title), by retriever fp32, cross-encoder fp32\n")
    assert [line.split()[-1] for line in result.stdout.splitlines()[6::2]] == ["a", "b"]
    assert len(list((folder / "kept").iterdir())) == 1


PYDANTIC = ("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection")
SERVE = (*SEARCH, *PYDANTIC, "starlette", "anyio", "idna", "uvicorn", "click", "h11")


def test_wheel_serves_where_nothing_but_its_extra_is_installed(wheel: Path, folder: Path) -> None:
    """The port is refused after all of it is imported, and the page is in the wheel."""
    result = served(wheel, folder, "serve --port 70000", *SERVE)
    assert (result.returncode, result.stderr) == (1, "serve: --port: expected 0 to 65535, found 70000\n")


ARROW = ("pyarrow", "tqdm", "pandas", "pytz", "dateutil", "six")  # pyarrow looks for pandas


@pytest.mark.parametrize(
    ("command", "installed", "message"),
    [
        ("search masks --documents titles.csv", [], "needs bm25s: {}[search]'"),
        ("serve --documents titles.csv", SEARCH, "needs uvicorn: {}[serve]'"),
        ("serve --documents titles.csv", ["uvicorn", "click", "h11"], "needs bm25s: {}[search]'"),
        ("search masks --documents titles.csv", ["bm25s", "regex"], "needs Stemmer: {}[search]'"),
        ("search masks --documents pairs.parquet", SEARCH, "needs pyarrow: {}[parquet]'"),
        ("rank masks --documents pairs.parquet --model-dir ranker", [], "needs pyarrow: {}[parquet]'"),
        ("feed pairs.parquet --out feed.jsonl", ["tqdm"], "needs pyarrow: {}[parquet]'"),
        ("feed pairs.parquet --out feed", ["tqdm"], "needs pyarrow: {}[parquet]'"),
        ("feed titles.csv --out feed.jsonl", [], "needs tqdm: {}[vespa]'"),
        ("feed titles.csv --out feed", ["tqdm"], "--out: expected a file .jsonl for titles.csv, found feed"),
        (
            "feed titles.csv --out feed.jsonl --ray-address local",
            ["tqdm"],
            "--ray-address: expected Parquet, found titles.csv",
        ),
        ("score pairs.parquet --out scores --model-dir ranker", [], "needs pyarrow: {}[parquet]'"),
        ("feed pairs.parquet --out feed --ray-address local", [*ARROW, "filelock"], "needs ray: {}[ray]'"),
    ],
)
def test_wheel_names_the_extra_that_a_command_needs(
    wheel: Path, folder: Path, command: str, installed: list[str], message: str
) -> None:
    result = served(wheel, folder, command, *installed)
    expected = f"{command.split()[0]}: {message.format('pip install ' + chr(39) + 'cord19-ranker')}\n"
    assert (result.returncode, result.stderr) == (1, expected)

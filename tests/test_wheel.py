"""The wheel that `make wheel` builds: what serves, and nothing of what trains."""

import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from tests.factories import ROOT, Run
from tests.readme import recipe

WINGS = {"common", "contract", "serving", "vespa"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """Built by the Makefile's own lines, with the setuptools that is installed: nothing is loaded from elsewhere."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md"):
        shutil.copyfile(ROOT / name, folder / name)
    shutil.copytree(ROOT / "ranker", folder / "ranker", ignore=shutil.ignore_patterns("__pycache__"))
    for line in recipe("wheel"):
        run(line, folder, PIP_NO_BUILD_ISOLATION="0", PIP_NO_INDEX="1")  # pip reads 0 as what the variable's name says
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "dist", "pyproject.toml", "ranker"]
    (found,) = (folder / "dist").iterdir()
    return found


def test_wheel_has_the_serving_wings_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    packed = {Path(name).parts[1] for name in names if name.startswith("ranker/") and name.count("/") > 1}
    assert packed == WINGS
    for wing in WINGS:
        files = {file.name for file in (ROOT / "ranker" / wing).glob("*.py")}
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


ALLOWED = {"numpy", "onnxruntime", "tokenizers", "ranker"}
COMMAND = f"""
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in {ALLOWED!r} | set(sys.stdlib_module_names):
            raise ModuleNotFoundError(name + " is not here")
sys.meta_path.insert(0, Nothing())
sys.path.insert(0, sys.argv.pop(1))
import ranker
assert ".whl" in ranker.__file__
sys.argv[0] = "cord19-ranker"
from ranker.__main__ import main
main()
"""


def test_wheel_ranks_where_nothing_else_is_installed(wheel: Path, ranker_folder: Path, tmp_path: Path) -> None:
    """In a process where importing anything else of what is installed fails, from the wheel itself."""
    (tmp_path / "titles.csv").write_text("document_id,title\na,Masks in wards\nb,Bats\n")
    asked = ["rank", "masks", "--documents", "titles.csv", "--model-dir", str(ranker_folder)]
    line = [sys.executable, "-c", COMMAND, str(wheel)]
    result = subprocess.run([*line, *asked], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert {row.split()[2] for row in result.stdout.splitlines()[1:]} == {"a", "b"}
    shown = subprocess.run([*line, "--help"], cwd=tmp_path, capture_output=True, text=True).stdout
    assert shown.startswith("usage: cord19-ranker ")

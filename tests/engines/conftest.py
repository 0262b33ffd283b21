"""The tests of this folder need Maven, a JDK and the engines' artifacts."""

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from engines import harness
from tests.factories import ROOT

# sentence-transformers imports it where there is one, and this environment's needs a newer huggingface_hub.
DATASETS = "datasets==4.8.5"  # Apache-2.0


def require(found: bool, missing: str) -> None:
    """Skip with one line where something is missing; fail if ENGINES=required, as in CI."""
    if not found:
        (pytest.fail if os.environ.get("ENGINES") == "required" else pytest.skip)(missing)


@pytest.fixture(scope="session", autouse=True)
def _at_hand() -> None:
    try:
        harness.jdk()
        harness.build()
    except harness.MissingError as missing:
        require(False, str(missing))


def install(*command: str, folder: Path) -> None:
    """Run an installation; skip with its last line of errors if it fails."""
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    require(ran.returncode == 0, f"{' '.join(command)}: {[*ran.stderr.splitlines(), ''][-2:]}")


def new_python(folder: Path) -> str:
    venv.create(folder, with_pip=True)
    return str(folder / "bin/python")


@pytest.fixture(scope="session")
def frameworks(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python with requirements-frameworks.txt, and behind it this environment's packages, torch among them."""
    folder = tmp_path_factory.mktemp("frameworks")
    python = new_python(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "behind.pth").write_text(sysconfig.get_path("purelib"))
    install(
        python, "-m", "pip", "install", "-q", "-r", str(ROOT / "requirements-frameworks.txt"), DATASETS, folder=folder
    )
    return python

"""The registry of versions, what Vespa serves of them, and the way back: a real Git and DVC project, a real server."""

import json
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from ranker.common.files import sha256
from ranker.project import paths
from ranker.release.registry import tag, take, versions
from tests.applications import vespa_settings, write_package
from tests.factories import PARAMS, ROOT, Run, refusal

NAME = PARAMS.export.name
STAGE = "stages:\n  package:\n    cmd: 'true'\n    deps: [made]\n    outs: [models/vespa]\n"
REASON = "the shop opens tomorrow"
VERSIONS = "0.9.0", "0.10.0", "0.11.0"  # in the order of their numbers, not of their letters


def tree(folder: Path) -> dict[str, str]:
    """Digest of each file, by its path in the folder."""
    return {file.relative_to(folder).as_posix(): sha256(file) for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def packages(ranker_folder: Path, word_vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of application packages, by version."""
    folder = tmp_path_factory.mktemp("packages")
    for version in VERSIONS:
        settings = vespa_settings("hybrid+fused", version=version)
        write_package(folder / version, ranker_folder, settings, retriever=word_vectors)
    return folder


@pytest.fixture(scope="module")
def registered(packages: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A project in the sub-folder `ranking` of a Git repository, with these packages, pushed and registered."""
    folder = tmp_path_factory.mktemp("registered") / "shop/ranking"
    folder.mkdir(parents=True)
    run("git init -q .. && dvc init -q --subdir && dvc remote add -q -d storage ../../storage", folder)
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    (folder / "dvc.yaml").write_text(STAGE)
    (folder / ".gitignore").write_text("/models\n")
    for version in VERSIONS:
        release(folder, packages / version, version, run, REASON if version == "0.10.0" else None)
    return folder.parents[1]


def release(folder: Path, package: Path, version: str, run: Run, reason: str | None = None) -> None:
    shutil.rmtree(folder / "models", ignore_errors=True)
    shutil.copytree(package, folder / "models/vespa")
    (folder / "made").write_text(version)
    (folder / "releases").mkdir(exist_ok=True)
    (folder / f"releases/{version}.json").write_text(json.dumps({"version": version, "reason": reason}))
    run("dvc commit -q --force && dvc push -q && git add --all", folder)
    run(f"git commit -q -m {version} && gto register ranking:{NAME} --version v{version}", folder)


@pytest.fixture
def project(registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project, with its remote beside it; this process works in it."""
    shutil.copytree(registered, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy/shop/ranking")
    return Path.cwd()


def test_versions_are_the_registered_ones_by_number(project: Path, run: Run) -> None:
    found = versions(NAME)
    assert [version.version for version in found] == ["0.9.0", "0.10.0", "0.11.0"]
    assert [version.reason for version in found] == [None, REASON, None]
    for version in found:
        assert version.tag == f"ranking={NAME}@v{version.version}"
        shown = run(f"git for-each-ref --format='%(*objectname) %(taggerdate:unix)' 'refs/tags/{version.tag}'", project)
        commit, seconds = shown.stdout.split()
        assert (version.commit, datetime.fromisoformat(version.date).timestamp()) == (commit, int(seconds))
    assert tag(NAME).version == "0.11.0"
    assert tag(NAME, before=1) == tag(NAME, "v0.10.0") == found[1]
    run(f"git checkout -q HEAD~2 && gto deprecate ranking:{NAME} v0.11.0", project)
    assert [version.version for version in versions(NAME)] == ["0.9.0", "0.10.0"]
    assert versions("other") == []


@pytest.mark.parametrize("place", ["cache", "remote", "clone"])
def test_outputs_come_from_the_cache_or_the_remote(
    project: Path, packages: Path, place: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "cache":
        shutil.rmtree(project.parents[1] / "storage")
    if place == "remote":
        shutil.rmtree(project / ".dvc/cache")
        (project.parents[1] / "storage").rename(project.parents[1] / "moved")  # since the last commit
        run("dvc remote modify -q storage url ../../moved", project)
    if place == "clone":
        run("git clone -q shop clone", project.parents[1])
        monkeypatch.chdir(project.parents[1] / "clone/ranking")
    take(paths.VESPA, tag(NAME, before=2).tag, Path("taken"))
    assert tree(Path("taken")) == tree(packages / "0.9.0")
    take(paths.VESPA / "services.xml", tag(NAME).tag, Path("services.xml"))
    assert Path("services.xml").read_bytes() == (packages / "0.11.0/services.xml").read_bytes()
    take(Path("made"), tag(NAME, "0.10.0").tag, Path("version"))  # Git has it
    assert Path("version").read_text() == "0.10.0"


def test_registry_refuses_with_one_line(
    project: Path, packages: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = "0.9.0, 0.10.0, 0.11.0"
    assert (
        refusal(tag, NAME, "1.0.0") == f"{NAME}: expected a registered version, found 1.0.0; registered are: {listed}"
    )
    assert refusal(tag, NAME, before=3) == f"{NAME}: expected at least 4 registered, found {listed}"
    assert refusal(tag, "other") == "other: expected at least 1 registered, found none (git fetch --tags)"
    newest = tag(NAME).tag
    found = refusal(take, Path("models/none"), newest, Path("taken"))
    assert found == f"models/none: expected a file or a folder of the project at {newest}, found none"
    shutil.rmtree(project / ".dvc/cache")
    schema = (packages / "0.11.0/schemas/doc.sd").read_bytes()
    (stored,) = [file for file in (project.parents[1] / "storage").rglob("*") if is_copy(file, schema)]
    stored.chmod(0o644)
    stored.write_text("an interrupted copy")
    assert "doc.sd at" in refusal(take, paths.VESPA, newest, Path("taken"))
    for state in ("a file is missing", "all are"):
        stored.unlink() if state == "a file is missing" else shutil.rmtree(project.parents[1] / "storage")
        run(f"rm -rf clone && git clone -q {project.parent} clone", tmp_path)
        monkeypatch.chdir(tmp_path / "clone/ranking")
        found = refusal(take, paths.VESPA, newest, Path("taken"))
        assert found.startswith(f"models/vespa at {newest}: expected its data in DVC's cache or remote (dvc push")
        assert not Path("taken").exists()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert refusal(versions, NAME).startswith(f"{tmp_path}/empty: expected a DVC project in a Git repository, found")
    run("dvc init -q --no-scm", tmp_path / "empty")
    assert refusal(versions, NAME).startswith(f"{tmp_path}/empty: expected a DVC project in a Git repository, found")


def is_copy(file: Path, content: bytes) -> bool:
    return file.is_file() and file.read_bytes() == content

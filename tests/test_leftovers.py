"""ranker.common.leftovers: params that differ from the last commit, and silence if the difference is unknown."""

from pathlib import Path

import pytest

from ranker.common.leftovers import changed_params
from tests.factories import Run

COMMITTED = "fetch:\n  folder: data  # a comment\n  splits: [a, b]\nsplit:\n  near: 1.0\n"


@pytest.fixture
def params(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A params.yaml that is committed, in the folder that a test is in."""
    (tmp_path / "params.yaml").write_text(COMMITTED)
    run("git init -q && git add -A && git commit -qm params", tmp_path)
    monkeypatch.chdir(tmp_path)
    return Path("params.yaml")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (COMMITTED, []),
        (COMMITTED.replace("[a, b]", "\n  - a\n  - b").replace("  # a comment", ""), []),  # as DVC writes it
        (COMMITTED.replace("data", "mine").replace("1.0", "0.9"), ["fetch.folder", "split.near"]),
        (COMMITTED.replace("1.0", "true"), ["split.near"]),  # equal to 1 in Python
        (COMMITTED.replace("  near: 1.0", "  far: 2"), ["split.near", "split.far"]),
        ("- fetch", []),
        ("fetch: [", []),
        ("", []),
    ],
)
def test_changed_params_compares_values(params: Path, content: str, expected: list[str]) -> None:
    params.write_text(content)
    assert changed_params(params) == expected


def test_changed_params_of_a_folder_within_a_repository(params: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/params.yaml").write_text(COMMITTED)
    run("git add -A && git commit -qm inner", tmp_path)
    (tmp_path / "inner/params.yaml").write_text(COMMITTED.replace("data", "mine"))
    assert changed_params(Path("inner/params.yaml")) == ["fetch.folder"]
    assert changed_params(params) == []


@pytest.mark.parametrize("why", ["no file", "not committed", "no work tree", "no git", "queued"])
def test_changed_params_says_nothing_where_it_cannot_know(
    params: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    params.write_text(COMMITTED.replace("data", "mine"))
    if why == "no file":
        params.unlink()
    if why == "not committed":
        run("git rm -q --cached params.yaml && git commit -qm none", tmp_path)
    if why == "no work tree":
        (tmp_path / ".git").rename(tmp_path / "git")
    if why == "no git":
        monkeypatch.setenv("PATH", "")
    if why == "queued":
        folder = tmp_path / ".dvc/tmp/exps/one"
        folder.mkdir(parents=True)
        run(f"git clone -q {tmp_path} .", folder)
        (folder / params).write_text(params.read_text())
        monkeypatch.chdir(folder)
    assert changed_params(params) == []

"""Whole files or none."""

from pathlib import Path

import pytest

from ranker.common.errors import InputError
from ranker.common.files import atomic, sha256, sole, write_json


def test_a_file_that_fails_halfway_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_takes_the_place_of_a_full_one(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").write_text("old")
    with atomic(path) as partial:
        partial.mkdir()
        (partial / "new").write_text("new")
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".model.partial").mkdir()
    with atomic(tmp_path / "model") as partial:
        partial.write_text("new")
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_json_is_utf8_and_keeps_its_order(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"β": 1, "a": 0.1})
    assert (tmp_path / "a.json").read_bytes() == '{\n  "β": 1,\n  "a": 0.1\n}\n'.encode()


def test_what_is_held_is_held_by_one(tmp_path: Path) -> None:
    with sole(tmp_path):
        with pytest.raises(InputError, match="expected no other run that writes it, found one"), sole(tmp_path):
            pass
        with sole(Path(__file__)):
            pass
    with sole(tmp_path):
        pass


def test_sha256_of_the_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert sha256(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

"""ranker.common.files: complete files only, one writer at a time, digests."""

import hashlib
from pathlib import Path

import pytest

from ranker.common.errors import InputError
from ranker.common.files import atomic, code_digest, exclusive, remove, sha256, write_json


def test_atomic_leaves_the_old_file_where_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_puts_a_folder_in_the_place_of_a_full_one(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").write_text("old")
    with atomic(path) as partial:
        partial.mkdir()
        (partial / "new").write_text("new")
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_removes_what_a_killed_run_left(tmp_path: Path) -> None:
    (tmp_path / ".model.partial").mkdir()
    with atomic(tmp_path / "model") as partial:
        partial.write_text("new")
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_write_json_is_utf_8_and_keeps_its_order(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"β": 1, "a": 0.1})
    assert (tmp_path / "a.json").read_bytes() == '{\n  "β": 1,\n  "a": 0.1\n}\n'.encode()


def test_write_json_refuses_values_that_json_lacks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_exclusive_is_held_by_one(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with exclusive(lock):
        with (
            pytest.raises(InputError, match=f"{lock}: expected no other run that writes here, found one"),
            exclusive(lock),
        ):
            pass
        with exclusive(tmp_path / "another"):
            pass
    with exclusive(lock):
        pass


def test_remove_takes_files_folders_and_links_alone(tmp_path: Path) -> None:
    (tmp_path / "folder/within").mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    remove(tmp_path / "link")
    assert (tmp_path / "folder/within").is_dir()
    for name in ("folder", "file", "never there"):
        remove(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_code_digest_is_of_names_and_bytes_wherever_they_lie(tmp_path: Path) -> None:
    digests = []
    for place in ("here", "there"):
        wing = tmp_path / place / "wing"
        (wing / "deeper/__pycache__").mkdir(parents=True)
        for name in ("a.py", "deeper/page.html", "deeper/__pycache__/a.cpython-311.pyc", "notes.txt"):
            (wing / name).write_text(name)
        (tmp_path / place / "one.py").write_text("one")
        digests.append(code_digest(tmp_path / place / "one.py", wing))
    assert digests[0] == digests[1]
    listed = [(sha256(wing / name), f"wing/{name}") for name in ("a.py", "deeper/page.html")]
    listed = [(sha256(tmp_path / "there/one.py"), "one.py"), *listed]
    lines = "".join(f"{digest}  {name}\n" for digest, name in listed)
    assert digests[1] == hashlib.sha256(lines.encode()).hexdigest()  # as sha256sum prints them
    (wing / "notes.txt").write_text("changed")
    assert code_digest(tmp_path / "there/one.py", wing) == digests[1]
    (wing / "deeper/page.html").rename(wing / "page.html")
    assert code_digest(tmp_path / "there/one.py", wing) != digests[1]

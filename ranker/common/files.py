"""Whole files, written atomically, and their digests."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ranker.common.errors import InputError

CODE = (".py", ".html")  # suffixes
MAX_BYTES = 2**32  # of a downloaded file: TREC-COVID's largest has 6 MB, the largest BERT's weights 1.3 GB


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or a folder to; it takes `path`'s place only if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    remove(partial)  # left by a killed run
    try:
        yield partial
        if partial.is_dir():
            remove(path)  # rename() cannot replace a folder that has files
        partial.replace(path)
    finally:
        remove(partial)


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file `lock`; InputError if another process has it."""
    from filelock import FileLock, Timeout  # an extra of the wheel, because ranking needs no lock

    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"{lock}: expected no other run that writes here, found one") from error
    try:
        yield
    finally:
        held.release()


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_digest(*places: Path) -> str:
    """Hex SHA-256 of the .py and .html files in `places` at any depth, independent of where these lie."""
    digest = hashlib.sha256()
    for place in sorted(places):
        for file in sorted(file for file in (place, *place.rglob("*")) if file.suffix in CODE):
            digest.update(f"{sha256(file)}  {file.relative_to(place.parent).as_posix()}\n".encode())
    return digest.hexdigest()


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented UTF-8 JSON, keys in their own order."""
    with atomic(path) as partial:
        partial.write_text(
            json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8", newline="\n"
        )

"""Whole files, written atomically, and their digests."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ranker.errors import InputError

if TYPE_CHECKING:  # serving reads digests without it
    import pandas as pd


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or a folder to; it takes `path`'s place only if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    remove(partial)  # what a killed run left
    try:
        yield partial
        if partial.is_dir():
            remove(path)  # rename() puts no folder in the place of a full one
        partial.replace(path)
    finally:
        remove(partial)


@contextmanager
def sole(path: Path) -> Iterator[None]:
    """Hold a file or a folder that is there, until the block ends; InputError where another process holds it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{path}: expected no other run that writes it, found one") from error
        yield
    finally:
        os.close(handle)


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


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV with a header, without its index."""
    with atomic(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented UTF-8 JSON; keys keep their order, so equal content gives equal bytes."""
    with atomic(path) as partial:
        partial.write_text(
            json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
            encoding="utf-8",
            newline="\n",
        )

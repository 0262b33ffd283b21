"""One file from a path or an http(s) URL: streamed, retried, checked by its digest; in place whole or not at all."""

import re
import shutil
from pathlib import Path

import pooch
import requests

from ranker.errors import InputError
from ranker.files import atomic, sha256

TRIES = 3
TIMEOUT = 30  # seconds without a byte
CHUNK = 2**16  # bytes


def fetch_file(source: str, destination: Path, expected_sha256: str = "") -> None:
    """Copy or download `source` to `destination`, with a progress bar for URLs.

    A failed download or a wrong digest is tried again, TRIES times in all. InputError names the source and what was
    wrong with it; `destination` is then what it was.
    """
    with atomic(destination) as partial:
        if re.match(r"https?://", source, re.IGNORECASE):
            _download(source, partial, expected_sha256)
        elif scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source):
            raise InputError(f"{source}: expected a path or an http(s) URL, found {scheme[0]}")
        else:
            _copy(Path(source), partial, expected_sha256)


def _copy(source: Path, partial: Path, expected_sha256: str) -> None:
    if not source.is_file():
        raise InputError(f"{source}: expected a file, found {'a folder' if source.is_dir() else 'none'}")
    shutil.copyfile(source, partial)
    check_digest(str(source), partial, expected_sha256)


def _download(url: str, partial: Path, expected_sha256: str) -> None:
    downloader = pooch.HTTPDownloader(progressbar=True, chunk_size=CHUNK, timeout=TIMEOUT)
    fetcher = pooch.create(
        path=partial.parent,
        base_url="",
        registry={partial.name: f"sha256:{expected_sha256}" if expected_sha256 else None},
        urls={partial.name: url},
        retry_if_failed=TRIES - 1,
    )
    try:
        fetcher.fetch(partial.name, downloader=downloader)
    except (requests.RequestException, ValueError) as error:  # ValueError: the digest
        raise InputError(f"{url}: {error}") from error


def check_digest(source: str, file: Path, expected_sha256: str) -> None:
    """InputError unless `file` has this SHA-256, or none is expected."""
    if expected_sha256 and (found := sha256(file)) != expected_sha256:
        raise InputError(f"{source}: expected sha256 {expected_sha256}, found {found}")

"""One file from a path or an http(s) URL: streamed, retried, bounded, checked, written atomically."""

import re
import shutil
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pooch
import requests
from tqdm import tqdm

from ranker.common.errors import InputError
from ranker.common.files import MAX_BYTES, atomic, sha256

TRIES = 3
TIMEOUT = 30  # seconds without a byte
REDIRECTS = 10
CHUNK = 2**16  # bytes


def fetch_file(source: str, destination: Path, expected_sha256: str = "") -> None:
    """Copy or download `source` to `destination`, with a progress bar for URLs.

    A failed download or a wrong digest is tried TRIES times; more than MAX_BYTES or a redirect to another scheme fails
    at once. InputError names the source and the mistake, and leaves `destination` unchanged.
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
    fetcher = pooch.create(
        path=partial.parent,
        base_url="",
        registry={partial.name: f"sha256:{expected_sha256}" if expected_sha256 else None},
        urls={partial.name: url},
        retry_if_failed=TRIES - 1,
    )
    try:
        fetcher.fetch(partial.name, downloader=_stream)
    except (requests.RequestException, ValueError) as error:  # ValueError: the digest
        raise InputError(f"{url}: {error}") from error


def _stream(url: str, partial: str, _: pooch.Pooch) -> None:
    with _open(url) as response, Path(partial).open("wb") as file:
        response.raise_for_status()
        size = int(response.headers.get("Content-Length", 0))
        with tqdm(desc=Path(urlsplit(url).path).name, total=size or None, unit="B", unit_scale=True) as bar:
            for chunk in response.iter_content(CHUNK):
                if file.tell() + len(chunk) > MAX_BYTES:
                    raise InputError(f"{url}: expected at most {MAX_BYTES} bytes, found more")
                file.write(chunk)
                bar.update(len(chunk))


def _open(url: str) -> requests.Response:
    """Follow redirects without reading their bodies; InputError if one leads to another scheme.

    A redirect from https to http would give up the authentication of the content.
    """
    there = url
    for _ in range(REDIRECTS + 1):
        response = requests.get(there, stream=True, timeout=TIMEOUT, allow_redirects=False)
        if not response.is_redirect:
            return response
        response.close()
        here, there = there, urljoin(there, response.headers["Location"])
        if urlsplit(there).scheme != urlsplit(here).scheme:
            raise InputError(f"{here}: expected no redirect to another scheme, found one to {there}")
    raise InputError(f"{url}: expected at most {REDIRECTS} redirects, found more")


def check_digest(source: str, file: Path, expected_sha256: str) -> None:
    """InputError unless `file` has this SHA-256, or none is expected."""
    if expected_sha256 and (found := sha256(file)) != expected_sha256:
        raise InputError(f"{source}: expected sha256 {expected_sha256}, found {found}")


def has_etag(url: str) -> bool:
    """True if the server sends a version (ETag) for a URL."""
    try:
        with requests.head(url, timeout=TIMEOUT, allow_redirects=True) as response:
            return "ETag" in response.headers
    except requests.RequestException as error:
        raise InputError(f"{url}: {error}") from error

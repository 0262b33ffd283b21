"""Files of a source that the user names: a folder, a zip or tar, or the URL of an archive."""

import re
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from ranker.common.errors import InputError
from ranker.common.files import MAX_BYTES, atomic, sha256
from ranker.fetch.download import check_digest, fetch_file, has_etag

URL = re.compile(r"https?://", re.IGNORECASE)
CHUNK = 2**20


class MissingFileError(InputError):
    """A source lacks a file that was asked for."""


def take_files(source: str, names: tuple[str, ...], destination: Path, expected_sha256: str = "") -> None:
    """Copy the files `names`, which may be patterns, of a source into the folder `destination`, all or none.

    In an archive they may be in any one folder. Links, paths that lead out of it and files of more than MAX_BYTES are
    refused. A URL needs a digest if its server sends no version (ETag) for DVC to watch. InputError names the source.
    """
    with TemporaryDirectory() as work, atomic(destination) as partial:
        partial.mkdir()
        place = _fetched(source, Path(work), expected_sha256)
        with _opened(source, place, names) as files:
            for name, content in files:
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                with (partial / name).open("wb") as file:
                    _copy(content, file, f"{source}: {name}")


def _fetched(source: str, work: Path, expected_sha256: str) -> Path:
    if not URL.match(source):
        return _checked(source, expected_sha256)
    archive = work / "archive"
    fetch_file(source, archive, expected_sha256)
    if not expected_sha256 and not has_etag(source):
        raise InputError(
            f"{source}: fetch.sha256: expected the digest, because its server gives no ETag that DVC could watch, "
            f"found none: it is {sha256(archive)}"
        )
    return archive


def _checked(source: str, expected_sha256: str) -> Path:
    if scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source):
        raise InputError(f"{source}: expected a folder, an archive or its http(s) URL, found {scheme[0]}")
    place = Path(source)
    if expected_sha256 and place.is_dir():
        raise InputError(
            f"{source}: fetch.sha256: expected none of a folder, whose files DVC watches, found {expected_sha256}"
        )
    if place.is_file():
        check_digest(source, place, expected_sha256)
    return place


@contextmanager
def _opened(source: str, place: Path, names: tuple[str, ...]) -> Iterator[Iterator[tuple[str, BinaryIO]]]:
    """Open the files `names` of a folder or an archive."""
    if place.is_dir():
        yield _of_folder(source, place, names)
    elif zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as archive:
            yield _of_zip(source, archive, names)
    elif place.is_file() and tarfile.is_tarfile(place):
        with tarfile.open(place) as archive:
            yield _of_tar(source, archive, names)
    else:
        found = "another file" if place.is_file() else "none"
        raise InputError(f"{source}: expected a folder, a zip or a tar, found {found}")


def _of_folder(source: str, folder: Path, names: tuple[str, ...]) -> Iterator[tuple[str, BinaryIO]]:
    for name in names:
        found = sorted(path for path in folder.glob(name) if path.is_file() and not _is_hidden(path.name, name))
        if not found:
            there = ", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "nothing"
            raise MissingFileError(f"{source}: expected the file {name}, found {there}")
        for path in found:
            with path.open("rb") as content:
                yield path.relative_to(folder).as_posix(), content


def _of_zip(source: str, archive: zipfile.ZipFile, names: tuple[str, ...]) -> Iterator[tuple[str, BinaryIO]]:
    members = {member.filename: member for member in archive.infolist() if not member.is_dir()}
    for name, path in _members(source, list(members), names):
        if members[path].external_attr >> 28 == 0xA:
            raise InputError(f"{source}: {path}: expected a file, found a link")
        with archive.open(members[path]) as content:
            yield name, content  # type: ignore[misc]  # IO[bytes]


def _of_tar(source: str, archive: tarfile.TarFile, names: tuple[str, ...]) -> Iterator[tuple[str, BinaryIO]]:
    members = {member.name: member for member in archive.getmembers() if not member.isdir()}
    for name, path in _members(source, list(members), names):
        content = archive.extractfile(members[path]) if members[path].isfile() else None
        if content is None:
            raise InputError(f"{source}: {path}: expected a file, found a link or a device")
        yield name, content  # type: ignore[misc]  # IO[bytes]


def _members(source: str, paths: list[str], names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Each file's name and path in an archive; InputError if one is missing or repeated, or a path leads out of it."""
    for path in paths:
        if path.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", path) or ":" in path.partition("/")[0]:
            raise InputError(f"{source}: expected members within the archive, found {path!r}")
    roots = set()
    for name in names:
        found = [path for path in paths if _matches(path, name)]
        if not found or (len(found) > 1 and "*" not in name):
            shown = ", ".join(found or paths[:8]) or "nothing"
            kind = InputError if found else MissingFileError
            raise kind(f"{source}: expected the file {name} once, found {shown}")
        for path in found:
            place = "/".join(path.split("/")[-len(name.split("/")) :])
            roots.add(path.removesuffix(place))
            if len(roots) > 1:
                raise InputError(f"{source}: expected all files in one folder, found {' and '.join(sorted(roots))}")
            yield place, path


def _matches(path: str, name: str) -> bool:
    """True if the last parts of a path match a name's pattern; files that macOS adds to an archive never match."""
    parts, patterns = path.split("/"), name.split("/")
    if parts[0] == "__MACOSX" or len(parts) < len(patterns) or _is_hidden(parts[-1], patterns[-1]):
        return False
    return all(map(fnmatchcase, parts[-len(patterns) :], patterns))


def _is_hidden(file: str, pattern: str) -> bool:
    """True for a dot file that the pattern does not name, as in a shell: macOS writes `._x` beside `x`."""
    return file.startswith(".") and not pattern.startswith(".")


def _copy(content: BinaryIO, file: BinaryIO, where: str) -> None:
    """Copy at most MAX_BYTES, because the size that an archive states can be wrong."""
    copied = 0
    while chunk := content.read(CHUNK):
        copied += len(chunk)
        if copied > MAX_BYTES:
            raise InputError(f"{where}: expected at most {MAX_BYTES} bytes, found more")
        file.write(chunk)

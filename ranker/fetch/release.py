"""Take a release from the registry, a folder or an archive, and check its files."""

import hashlib
import re
from pathlib import Path

from ranker.common.errors import InputError
from ranker.common.files import read_json, sha256, write_json
from ranker.contract.folder import CONTRACT_FILE, MANIFEST_FILE, TOKENIZER_FILE, check_digests
from ranker.fetch.source import MissingFileError, take_files
from ranker.project import paths
from ranker.project.paths import ORIGIN_FILE, RELEASE_FILE

VERSION = re.compile(r"[^@]+@v[0-9]+\.[0-9]+\.[0-9]+")  # of an artifact, as GTO tags it
RANKER, RETRIEVER, STACK = paths.RANKER.name, paths.RETRIEVER.name, paths.STACK.name
# The layouts of folders and archives: with a retriever, without one, and the ranker's files alone.
LAYOUTS = (
    (f"{RANKER}/*", f"{RETRIEVER}/*", STACK),
    (f"{RANKER}/*", STACK),
    (MANIFEST_FILE, CONTRACT_FILE, TOKENIZER_FILE, "model*.onnx"),
)


def take_release(source: str, expected_sha256: str, folder: Path) -> str:
    """Put a release into the empty `folder`, and check its files; returns its digest.

    `source` is an artifact's version, a folder or an archive. Only a version may lack its digest, because its Git
    commit fixes it. InputError names the source and the mistake.
    """
    commit = "" if Path(source).exists() else _commit(source)
    if commit:
        _from_registry(source, folder)
    else:
        _from_files(source, folder)
    for name in (RANKER, RETRIEVER):
        if (folder / name / MANIFEST_FILE).is_file():
            check_digests(folder / name, *_digested(folder / name))
    digest = folder_digest(folder)
    if digest != (expected_sha256 or (digest if commit else "")):
        expected = expected_sha256 or "its digest, because DVC cannot watch a folder or archive outside the project"
        raise InputError(f"{source}: evaluate.sha256: expected {expected}, found {digest}")
    write_json(folder / ORIGIN_FILE, {"against": source, "sha256": digest, "commit": commit})
    return digest


def _commit(source: str) -> str:
    """The commit of an artifact's version; empty for another source.

    InputError for a URL, or if there is no such tag.
    """
    if "://" in source:
        raise InputError(f"{source}: expected an artifact's version, a folder or an archive, found a URL")
    if not VERSION.fullmatch(source):
        return ""
    from ranker.fetch.registry import commit_of  # takes two seconds to import

    return commit_of(source)


def _from_registry(tag: str, folder: Path) -> None:
    from ranker.fetch.registry import is_there, take  # takes two seconds to import

    take(paths.RANKER, tag, folder / RANKER)
    written = paths.RELEASES / f"{tag.rpartition('@v')[2]}.json"
    for path, name in ((paths.RETRIEVER, RETRIEVER), (paths.STACK, STACK), (written, RELEASE_FILE)):
        if is_there(path, tag):  # an older release had none
            take(path, tag, folder / name)


def _from_files(source: str, folder: Path) -> None:
    for layout in LAYOUTS:
        place = folder / RANKER if layout == LAYOUTS[-1] else folder / "taken"
        try:
            take_files(source, layout, place)
        except MissingFileError:
            continue
        if place.name == "taken":
            for path in list(place.iterdir()):
                path.rename(folder / path.name)
            place.rmdir()
        return
    raise InputError(
        f"{source}: expected a release: {RANKER}/, {RETRIEVER}/ and {STACK} as in models/, or the files of a "
        "ranker, found neither"
    )


def _digested(folder: Path) -> list[str]:
    """The files of its manifest that are there: what searches does not need those for sentence-transformers."""
    try:
        return [name for name in read_json(folder / MANIFEST_FILE)["files"] if (folder / name).is_file()]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{folder / MANIFEST_FILE}: expected a manifest, found: {error!r}") from error


def folder_digest(folder: Path) -> str:
    """Hex SHA-256 of the output of `sha256sum` for all files of a folder, sorted by their paths."""
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    lines = [f"{sha256(folder / name)}  {name}\n" for name in files if name != RELEASE_FILE]
    return hashlib.sha256("".join(lines).encode()).hexdigest()

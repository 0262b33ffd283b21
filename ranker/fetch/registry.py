"""The registry: versions are GTO's tags in Git; their outputs are in DVC's cache or remote."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.scm import Git
from dvc_data.index import DataIndexDirError
from gto.constants import SEPARATOR_IN_NAME, VersionSort
from gto.registry import GitRegistry
from scmrepo.exceptions import SCMError
from scmrepo.fs import GitFileSystem

from ranker.common.errors import InputError, one_line
from ranker.common.files import atomic


@dataclass(frozen=True)
class Registered:
    """A registered version of an artifact."""

    version: str  # without GTO's v: 0.1.0
    tag: str
    commit: str  # 40 hex digits
    date: str  # of the tag, ISO 8601 in UTC
    reason: str | None  # with which a refusal was overridden


def versions(name: str) -> list[Registered]:
    """The registered versions of the artifact `name` of this folder's dvc.yaml, the newest (by its number) last.

    InputError if this folder is no DVC project in a Git repository.
    """
    with _repository() as repo:
        registrations = [version.registrations[-1] for version in _versions(repo, name, active=True)]
        return [_registered(repo.scm, _root(repo), registration) for registration in registrations]


def used(name: str) -> set[str]:
    """The version numbers that have been registered, deprecated ones, too."""
    with _repository() as repo:
        return {version.version.removeprefix("v") for version in _versions(repo, name, active=False)}


def full_name(name: str) -> str:
    """The artifact's name for GTO, which prefixes it with the folder of a project that is a sub-folder."""
    with _repository() as repo:
        return _full_name(repo, name)


def _root(repo: Any) -> str:
    return Path(repo.root_dir).relative_to(repo.scm.root_dir).as_posix()


def _full_name(repo: Any, name: str) -> str:
    return name if _root(repo) == "." else f"{_root(repo)}{SEPARATOR_IN_NAME}{name}"


def _versions(repo: Any, name: str, active: bool) -> list[Any]:
    with GitRegistry.from_scm(repo.scm) as registry:
        artifact = registry.find_artifact(_full_name(repo, name), create_new=True)
        found: list[Any] = artifact.get_versions(active_only=active, sort=VersionSort.SemVer, ascending=True)
        return found


def tag(name: str, version: str | None = None, before: int = 0) -> Registered:
    """The registered `version` of an artifact, or the one that is `before` steps older than the newest.

    InputError if there is none; the message names those that exist.
    """
    found = versions(name)
    known = ", ".join(registered.version for registered in found) or "none (git fetch --tags)"
    if version is None:
        if len(found) <= before:
            raise InputError(f"{name}: expected at least {before + 1} registered, found {known}")
        return found[-1 - before]
    for registered in found:
        if registered.version == version.removeprefix("v"):
            return registered
    raise InputError(f"{name}: expected a registered version, found {version}; registered are: {known}")


def commit_of(tag: str) -> str:
    """The commit that a tag names, 40 hex digits; InputError if there is no such tag."""
    with _repository() as repo:
        return _commit(repo, tag)


def _commit(repo: Any, tag: str) -> str:
    try:
        found: str = repo.scm.resolve_rev(tag)
    except SCMError as error:
        raise InputError(f"{tag}: expected a tag, found none (git fetch --tags): {one_line(str(error))}") from error
    return found


def is_there(path: Path, tag: str) -> bool:
    """True if the project had a file or a folder at `path` at a tag."""
    with _repository() as repo, repo.switch(_commit(repo, tag)):
        return bool(repo.dvcfs.exists(path.as_posix()))


def take(path: Path, tag: str, destination: Path) -> None:
    """Write the output at `path`, a file or a folder, as it was at a tag; from DVC's cache or else from its remote.

    InputError if neither has the output, or if a file's bytes are not those that DVC recorded.
    """
    with _repository() as repo, repo.switch(_commit(repo, tag)):
        files, source = repo.dvcfs, path.as_posix()
        if not files.exists(source):
            raise InputError(f"{path}: expected a file or a folder of the project at {tag}, found none")
        try:
            recorded = _recorded(files, source)
            with atomic(destination) as partial:
                files.get(source, str(partial), recursive=True)
                for name, md5 in recorded.items():
                    if md5 and _md5(partial / name) != md5:
                        raise InputError(f"{path / name} at {tag}: expected md5 {md5}, found other bytes in DVC")
        except (DvcException, DataIndexDirError, FileNotFoundError) as error:
            expected = "expected its data in DVC's cache or remote (dvc push where it was made), found"
            raise InputError(f"{path} at {tag}: {expected}: {one_line(str(error))}") from error


@contextmanager
def _repository() -> Iterator[Any]:
    """DVC's repository of this folder; InputError unless it lies in a Git repository.

    Its remotes are today's at each revision: a storage that has moved, or a path relative to the folder of the config.
    """
    try:
        with Repo() as today:
            config = {section: today.config[section] for section in ("core", "remote", "cache")}
    except (DvcException, SCMError) as error:
        raise InputError(f"{Path.cwd()}: expected a DVC project in a Git repository, found: {error}") from error
    with Repo(config=config) as repo:
        if not isinstance(repo.scm, Git):
            raise InputError(f"{Path.cwd()}: expected a DVC project in a Git repository, found no Git")
        yield repo


def _recorded(files: Any, source: str) -> dict[str, str | None]:
    """MD5 of each file by its path relative to `source` (`.` is a single file's); None of a file that Git has."""
    found = list(files.find(source))
    return {Path(name).relative_to(source).as_posix(): files.info(name).get("md5") for name in found}


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _registered(scm: Any, root: str, registration: Any) -> Registered:
    version = registration.version.removeprefix("v")
    files = GitFileSystem(scm=scm, rev=registration.commit_hexsha)
    note = f"/{root}/releases/{version}.json".replace("/./", "/")
    reason = json.loads(files.cat_file(note)).get("reason") if files.exists(note) else None
    date = registration.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Registered(version, registration.tag, registration.commit_hexsha, date, reason)

"""A release as it ships: taken from the registry, a folder or an archive, checked, and read."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ranker.common.errors import InputError
from ranker.common.files import read_json, sha256, write_json
from ranker.contract.folder import CONTRACT_FILE, IDLE_FILE, MANIFEST_FILE, TOKENIZER_FILE, Model, check_digests
from ranker.contract.stacks import FIRST_STAGES, FirstStageName
from ranker.fetch.source import MissingFileError, take_files
from ranker.project import paths
from ranker.project.params import RENAMED, flat
from ranker.stack.stack import MODELS, STACK_FILE, Stack, read_models, read_stack

VERSION = re.compile(r"[^@]+@v[0-9]+\.[0-9]+\.[0-9]+")  # of an artifact, as GTO tags it
ORIGIN_FILE = "origin.json"  # in a taken release: what evaluate.against named, and its digest
RELEASE_FILE = "release.json"  # in a taken release: what `make release` wrote, if it did
RANKER, RETRIEVER = paths.RANKER.name, paths.RETRIEVER.name
# The layouts of folders and archives: with a retriever, without one, and the ranker's files alone.
LAYOUTS = (
    (f"{RANKER}/*", f"{RETRIEVER}/*", STACK_FILE),
    (f"{RANKER}/*", STACK_FILE),
    (MANIFEST_FILE, CONTRACT_FILE, TOKENIZER_FILE, "model*.onnx"),
)
INT8: Model = "int8"
DEPTH = 100  # hits that a release without stack.json orders
WEIGHTS = {"cross_encoder": 1.0, "cosine": 0.0, "bm25": 0.0}


@dataclass(frozen=True)
class Release:
    """A release, read from the folder that stage last_release wrote."""

    folder: Path
    against: str  # evaluate.against
    digest: str
    manifests: dict[str, Any]  # by RANKER and, if the release has one, RETRIEVER
    stack: Stack
    models: dict[str, Model]  # that the stack was measured with, by MODELS
    reason: str | None  # by which it was registered against the verdict

    @property
    def version(self) -> str:
        """Its version, by its manifest."""
        return str(self.manifests[RANKER]["version"])

    @property
    def params(self) -> dict[str, Any]:
        """The params of its models and of its stack, as SECTION.NAME."""
        sections: dict[str, Any] = {}
        for manifest in self.manifests.values():
            sections |= manifest["params"]
        if (self.folder / STACK_FILE).is_file():
            order = {"by": self.stack.order, "depth": self.stack.depth, "weights": dict(self.stack.weights)}
            sections |= {"order": order}
        return flat(sections)

    @property
    def trained_on(self) -> set[str] | None:
        """The keys of the queries that a part of it was trained on; None if a manifest does not name them."""
        named = [manifest.get("trained_on") for manifest in self.manifests.values()]
        return None if None in named else set().union(*named)


def take_release(source: str, expected_sha256: str, folder: Path) -> str:
    """Put a release into the empty `folder`, and check its files; returns its digest.

    `source` is an artifact's version, a folder or an archive. Only a version may lack its digest, because its Git
    commit fixes it. InputError names the source and the mistake.
    """
    if VERSION.fullmatch(source):
        _from_registry(source, folder)
    else:
        _from_files(source, folder)
    for name in (RANKER, RETRIEVER):
        if (folder / name / MANIFEST_FILE).is_file():
            check_digests(folder / name, *_digested(folder / name))
    digest = folder_digest(folder)
    if digest != (expected_sha256 or (digest if VERSION.fullmatch(source) else "")):
        expected = expected_sha256 or "its digest, because DVC cannot watch a folder or archive outside the project"
        raise InputError(f"{source}: evaluate.sha256: expected {expected}, found {digest}")
    write_json(folder / ORIGIN_FILE, {"against": source, "sha256": digest})
    return digest


def _from_registry(tag: str, folder: Path) -> None:
    from ranker.release.registry import is_there, take  # takes two seconds to import

    take(paths.RANKER, tag, folder / RANKER)
    written = paths.RELEASES / f"{tag.rpartition('@v')[2]}.json"
    for path, name in ((paths.RETRIEVER, RETRIEVER), (paths.STACK, STACK_FILE), (written, RELEASE_FILE)):
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
        f"{source}: expected a release: {RANKER}/, {RETRIEVER}/ and {STACK_FILE} as in models/, or the files of a "
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


def read_release(folder: Path) -> Release | None:
    """The release that stage last_release took; None if params.yaml names none."""
    if (folder / IDLE_FILE).is_file():
        return None
    origin, manifests = read_json(folder / ORIGIN_FILE), {RANKER: read_json(folder / RANKER / MANIFEST_FILE)}
    if (folder / RETRIEVER / MANIFEST_FILE).is_file():
        manifests[RETRIEVER] = read_json(folder / RETRIEVER / MANIFEST_FILE)
    stack, models = stack_of(folder)
    reason = read_json(folder / RELEASE_FILE).get("reason") if (folder / RELEASE_FILE).is_file() else None
    return Release(folder, origin["against"], origin["sha256"], manifests, stack, models, reason)


def stack_of(folder: Path) -> tuple[Stack, dict[str, Model]]:
    """The stack of a release, and the models that it was measured with.

    Without stack.json, it is the cross-encoder on the first stage of its params.
    """
    file = folder / STACK_FILE
    if file.is_file():
        return read_stack(file), read_models(file)
    section = read_json(folder / RANKER / MANIFEST_FILE)["params"].get("first_stage", {})
    name = str(section.get("retriever", section.get("by", "bm25")))
    first_stage: FirstStageName = FIRST_STAGES[FIRST_STAGES.index(RENAMED.get(name, name))]
    stack = Stack(first_stage, "cross_encoder", DEPTH, WEIGHTS, str(section.get("language", "en")))
    return stack, dict.fromkeys(MODELS, INT8)

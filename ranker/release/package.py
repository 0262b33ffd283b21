"""A release as it ships, in the folder that stage last_release wrote."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ranker.common.files import read_json
from ranker.contract.folder import IDLE_FILE, MANIFEST_FILE, Model
from ranker.contract.stacks import FIRST_STAGES, FirstStageName
from ranker.project import paths
from ranker.project.params import RENAMED, flat
from ranker.stack.stack import MODELS, STACK_FILE, Stack, read_models, read_stack

RANKER, RETRIEVER = paths.RANKER.name, paths.RETRIEVER.name
INT8: Model = "int8"
DEPTH = 100  # hits that a release without stack.json orders
WEIGHTS = {"cross_encoder": 1.0, "cosine": 0.0, "bm25": 0.0}


@dataclass(frozen=True)
class Release:
    """A release, read from the folder that stage last_release wrote."""

    folder: Path
    against: str  # evaluate.against
    digest: str
    commit: str  # of its tag; empty for a folder or an archive
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
        order = {"by": self.stack.order, "depth": self.stack.depth, "weights": dict(self.stack.weights)}
        found_by = {"retriever": self.stack.first_stage, "language": self.stack.language}
        sections |= {"order": order, "first_stage": {**sections.get("first_stage", {}), **found_by}}
        return flat(sections)

    @property
    def trained_on(self) -> set[str] | None:
        """The keys of the queries that a part of it was trained on; None if a manifest does not name them."""
        named = [manifest.get("trained_on") for manifest in self.manifests.values()]
        return None if None in named else set().union(*named)


def read_release(folder: Path) -> Release | None:
    """The release that stage last_release took; None if params.yaml names none."""
    if (folder / IDLE_FILE).is_file():
        return None
    origin, manifests = read_json(folder / paths.ORIGIN_FILE), {RANKER: read_json(folder / RANKER / MANIFEST_FILE)}
    if (folder / RETRIEVER / MANIFEST_FILE).is_file():
        manifests[RETRIEVER] = read_json(folder / RETRIEVER / MANIFEST_FILE)
    stack, models = stack_of(folder)
    reason = read_json(folder / paths.RELEASE_FILE).get("reason") if (folder / paths.RELEASE_FILE).is_file() else None
    return Release(folder, origin["against"], origin["sha256"], origin["commit"], manifests, stack, models, reason)


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

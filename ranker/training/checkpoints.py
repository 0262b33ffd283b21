"""Checkpoints: a stopped training resumes, and ends with the same weights and curves."""

import hashlib
from importlib.metadata import version
from pathlib import Path

import torch

from ranker.common.distributed import world_size
from ranker.common.files import code_digest, remove
from ranker.model.cross_encoder import CrossEncoder
from ranker.model.dataset import EncodedPairs
from ranker.model.hardware import resolve_precision
from ranker.project.params import Training
from ranker.training.curves import EvalLogger

UNFINISHED = Path(".unfinished")  # outside DVC's outputs, because DVC deletes these before a stage runs
# Steps between checkpoints: MiniLM takes half a minute for them on two cores, and half a second for a checkpoint.
# A multiple of the Trainer's logging_steps, because checkpoints lack the loss summed since the last log.
EVERY = 200
WHOLE = "whole"  # marks a complete checkpoint
SEEN = "curves"  # the curves up to a checkpoint


def run_digest(model: CrossEncoder, training: EncodedPairs, params: Training, logger: EvalLogger | None = None) -> str:
    """Hex SHA-256 of everything that a training's weights and curves depend on; a training resumes only its own run.

    Covers weights and which of them are trainable, pairs, held-out pairs, settings, this package's code, versions,
    the chip's precision, threads and the number of processes. All processes take the first one's digest.
    """
    versions = [version(package) for package in ("torch", "transformers", "accelerate")]
    learning = [name for name, weights in model.named_parameters() if weights.requires_grad]
    chip = resolve_precision(params.precision), torch.get_num_threads(), torch.cuda.is_available(), world_size()
    digest = hashlib.sha256(f"{params.model_dump_json()} {training.layout} {versions} {learning} {chip}".encode())
    digest.update(model.config.to_json_string().encode())
    digest.update(code_digest(Path(__file__).parents[1]).encode())
    for name, weights in model.state_dict().items():
        digest.update(name.encode() + weights.cpu().numpy().tobytes())
    for pairs in (training, logger.encoded) if logger else (training,):
        for texts, rows in ((pairs.queries, pairs.query_rows), (pairs.documents, pairs.document_rows)):
            for array in (texts.values, texts.offsets, rows, pairs.targets):
                digest.update(array.tobytes())
    if logger:
        digest.update(logger.pairs.to_csv().encode())
    found = [digest.hexdigest()]
    if torch.distributed.is_initialized():
        torch.distributed.broadcast_object_list(found)
    return found[0]


def remove_checkpoints(name: str) -> None:
    """Remove a training's checkpoints, once its result is written."""
    remove(UNFINISHED / name)


def open_run(folder: Path) -> Path | None:
    """The run's latest complete checkpoint, if any.

    Makes `folder` if it is missing. Removes all other checkpoints, and the folders of other runs beside it.
    """
    for other in folder.parent.glob("*"):
        if other != folder:
            remove(other)
    folder.mkdir(parents=True, exist_ok=True)
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    whole = [path for path in found if (path / WHOLE).is_file()]
    for path in found:
        if path not in whole[-1:]:
            remove(path)
    return whole[-1] if whole else None

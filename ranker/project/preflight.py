"""Check params.yaml against the base model, and packages against their pins, before a long stage runs."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ranker.common.distributed import world_size
from ranker.common.errors import InputError
from ranker.common.files import read_json
from ranker.contract.stacks import trains_retriever
from ranker.project.params import PARAMS_FILE, Params

PINS = Path("requirements.txt")  # in dvc.yaml, a dep of each stage whose outputs depend on these packages


def check_params_fit_model(base_model: Path, params: Params) -> None:
    """InputError if a text or pair exceeds the base model's positions, top-N its layers, or processes divide no batch.

    Reads only config.json; absent sizes are transformers' defaults. Checks the retriever if it is trained.
    """
    config = read_json(base_model / "config.json")
    positions, layers = config.get("max_position_embeddings", 512), config.get("num_hidden_layers", 12)
    sizes = params.encode.query_input_size, params.encode.doc_input_size
    if sum(sizes) > positions:
        raise InputError(
            f"{PARAMS_FILE}: encode: expected query_input_size + doc_input_size of at most {positions}, the base "
            f"model's positions, found {sizes[0]} + {sizes[1]}"
        )
    if params.train.batch_size % world_size():
        raise InputError(
            f"{PARAMS_FILE}: train.batch_size: expected a multiple of {world_size()}, the processes of train.launcher, "
            f"found {params.train.batch_size}"
        )
    if params.train.trainable == "head" and params.train.head == "cosine":
        raise InputError(
            f"{PARAMS_FILE}: train.trainable: expected layers, top-N or all, because train.head cosine has no weights "
            "of its own, found head"
        )
    _check_layers("train", params.train.trainable, layers)
    if trains_retriever(params.first_stage.retriever):
        _check_layers("retriever", params.retriever.trainable, layers)
        if params.retriever.max_length > positions:
            raise InputError(
                f"{PARAMS_FILE}: retriever.max_length: expected at most {positions}, the base model's positions, "
                f"found {params.retriever.max_length}"
            )


def _check_layers(section: str, trainable: str, layers: int) -> None:
    kind, _, top = trainable.partition("-")
    if kind == "top" and int(top) > layers:
        raise InputError(
            f"{PARAMS_FILE}: {section}.trainable: expected at most top-{layers}, the base model's layers, "
            f"found top-{top}"
        )


def say_other_versions(stage: str) -> None:
    """Print a warning for each pinned package whose installed release differs."""
    for line in PINS.read_text(encoding="utf-8").splitlines():
        if pin := re.match(r"([A-Za-z0-9_.-]+)==([^\s;#]+)", line):
            name, pinned = pin.groups()
            try:
                found = version(name).partition("+")[0]  # torch 2.13.0+cpu is 2.13.0
            except PackageNotFoundError:
                found = "none"
            if found != pinned:
                print(f"{stage}: warning: expected {name} {pinned} ({PINS}), found {found}", flush=True)

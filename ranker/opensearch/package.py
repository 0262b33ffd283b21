"""The folder models/opensearch: each model as a zip, the requests' bodies, and the scripts that deploy."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from ranker.common.files import read_json, sha256, write_json
from ranker.contract.embedding import read_embedding_contract
from ranker.contract.folder import CONTRACT_FILE, EMBEDDING_FILE, TOKENIZER_FILE
from ranker.contract.layout import read_contract
from ranker.opensearch.bodies import bodies, register
from ranker.stack.stack import Stack

SCRIPTS = ("deploy.sh", "connect.sh")
EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip's earliest time


def write_zip(path: Path, model: bytes, tokenizer: dict[str, Any]) -> None:
    """Write an ONNX model and its tokenizer as ml-commons takes them; equal input gives equal bytes."""
    parts = {"model.onnx": model, TOKENIZER_FILE: json.dumps(tokenizer, ensure_ascii=False).encode()}
    with zipfile.ZipFile(path, "w") as file:  # uncompressed: releases of zlib compress to other bytes
        for name, content in parts.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            file.writestr(entry, content)


def cutting(folder: Path, length: int, strategy: str) -> dict[str, Any]:
    """The folder's tokenizer, made to cut at `length` tokens; without this, ml-commons cuts at 512."""
    cut = {"direction": "Right", "max_length": length, "strategy": strategy, "stride": 0}
    return {**read_json(folder / TOKENIZER_FILE), "truncation": cut}


def write_ranker(folder: Path, exported: Path, name: str, model: bytes) -> None:
    """Write a cross-encoder's zip and the request that registers it; `model` is its ONNX model with one logit.

    `exported` is stage export's folder. A pair is cut at the contract's total, its document first.
    """
    zipped = folder / "ranker.zip"
    write_zip(zipped, model, cutting(exported, read_contract(exported / CONTRACT_FILE).max_length, "OnlySecond"))
    body = register(name, "TEXT_SIMILARITY", zipped.name, sha256(zipped), {"embedding_dimension": 1})
    write_json(folder / "register_ranker.json", body)


def write_retriever(folder: Path, exported: Path, name: str, model: bytes) -> int:
    """Write the retriever's zip and the request that registers it; returns the vectors' size.

    `exported` is stage export_retriever's folder, `model` its ONNX model.
    """
    layout, size = read_embedding_contract(exported / EMBEDDING_FILE)
    zipped = folder / "retriever.zip"
    write_zip(zipped, model, cutting(exported, layout.max_length, "LongestFirst"))
    config = {"embedding_dimension": size, "pooling_mode": "MEAN", "normalize_result": True}
    body = register(f"{name} retriever", "TEXT_EMBEDDING", zipped.name, sha256(zipped), config)
    write_json(folder / "register_retriever.json", body)
    return size


def write_requests(folder: Path, stack: Stack, size: int | None) -> None:
    """Write all other requests' bodies, and the scripts.

    `size` is that of the retriever's vectors, None without one.
    """
    for file, body in bodies(stack, size):
        write_json(folder / file, body)
    for name in SCRIPTS:
        shutil.copyfile(Path(__file__).with_name(name), folder / name)

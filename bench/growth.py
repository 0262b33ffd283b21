"""Encode, features and scoring at 1, 4 and 16 times the full size: time should be linear, memory flat.

The base model here is one random layer of 64 units, so that what grows is the code around it; the real model's time is
in the table.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import data
from bench.ours import TOKENS, read_encoded
from bench.runs import run_job
from bench.works import Job
from ranker.project import paths

SCALES = (1, 4, 16)


def write_tiny_model(base_model: Path, folder: Path) -> None:
    """A base model of one layer with random weights, and the tokenizer of `base_model`."""
    from transformers import BertConfig, BertModel, set_seed

    from ranker.model.cross_encoder import TOKENIZER_FILES

    set_seed(1)
    vocabulary = BertConfig.from_pretrained(base_model).vocab_size
    BertModel(
        BertConfig(
            vocab_size=vocabulary, hidden_size=64, num_hidden_layers=1, num_attention_heads=1, intermediate_size=256
        )
    ).save_pretrained(folder)
    for name in TOKENIZER_FILES:
        (folder / name).write_bytes((base_model / name).read_bytes())


def features(folder: Path, base_model: Path, place: str) -> Callable[[], Any]:
    from ranker.model.cross_encoder import new_cross_encoder
    from ranker.model.features import write_features

    os.chdir(Path(place).read_text())
    model = new_cross_encoder(paths.BASE_MODEL, 0)
    destination = Path(tempfile.mkdtemp()) / "pooled.npy"
    return lambda: write_features(destination, model, read_encoded(paths.BASE_MODEL), TOKENS, "fp32")


def score(folder: Path, base_model: Path, place: str) -> Callable[[], Any]:
    from ranker.model.cross_encoder import new_cross_encoder
    from ranker.model.predict import score

    os.chdir(Path(place).read_text())
    model = new_cross_encoder(paths.BASE_MODEL, 0)
    return lambda: [score(model, read_encoded(paths.BASE_MODEL), TOKENS)]


def growth_rows(source: Path, base_model: Path, work: Path, scales: tuple[int, ...]) -> list[dict[str, Any]]:
    """Seconds and memory of encode, features and scoring at each scale."""
    tiny, rows = work / "tiny", []
    write_tiny_model(base_model, tiny)
    for times in scales:
        folder, place = work / f"times-{times}", work / f"place-{times}"
        data.write_full_size(source, folder, times)
        run_job(Job("ours.join", options={"place": str(place)}), folder, tiny, {})
        pairs = len(data.read_pairs(folder))
        print(f"bench: growth, {times} times", flush=True)
        for run in ("ours.encode", "growth.features", "growth.score"):
            cost = run_job(Job(run, options={"place": str(place)}), folder, tiny, {})
            rows.append({"work": run.split(".")[1], "times": times, "pairs": pairs} | cost)
    return rows

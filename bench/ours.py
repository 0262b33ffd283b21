"""This project's way, by the code that the stages call."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from bench.data import JUDGEMENTS, LABELLED, Pairs
from ranker.contract.folder import Model
from ranker.contract.tokens import load_layout, load_tokenizer, tokenize
from ranker.model.dataset import EncodedPairs, encode_pairs
from ranker.project import paths, tables
from ranker.project.params import load_params
from ranker.serving.ranker import Ranker

QUERY_INPUT_SIZE, DOC_INPUT_SIZE, TOKENS, SEED = 32, 96, 2048, 13
Precision = Literal["bf16", "fp32"]


def enter_workspace(folder: Path, base_model: Path) -> None:
    """Work in a new folder where stage fetch seems to have run."""
    workspace = Path(tempfile.mkdtemp())
    shutil.copyfile("params.yaml", workspace / "params.yaml")
    for source, path in ((folder / LABELLED, paths.RAW_LABELLED_DATA), (folder / JUDGEMENTS, paths.RAW_JUDGEMENTS)):
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace / path).symlink_to(source.absolute())
    (workspace / paths.BASE_MODEL).symlink_to(base_model.absolute())
    os.chdir(workspace)


def join(folder: Path, base_model: Path, place: str) -> Callable[[], Any]:
    """Stage join, in a workspace that `encode` goes on in; `place` is a file that says where."""
    import stages.join

    note = Path(place).absolute()
    enter_workspace(folder, base_model)
    note.write_text(str(Path.cwd()))
    return stages.join.main


def encode(folder: Path, base_model: Path, place: str) -> Callable[[], Any]:
    """Stage encode, after `join`."""
    import stages.encode

    os.chdir(Path(place).read_text())
    return stages.encode.main


def prepare(folder: Path, base_model: Path) -> None:
    """Join and encode in this process, which then works there."""
    import stages.encode
    import stages.join

    enter_workspace(folder, base_model)
    stages.join.main()
    stages.encode.main()


def read_encoded(base_model: Path) -> EncodedPairs:
    """The pairs of the folder that this process works in."""
    texts = tables.read_tokens(paths.ENCODED_QUERIES), tables.read_tokens(paths.ENCODED_DOCUMENTS)
    layout = load_layout(base_model, QUERY_INPUT_SIZE, DOC_INPUT_SIZE)
    return encode_pairs(tables.read_table(paths.PAIRS), *texts, layout)


def train_head(folder: Path, base_model: Path) -> Callable[[], Any]:
    """From encodings: features of every pair, and three epochs of the head over them."""
    from ranker.model.cross_encoder import new_cross_encoder, set_trainable
    from ranker.model.features import features
    from ranker.model.hardware import resolve_precision
    from ranker.training.head import Featured
    from ranker.training.head import train_head as train

    params = load_params().train.model_copy(update={"trainable": "head", "epochs": 3})
    base_model = base_model.absolute()
    prepare(folder, base_model)
    model = new_cross_encoder(base_model, SEED)
    set_trainable(model, "head")

    def run() -> None:
        pairs = read_encoded(base_model)
        pooled = features(model, pairs, TOKENS, resolve_precision("auto"))
        train(model, Featured(pooled, pairs.targets, pairs.lengths), params)

    return run


def encode_texts(pairs: Pairs, base_model: Path) -> EncodedPairs:
    """Each text tokenised once, and looked up for its pairs."""
    import pandas as pd

    tokenizer, texts = load_tokenizer(base_model), []
    for side in (pairs.queries, pairs.documents):
        unique = list(dict.fromkeys(side))
        texts.append(tables.pack(unique, tokenize(tokenizer, unique)))
    frame = pd.DataFrame({"query_id": pairs.queries, "document_id": pairs.documents, "label": pairs.labels})
    return encode_pairs(frame, texts[0], texts[1], load_layout(base_model, QUERY_INPUT_SIZE, DOC_INPUT_SIZE))


def train(pairs: Pairs, base_model: Path, precision: Precision) -> Callable[[], Any]:
    """One epoch of all weights over `pairs`, in batches of 16."""
    from ranker.model.cross_encoder import new_cross_encoder
    from ranker.training.trainer import fine_tune

    changes = {"trainable": "all", "epochs": 1, "batch_size": 16, "precision": precision}
    params = load_params().train.model_copy(update=changes)
    model, encoded = new_cross_encoder(base_model, SEED), encode_texts(pairs, base_model)
    return lambda: fine_tune(model, encoded, params)


def score(pairs: Pairs, base_model: Path, precision: Precision) -> Callable[[], Any]:
    """Scores of every pair, from texts, in PyTorch."""
    from ranker.model.cross_encoder import new_cross_encoder
    from ranker.model.predict import score as run

    model = new_cross_encoder(base_model, SEED)
    run(model, encode_texts(pairs.some(64), base_model), TOKENS, precision)
    return lambda: run(model, encode_texts(pairs, base_model), TOKENS, precision)


def score_onnx(pairs: Pairs, base_model: Path, ranker: str, model: Model) -> Callable[[], Any]:
    """Scores of every pair, from texts, by ONNX Runtime."""
    served = Ranker(Path(ranker), model)

    def run() -> None:
        encoded = encode_texts(pairs, base_model)
        queries, documents, _ = zip(*(encoded[row] for row in range(len(encoded))), strict=True)
        served.score_pairs(queries, documents)

    return run


def cold_start(pairs: Pairs, base_model: Path, ranker: str, model: Model) -> Callable[[], Any]:
    """A process of its own that starts, loads the model and ranks 30 titles: `python -m ranker`."""
    titles = Path(tempfile.mkdtemp()) / "titles.jsonl"
    rows = ({"document_id": str(i), "title": title} for i, title in enumerate(pairs.documents[:30]))
    titles.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "ranker", pairs.queries[0], "--documents", str(titles), "--ranker", ranker]
    return lambda: subprocess.run([*command, "--model", model], check=True, stdout=subprocess.DEVNULL)


def rerank_as_vespa(pairs: Pairs, base_model: Path, ranker: str, model: Model) -> Callable[[], list[float]]:
    """Seconds for each query and 30 titles, laid out and scored as Vespa does it: one by one, padded to full length."""
    served = Ranker(Path(ranker), model)
    encoded = encode_texts(pairs, base_model)

    def run() -> list[float]:
        seconds = []
        for start in range(0, len(pairs) - 29, 30):
            began = time.perf_counter()
            for row in range(start, start + 30):
                served.logits(encoded.inputs([row], served.layout.max_length))
            seconds.append(time.perf_counter() - began)
        return seconds

    return run


def rerank(pairs: Pairs, base_model: Path, ranker: str, model: Model) -> Callable[[], list[float]]:
    """Seconds for each query: to tokenise it and rank 30 titles by it, whose token ids were stored when fed."""
    served = Ranker(Path(ranker), model)
    starts = range(0, len(pairs) - 29, 30)
    titles = [served.encode_documents(pairs.documents[start : start + 30]) for start in starts]

    def run() -> list[float]:
        seconds = []
        for start, documents in zip(starts, titles, strict=True):
            began = time.perf_counter()
            served.rank(pairs.queries[start], documents)
            seconds.append(time.perf_counter() - began)
        return seconds

    return run

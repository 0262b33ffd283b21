"""The CrossEncoder of sentence-transformers: its trainer and its `predict`."""

import tempfile
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Literal

import torch
from sentence_transformers import CrossEncoder

from bench.data import Pairs
from bench.runner import Calls

MAX_LENGTH = 128
Kind = Literal["fp32", "bf16"]
DTYPES: dict[Kind, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


def load(base_model: Path, kind: Kind) -> CrossEncoder:
    """A CrossEncoder with one logit."""
    return CrossEncoder(str(base_model), num_labels=1, max_length=MAX_LENGTH, model_kwargs={"dtype": DTYPES[kind]})


def train(pairs: Pairs, base_model: Path, kind: Kind) -> Calls:
    """One epoch over `pairs`, in batches of 16, of fp32 weights; with bf16, autocast."""
    from datasets import Dataset
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    model = load(base_model, "fp32")
    labels = [float(label) for label in pairs.labels]
    arguments = CrossEncoderTrainingArguments(
        output_dir=tempfile.mkdtemp(),
        num_train_epochs=1,
        per_device_train_batch_size=16,
        bf16=kind == "bf16",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
    )
    trainer = CrossEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict({"query": pairs.queries, "title": pairs.documents, "label": labels}),
        loss=BinaryCrossEntropyLoss(model),
    )
    return [trainer.train]


def score(pairs: Pairs, base_model: Path, kind: Kind) -> Calls:
    """Scores of every pair, from texts, in its own batches of 32."""
    model = load(base_model, kind)
    texts = list(zip(pairs.queries, pairs.documents, strict=True))
    model.predict(texts[:64])
    return [partial(model.predict, texts, show_progress_bar=False)]


def rerank(pairs: Pairs, base_model: Path, kind: Kind) -> Calls:
    """A call for each query, which scores it with 30 titles."""
    model = load(base_model, kind)
    return [partial(model.predict, list(zip(repeat(query), titles))) for query, titles in pairs.rankings()]

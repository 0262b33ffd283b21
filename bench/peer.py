"""The CrossEncoder of sentence-transformers: its trainer and its `predict`, as it comes (fp32) or with bf16 on."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

from bench.data import Pairs

MAX_LENGTH = 128


def train(pairs: Pairs, base_model: Path, bf16: bool) -> Callable[[], Any]:
    """One epoch over `pairs`, in batches of 16."""
    model = CrossEncoder(str(base_model), num_labels=1, max_length=MAX_LENGTH)
    labels = [float(label) for label in pairs.labels]
    arguments = CrossEncoderTrainingArguments(
        output_dir=tempfile.mkdtemp(),
        num_train_epochs=1,
        per_device_train_batch_size=16,
        bf16=bf16,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
    )
    return CrossEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict({"query": pairs.queries, "title": pairs.documents, "label": labels}),
        loss=BinaryCrossEntropyLoss(model),
    ).train


def score(pairs: Pairs, base_model: Path, bf16: bool) -> Callable[[], Any]:
    """Scores of every pair, from texts, in its own batches of 32."""
    dtype = torch.bfloat16 if bf16 else torch.float32
    model = CrossEncoder(str(base_model), num_labels=1, max_length=MAX_LENGTH, model_kwargs={"dtype": dtype})
    texts = list(zip(pairs.queries, pairs.documents, strict=True))
    model.predict(texts[:64])
    return lambda: model.predict(texts, show_progress_bar=False)


def cold_start(pairs: Pairs, base_model: Path, bf16: bool) -> Callable[[], Any]:
    """A process of its own that starts, loads the model and scores 30 titles."""
    dtype = "bfloat16" if bf16 else "float32"
    code = (
        "import json, sys; from sentence_transformers import CrossEncoder; folder, dtype, pairs = sys.argv[1:];"
        "model = CrossEncoder(folder, num_labels=1, model_kwargs={'dtype': dtype}); model.predict(json.loads(pairs))"
    )
    texts = json.dumps([[pairs.queries[0], title] for title in pairs.documents[:30]])
    return lambda: subprocess.run([sys.executable, "-c", code, str(base_model), dtype, texts], check=True)


def rerank(pairs: Pairs, base_model: Path, bf16: bool) -> Callable[[], list[float]]:
    """Seconds for each query, to score it with 30 titles."""
    dtype = torch.bfloat16 if bf16 else torch.float32
    model = CrossEncoder(str(base_model), num_labels=1, max_length=MAX_LENGTH, model_kwargs={"dtype": dtype})

    def run() -> list[float]:
        seconds = []
        for start in range(0, len(pairs) - 29, 30):
            began = time.perf_counter()
            model.predict([(pairs.queries[start], title) for title in pairs.documents[start : start + 30]])
            seconds.append(time.perf_counter() - began)
        return seconds

    return run

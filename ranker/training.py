"""Fine-tune a cross-encoder with the transformers Trainer, in batches of like lengths."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from dvclive import Live  # type: ignore[attr-defined]
from torch.utils.data import Dataset, Sampler
from transformers import (
    BertForSequenceClassification,
    EvalPrediction,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from ranker.batching import MULTIPLE, training_batches
from ranker.encoding import NOT_RELEVANT, RELEVANT, Layout, lay_out
from ranker.errors import InputError
from ranker.measures import classification_measures, mean_measures, ranking_measures
from ranker.model import resolve_precision
from ranker.params import Train
from ranker.tables import Tokens

Example = tuple[np.ndarray, np.ndarray, int]  # token ids of the query, of the document; label


@dataclass(frozen=True)
class EncodedPairs(Dataset[Example]):
    """Pairs with their token ids, neither cut nor laid out."""

    pairs: pd.DataFrame  # query_id, document_id, grade, label
    queries: list[np.ndarray]  # int32 [tokens], one per pair
    documents: list[np.ndarray]
    lengths: np.ndarray  # int64 [pairs], laid out, special tokens included

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, row: int) -> Example:
        return self.queries[row], self.documents[row], int(self.pairs["label"].iloc[row])


def encode_pairs(pairs: pd.DataFrame, queries: Tokens, documents: Tokens, layout: Layout) -> EncodedPairs:
    """Look up the token ids of each pair; longest first, so that scoring in order pads next to nothing."""
    query_tokens = [queries[query_id] for query_id in pairs["query_id"]]
    document_tokens = [documents[document_id] for document_id in pairs["document_id"]]
    lengths = np.array([layout.length(q, d) for q, d in zip(query_tokens, document_tokens, strict=True)])
    order = np.argsort(-lengths, kind="stable")
    return EncodedPairs(
        pairs.iloc[order].reset_index(drop=True),
        [query_tokens[i] for i in order],
        [document_tokens[i] for i in order],
        lengths[order],
    )


def collator(layout: Layout) -> Callable[[Sequence[Example]], dict[str, torch.Tensor]]:
    """A function from examples to the model's inputs and `labels`, all int64."""

    def collate(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        queries, documents, labels = zip(*examples, strict=True)
        batch = lay_out(layout, queries, documents, multiple_of=MULTIPLE)
        return {name: torch.from_numpy(array) for name, array in batch.items()} | {"labels": torch.tensor(labels)}

    return collate


def fine_tune(
    model: BertForSequenceClassification,
    training: EncodedPairs,
    held_out: EncodedPairs,
    layout: Layout,
    params: Train,
    relevant_from: int,
    curves: Path,
) -> None:
    """Train `model` in place; write its learning curves to the folder `curves` as DVCLive does.

    The held-out pairs are only looked at, once an epoch: nothing is chosen by them. Equal arguments give equal weights
    on one machine with one number of threads.
    """

    def held_out_measures(prediction: EvalPrediction) -> dict[str, float]:
        logits = cast(np.ndarray, prediction.predictions)
        scores = logits[:, RELEVANT] - logits[:, NOT_RELEVANT]
        if not np.isfinite(scores).all():
            raise InputError("training diverged: expected finite logits, found NaN or infinity; lower learning_rate")
        per_query = ranking_measures(held_out.pairs, scores, relevant_from)
        return mean_measures(per_query) | classification_measures(held_out.pairs["label"].to_numpy(), scores)

    with tempfile.TemporaryDirectory() as folder:
        trainer = BucketTrainer(
            model=model,
            args=_arguments(params, folder),
            train_dataset=training,
            eval_dataset=held_out,
            data_collator=collator(layout),
            compute_metrics=held_out_measures,
            callbacks=[LearningCurves(curves)],
        )
        trainer.train()


def _arguments(params: Train, folder: str) -> TrainingArguments:
    return TrainingArguments(
        output_dir=folder,
        num_train_epochs=params.epochs,
        per_device_train_batch_size=params.batch_size,
        per_device_eval_batch_size=params.eval_batch_size,
        learning_rate=params.learning_rate,
        warmup_steps=params.warmup_steps,
        weight_decay=params.weight_decay,
        seed=params.seed,
        bf16=resolve_precision(params.precision) == "bf16",
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        eval_strategy="epoch",
        eval_on_start=True,
        logging_steps=10,
        save_strategy="no",
        report_to="none",
        disable_tqdm=not sys.stderr.isatty(),  # a log gets the Trainer's lines instead of a bar
    )


class BucketTrainer(Trainer):
    """The Trainer, with training batches from ranker.batching."""

    def _get_train_sampler(self, train_dataset: Dataset[Example] | None = None) -> Sampler[int]:
        dataset = cast(EncodedPairs, train_dataset or self.train_dataset)
        return BucketSampler(dataset.lengths, self.args.train_batch_size, self.args.seed)


class BucketSampler(Sampler[int]):
    """Row numbers such that each `batch_size` of them in turn are one of `training_batches`."""

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        for batch in training_batches(self.lengths, self.batch_size, self.seed, self.epoch):
            yield from batch.tolist()

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self.epoch = epoch


class LearningCurves(TrainerCallback):
    """Losses, learning rate and held-out measures over steps, by DVCLive.

    Not transformers' DVCLiveCallback: it logs run times and paths too, so that no two runs would write the same bytes.
    """

    TIMES = ("runtime", "per_second", "epoch", "total_flos")

    def __init__(self, folder: Path) -> None:
        self.live = Live(str(folder), dvcyaml=False, save_dvc_exp=False)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        self.live.step = state.global_step
        for name, value in (logs or {}).items():
            if not name.endswith(self.TIMES) and name != "train_loss":
                side, measure = ("eval", name.removeprefix("eval_")) if name.startswith("eval_") else ("train", name)
                self.live.log_metric(f"{side}/{measure}", value)
        self.live.make_summary()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.live.end()

"""Fine-tune a cross-encoder with the transformers Trainer, in batches of like lengths."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
import torch
from dvclive import Live  # type: ignore[attr-defined]
from torch import nn
from torch.utils.data import Dataset, Sampler
from tqdm import trange
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
from ranker.encoding import NOT_RELEVANT, RELEVANT, Layout, TokenIds, lay_out
from ranker.errors import InputError
from ranker.measures import classification_measures, mean_measures, ranking_measures
from ranker.model import resolve_precision
from ranker.params import Train
from ranker.tables import Tokens

Example = tuple[TokenIds, TokenIds, float]  # token ids of the query, of the document; target


@dataclass(frozen=True)
class EncodedPairs(Dataset[Example]):
    """Pairs with their token ids, neither cut nor laid out."""

    pairs: pd.DataFrame  # query_id, document_id, grade, label
    queries: Sequence[TokenIds]  # one per pair
    documents: Sequence[TokenIds]
    lengths: np.ndarray  # int64 [pairs], laid out, special tokens included
    targets: np.ndarray  # float32 [pairs], the probability of relevance to learn

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, row: int) -> Example:
        return self.queries[row], self.documents[row], float(self.targets[row])


def encode_pairs(
    pairs: pd.DataFrame, queries: Tokens | Mapping[str, TokenIds], documents: Tokens, layout: Layout
) -> EncodedPairs:
    """Look up the token ids of each pair; longest first, so that scoring in order pads next to nothing.

    The target is the column `target` where `pairs` has one, else `label`.
    """
    query_tokens = [queries[query_id] for query_id in pairs["query_id"]]
    document_tokens = [documents[document_id] for document_id in pairs["document_id"]]
    lengths = np.array([layout.length(q, d) for q, d in zip(query_tokens, document_tokens, strict=True)])
    order = np.argsort(-lengths, kind="stable")
    return EncodedPairs(
        pairs.iloc[order].reset_index(drop=True),
        [query_tokens[i] for i in order],
        [document_tokens[i] for i in order],
        lengths[order],
        pairs["target" if "target" in pairs else "label"].to_numpy(np.float32)[order],
    )


def collator(layout: Layout) -> Callable[[Sequence[Example]], dict[str, torch.Tensor]]:
    """A function from examples to the model's inputs, int64, and `labels`, their targets, float32."""

    def collate(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        queries, documents, targets = zip(*examples, strict=True)
        batch = lay_out(layout, queries, documents, multiple_of=MULTIPLE)
        return {name: torch.from_numpy(array) for name, array in batch.items()} | {
            "labels": torch.tensor(targets, dtype=torch.float32)
        }

    return collate


@dataclass(frozen=True)
class Watch:
    """Held-out pairs to look at once an epoch, by which nothing is chosen, and the folder for the learning curves."""

    held_out: EncodedPairs
    relevant_from: int
    curves: Path

    def measure(self, prediction: EvalPrediction) -> dict[str, float]:
        """Measures from the Trainer's logits; InputError if they are not finite."""
        scores = difference(cast(np.ndarray, prediction.predictions))
        per_query = ranking_measures(self.held_out.pairs, scores, self.relevant_from)
        return mean_measures(per_query) | classification_measures(self.held_out.pairs["label"].to_numpy(), scores)


def fine_tune(
    model: BertForSequenceClassification,
    training: EncodedPairs,
    layout: Layout,
    params: Train,
    watch: Watch | None = None,
) -> None:
    """Train `model` in place; with `watch`, write its learning curves as DVCLive does.

    Equal arguments give equal weights on one machine with one number of threads.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainer = BucketTrainer(
            model=model,
            args=_arguments(params, folder, "epoch" if watch else "no"),
            train_dataset=training,
            eval_dataset=watch.held_out if watch else None,
            data_collator=collator(layout),
            compute_metrics=watch.measure if watch else None,
            callbacks=[LearningCurves(watch.curves)] if watch else [],
        )
        trainer.train()
        # accelerate leaves autocast around forward(): without this, later scores would be of bf16.
        trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)


@torch.inference_mode()
def score(model: BertForSequenceClassification, pairs: EncodedPairs, layout: Layout, batch_size: int) -> np.ndarray:
    """Logit 1 - logit 0, float32 [pairs], in the model's own precision; InputError if one is not finite."""
    model.eval()
    collate = collator(layout)
    logits = []
    for start in trange(0, len(pairs), batch_size, desc="score", unit="batch", disable=None):
        batch = collate([pairs[row] for row in range(start, min(start + batch_size, len(pairs)))])
        batch.pop("labels")
        logits.append(model(**{name: tensor.to(model.device) for name, tensor in batch.items()}).logits.cpu().numpy())
    return difference(np.concatenate(logits))


def difference(logits: np.ndarray) -> np.ndarray:
    """Logit 1 - logit 0, [pairs], of logits [pairs, 2]; InputError if one is not finite."""
    scores = logits[:, RELEVANT] - logits[:, NOT_RELEVANT]
    if not np.isfinite(scores).all():
        raise InputError("training diverged: expected finite logits, found NaN or infinity; lower learning_rate")
    return scores


def _arguments(params: Train, folder: str, evaluate: Literal["epoch", "no"]) -> TrainingArguments:
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
        eval_strategy=evaluate,
        eval_on_start=evaluate != "no",
        logging_steps=10,
        save_strategy="no",
        report_to="none",
        disable_tqdm=not sys.stderr.isatty(),  # a log gets the Trainer's lines instead of a bar
    )


class BucketTrainer(Trainer):
    """The Trainer, with training batches from ranker.batching, and targets between 0 and 1 in place of classes."""

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Cross-entropy (nats) between the targets' two classes and the logits; for labels, that of transformers."""
        outputs = model(**{name: tensor for name, tensor in inputs.items() if name != "labels"})
        targets = inputs["labels"]
        columns = {NOT_RELEVANT: 1 - targets, RELEVANT: targets}
        classes = torch.stack([columns[column] for column in sorted(columns)], dim=1)
        loss = nn.functional.cross_entropy(outputs.logits.float(), classes)
        return (loss, outputs) if return_outputs else loss

    def _get_train_sampler(self, train_dataset: Dataset[Example] | None = None) -> Sampler[int]:
        dataset = cast(EncodedPairs, train_dataset or self.train_dataset)
        return BucketSampler(dataset.lengths, self.args.train_batch_size, self.args.seed)

    def evaluate(self, *arguments: Any, **named: Any) -> dict[str, float]:
        """Evaluate without moving the random state (every DataLoader draws a seed), so that looking changes nothing."""
        with torch.random.fork_rng():
            return super().evaluate(*arguments, **named)


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

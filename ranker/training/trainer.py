"""Fine-tune with the transformers Trainer, in batches of similar lengths."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import SaveStrategy

from ranker.common.distributed import is_main_process, world_size
from ranker.common.errors import InputError
from ranker.contract.batching import MULTIPLE
from ranker.contract.layout import Layout, lay_out
from ranker.model.cross_encoder import CrossEncoder
from ranker.model.dataset import EncodedPairs, Example
from ranker.model.hardware import resolve_precision
from ranker.project.params import Train, Training
from ranker.training import checkpoints
from ranker.training.batches import shares, training_batches
from ranker.training.callbacks import CheckpointCallback, LearningCurves, show_progress
from ranker.training.checkpoints import SEEN, UNFINISHED, open_run, run_digest
from ranker.training.curves import EvalLogger
from ranker.training.loss import cross_entropy


def collator(layout: Layout) -> Callable[[Sequence[Example]], dict[str, torch.Tensor]]:
    """A function that turns examples into the model's inputs, int64, and `labels`, float32 targets."""

    def collate(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        queries, documents, targets = zip(*examples, strict=True)
        batch = lay_out(layout, queries, documents, multiple_of=MULTIPLE)
        return {name: torch.from_numpy(array) for name, array in batch.items()} | {
            "labels": torch.tensor(targets, dtype=torch.float32)
        }

    return collate


def fine_tune(
    model: CrossEncoder,
    training: EncodedPairs,
    params: Training,
    logger: EvalLogger | None = None,
    name: str = "",
    kind: "type[BucketTrainer] | None" = None,
) -> None:
    """Train `model` in place; with `logger`, write its curves, which leaves the weights the same.

    Equal arguments give equal weights on one machine with one number of threads. With a `name`, a stopped training of
    equal arguments resumes from its checkpoint, to the same weights and curves, until `remove_checkpoints`. Several
    processes share each batch, whose size must be a multiple of their number; only the first has a `logger`.
    """
    kind = kind or BucketTrainer
    steps = kind.steps(training, params.batch_size)
    checkpoint = None
    with tempfile.TemporaryDirectory() as scratch:
        arguments = _arguments(params, scratch)
        callbacks: list[TrainerCallback] = [LearningCurves(logger, params, steps)] if logger else []
        if name:
            checkpoint = _resume(arguments, UNFINISHED / name / run_digest(model, training, params, logger))
            callbacks.append(CheckpointCallback(logger))
        if checkpoint and logger:
            logger.restore(checkpoint / SEEN)
        trainer = kind(
            model=model,
            args=arguments,
            train_dataset=cast(Dataset[Example], training),
            data_collator=collator(training.layout),
            callbacks=callbacks,
        )
        trainer.add_callback(Epochs(trainer, steps))
        show_progress(trainer, name.partition("/")[0] or "training")
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        # accelerate leaves autocast around forward(), and later scores would be computed in bf16.
        trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        if torch.distributed.is_initialized():  # its threads may abort an ending process
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()


def _arguments(params: Training, folder: str) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=folder,
        num_train_epochs=params.epochs,
        per_device_train_batch_size=params.batch_size // world_size(),
        learning_rate=params.learning_rate,
        warmup_steps=params.warmup_steps,
        weight_decay=params.weight_decay,
        seed=params.seed,
        bf16=resolve_precision(params.precision) == "bf16",
        use_cpu=not torch.cuda.is_available(),
        ddp_backend="gloo" if world_size() > 1 and not torch.cuda.is_available() else None,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        logging_steps=10,
        save_strategy="no",
        save_steps=checkpoints.EVERY,
        save_total_limit=2,
        report_to="none",
    )
    # The Trainer would multiply the batch size by the GPUs.
    if not isinstance(params, Train):  # the retriever has no launcher: one process on one GPU
        arguments._n_gpu = min(arguments.n_gpu, 1)
    elif arguments.n_gpu > 1:
        raise InputError(
            f"train.launcher: expected torchrun, with a process for each GPU, or CUDA_VISIBLE_DEVICES of one, "
            f"found {params.launcher} and {arguments.n_gpu} GPUs"
        )
    return arguments


def _resume(arguments: TrainingArguments, folder: Path) -> Path | None:
    """Write checkpoints to `folder`; returns its latest one, if any."""
    arguments.output_dir, arguments.save_strategy = str(folder), SaveStrategy.STEPS
    with arguments.main_process_first(local=False):  # it cleans the folder up before the others read it
        checkpoint = open_run(folder)
    if checkpoint and is_main_process():
        print(f"training: resumes from {checkpoint}", flush=True)
    return checkpoint


class BucketTrainer(Trainer):
    """The Trainer with batches from ranker.training.batches and targets between 0 and 1."""

    sampler: Any  # has set_epoch

    @staticmethod
    def steps(training: EncodedPairs, batch_size: int) -> int:
        """Steps of an epoch."""
        return -(-len(training) // batch_size)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Mean cross-entropy (nats) of the batch, as in `ranker.training.loss`."""
        outputs = model(**{name: tensor for name, tensor in inputs.items() if name != "labels"})
        loss = cross_entropy(outputs.logits, inputs["labels"])
        return (loss, outputs) if return_outputs else loss

    def _get_train_sampler(self, train_dataset: Dataset[Example] | None = None) -> Sampler[int]:
        dataset = cast(EncodedPairs, train_dataset or self.train_dataset)
        self.sampler = BucketSampler(dataset.lengths, self.args.train_batch_size * world_size(), self.args.seed)
        return self.sampler


class BucketSampler(Sampler[int]):
    """Yields row numbers, `batch_size` for each batch of `training_batches`, ordered by the processes' shares.

    Exception: with several processes, accelerate gives an incomplete last batch to the first ones, and fills the
    others' shares from the epoch's first rows.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        for batch in training_batches(self.lengths, self.batch_size, self.seed, self.epoch):
            for share in shares(batch, world_size()):
                yield from share.tolist()

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch."""
        self.epoch = epoch


class Epochs(TrainerCallback):
    """Tells the sampler the epoch: with several processes, accelerate's wrappers hide it from a resuming Trainer."""

    def __init__(self, trainer: BucketTrainer, steps_per_epoch: int) -> None:
        self.trainer, self.steps_per_epoch = trainer, steps_per_epoch

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.trainer.sampler.set_epoch(state.global_step // self.steps_per_epoch)

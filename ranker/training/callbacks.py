"""Trainer callbacks: progress, learning curves, checkpoints."""

import sys
from pathlib import Path
from typing import Any

import torch
from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from ranker.model.cross_encoder import CrossEncoder
from ranker.model.hardware import resolve_precision
from ranker.model.predict import score
from ranker.project.params import Training
from ranker.training.checkpoints import SEEN, WHOLE
from ranker.training.curves import EvalLogger

LOGGED = ("loss", "grad_norm", "learning_rate")  # run times would differ between equal runs


LINES = 5  # loss lines in a log, a training


def show_progress(trainer: Trainer, name: str) -> None:
    """Replace the Trainer's dictionary every ten steps by a bar on a terminal, or LINES lines in a log."""
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(Bar() if sys.stderr.isatty() else LossLines(name))


class Bar(ProgressCallback):
    """The Trainer's progress bar, without its log lines."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Skip ProgressCallback's lines."""


class LossLines(TrainerCallback):
    """Prints the training loss LINES times."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.printed = 0

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        part = state.global_step * LINES // state.max_steps
        if state.is_world_process_zero and part > self.printed and "loss" in given["logs"]:
            self.printed = part
            loss = given["logs"]["loss"]
            print(f"{self.name}: step {state.global_step} of {state.max_steps}: loss {loss:.3f}", flush=True)


class LearningCurves(TrainerCallback):
    """Logs the Trainer's losses, and once an epoch the held-out measures, on an EvalLogger's curves.

    Evaluates at an epoch's last step: the epoch's end comes after its checkpoint, which would miss this evaluation.
    """

    def __init__(self, logger: EvalLogger, params: Training, steps_per_epoch: int) -> None:
        self.logger, self.params, self.steps_per_epoch = logger, params, steps_per_epoch

    def _evaluate(self, step: int, model: CrossEncoder) -> None:
        precision = resolve_precision(self.params.precision)
        self.logger.log_eval(step, score(model, self.logger.encoded, precision=precision))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        if state.global_step == 0:
            self._evaluate(state.global_step, given["model"])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        if state.global_step % self.steps_per_epoch == 0:
            self._evaluate(state.global_step, given["model"])

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        logs = given["logs"]
        self.logger.log_training(state.global_step, **{name: logs[name] for name in LOGGED if name in logs})

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.logger.end()


class CheckpointCallback(TrainerCallback):
    """Adds the curves to each of the Trainer's checkpoints, then marks it as complete."""

    def __init__(self, logger: EvalLogger | None) -> None:
        self.logger = logger

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if torch.distributed.is_initialized():  # each process writes part of a checkpoint
            torch.distributed.barrier()
        checkpoint = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        if self.logger:
            self.logger.save(checkpoint / SEEN)
        if state.is_world_process_zero:
            (checkpoint / WHOLE).touch()

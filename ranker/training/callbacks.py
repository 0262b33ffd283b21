"""What a training says and does between its steps."""

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
from ranker.project.params import Train
from ranker.training.checkpoints import SEEN, WHOLE
from ranker.training.curves import EvalLogger

LOGGED = ("loss", "grad_norm", "learning_rate")  # not the run times: no two runs would write the same bytes


LINES = 5  # of a training's loss, in a log


def show_progress(trainer: Trainer, name: str) -> None:
    """A bar on a terminal, a few lines in a log, in place of the Trainer's dictionary every ten steps."""
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(Bar() if sys.stderr.isatty() else LossLines(name))


class Bar(ProgressCallback):
    """The Trainer's progress bar alone."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Print nothing between."""


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
    """Puts the Trainer's losses on an EvalLogger's curves, and once an epoch the model's scores of its pairs.

    At an epoch's last step, and not at its end, which comes after the checkpoint: it has all curves up to its step.
    """

    def __init__(self, logger: EvalLogger, params: Train, steps_per_epoch: int) -> None:
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
    """Adds the curves to each of the Trainer's checkpoints, and then a mark that it is whole."""

    def __init__(self, logger: EvalLogger | None) -> None:
        self.logger = logger

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if torch.distributed.is_initialized():  # each process writes its own part of a checkpoint
            torch.distributed.barrier()
        checkpoint = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        if self.logger:
            self.logger.save(checkpoint / SEEN)
        if state.is_world_process_zero:
            (checkpoint / WHOLE).touch()

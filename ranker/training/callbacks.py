"""What a training says and does between its steps."""

from pathlib import Path
from typing import Any

import torch
from transformers import BertForSequenceClassification, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ranker.model.hardware import resolve_precision
from ranker.model.predict import score
from ranker.project.params import Train
from ranker.training.checkpoints import EVERY, SEEN, WHOLE
from ranker.training.curves import Watch

LOGGED = ("loss", "grad_norm", "learning_rate")  # not the run times: no two runs would write the same bytes


class LearningCurves(TrainerCallback):
    """Puts the Trainer's losses on a Watch's curves, and once an epoch the model's scores of its held-out pairs."""

    def __init__(self, watch: Watch, params: Train) -> None:
        self.watch, self.params = watch, params

    def _look(self, step: int, model: BertForSequenceClassification) -> None:
        precision = resolve_precision(self.params.precision)
        self.watch.look(step, score(model, self.watch.encoded, self.params.eval_batch_tokens, precision))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        if state.global_step == 0:
            self._look(state.global_step, given["model"])

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        self._look(state.global_step, given["model"])

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        logs = given["logs"]
        self.watch.learned(state.global_step, **{name: logs[name] for name in LOGGED if name in logs})

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.watch.end()


class Keeper(TrainerCallback):
    """Keeps a checkpoint every EVERY steps, or a little later where an epoch ends: its curves are yet to come then.

    Always where the loss is logged: what has run up since is in no checkpoint.
    """

    def __init__(self, watch: Watch | None, steps_per_epoch: int) -> None:
        self.watch, self.steps_per_epoch = watch, steps_per_epoch

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        step, before = state.global_step, state.global_step - int(args.logging_steps)
        late = before > 0 and before % EVERY == 0 and before % self.steps_per_epoch == 0
        control.should_save = (step % EVERY == 0 or late) and step % self.steps_per_epoch != 0

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if torch.distributed.is_initialized():  # each process writes its own part of a checkpoint
            torch.distributed.barrier()
        checkpoint = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        if self.watch:
            self.watch.save(checkpoint / SEEN)
        if state.is_world_process_zero:
            (checkpoint / WHOLE).touch()

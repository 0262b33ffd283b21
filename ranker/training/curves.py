"""DVCLive's learning curves: losses, learning rate and held-out measures by step."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from dvclive import Live  # type: ignore[attr-defined]

from ranker.common.files import write_json
from ranker.model.dataset import EncodedPairs

SUMMARY = "metrics.json"  # DVCLive's name for it
Measure = Callable[[pd.DataFrame, np.ndarray], tuple[dict[str, float], dict[str, float]]]


class EvalLogger:
    """Writes a training's curves, and evaluates held-out pairs once an epoch, for display only.

    Replaces transformers' DVCLiveCallback, which logs run times and paths: equal runs would write different bytes.
    """

    def __init__(self, pairs: pd.DataFrame, encoded: EncodedPairs, folder: Path, measure: Measure) -> None:
        self.pairs = pairs
        self.encoded = encoded
        self.folder = folder
        self.measure = measure  # ranker.metrics.classification.held_out_measures
        self.live = Live(str(folder), dvcyaml=False, save_dvc_exp=False)
        self.measures: dict[str, float] = {}  # of the last evaluation

    def log_eval(self, step: int, scores: np.ndarray) -> None:
        """Log the measures of held-out scores, float [pairs], if any pairs are held out."""
        if self.pairs.empty:
            return
        self.measures, over_all_pairs = self.measure(self.pairs, scores)
        loss = over_all_pairs.pop("log loss")
        self._log("eval", step, {"loss": loss} | self.measures | over_all_pairs)
        main = next(iter(self.measures))
        print(f"train: step {step}: held out: log loss {loss:.3f}, {main} {self.measures[main]:.3f}", flush=True)

    def log_training(self, step: int, **values: float) -> None:
        """Log the loss and other values of the training pairs."""
        self._log("training", step, values)  # "train" would clash with params.yaml's train.learning_rate

    def _log(self, side: str, step: int, values: dict[str, float]) -> None:
        self.live.step = step
        for name, value in values.items():
            self.live.log_metric(f"{side}/{name}", value)
        self.live.make_summary()

    def save(self, copy: Path) -> None:
        """Copy the curves so far."""
        shutil.copytree(self.folder, copy)

    def restore(self, copy: Path) -> None:
        """Resume from a copy that `save` made."""
        shutil.rmtree(self.folder)
        shutil.copytree(copy, self.folder)
        self.live = Live(str(self.folder), dvcyaml=False, save_dvc_exp=False, resume=True)

    def end(self) -> None:
        """Replace DVCLive's summary by one flat file of the last measures, which sweeps read."""
        self.live.end()
        write_json(self.folder / SUMMARY, self.measures)

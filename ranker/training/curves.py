"""Learning curves by DVCLive: losses, learning rate and measures of the held-out pairs, over steps."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from dvclive import Live  # type: ignore[attr-defined]

from ranker.metrics.classification import classification_measures
from ranker.metrics.ranking import mean_measures, ranking_measures
from ranker.model.dataset import EncodedPairs


class Watch:
    """Held-out pairs to look at once an epoch, by which nothing is chosen, and the curves of a training.

    Not transformers' DVCLiveCallback: it logs run times and paths too, so that no two runs would write the same bytes.
    """

    def __init__(self, pairs: pd.DataFrame, encoded: EncodedPairs, folder: Path) -> None:
        self.pairs = pairs
        self.encoded = encoded
        self.folder = folder
        self.live = Live(str(folder), dvcyaml=False, save_dvc_exp=False)

    def look(self, step: int, scores: np.ndarray) -> None:
        """Log the measures of held-out scores, float [pairs]."""
        classified = classification_measures(self.pairs["label"].to_numpy(), scores)
        ranked = mean_measures(ranking_measures(self.pairs, scores))
        self._log("eval", step, {"loss": classified.pop("log loss")} | ranked | classified)

    def learned(self, step: int, **values: float) -> None:
        """Log the loss and whatever else there is of the training pairs."""
        self._log("training", step, values)  # not train: params.yaml has a train.learning_rate

    def _log(self, side: str, step: int, values: dict[str, float]) -> None:
        self.live.step = step
        for name, value in values.items():
            self.live.log_metric(f"{side}/{name}", value)
        self.live.make_summary()

    def save(self, copy: Path) -> None:
        """Copy what is written so far."""
        shutil.copytree(self.folder, copy)

    def restore(self, copy: Path) -> None:
        """Go on from such a copy."""
        shutil.rmtree(self.folder)
        shutil.copytree(copy, self.folder)
        self.live = Live(str(self.folder), dvcyaml=False, save_dvc_exp=False, resume=True)

    def end(self) -> None:
        self.live.end()

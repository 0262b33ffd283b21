"""Train a tiny model without dropout on made-up pairs, as one of torchrun's processes, or alone.

python -m tests.train_together BASE_MODEL OUT BATCH_SIZE [STOP]: each process stops, as if killed, after it has read
STOP pairs; another run in the same folder resumes.
"""

import os
import sys
from dataclasses import fields
from pathlib import Path

from safetensors.torch import save_file

from ranker.common.distributed import is_main_process
from ranker.common.errors import run_stage
from ranker.model.cross_encoder import new_classifier
from ranker.model.dataset import EncodedPairs, Example
from ranker.training import checkpoints
from ranker.training.trainer import fine_tune
from tests.factories import TRAIN, make_logger, make_pairs

QUERIES = 16  # ten pairs each: whole batches of 8


class Recorded(EncodedPairs):
    """Pairs that record which of them were read."""

    def __getitem__(self, row: int) -> Example:
        read.append(int(row))
        if len(read) > stop:
            os._exit(1)
        return super().__getitem__(row)


read: list[int] = []
stop = int(sys.argv[4]) if len(sys.argv) > 4 and sys.argv[4].isdigit() else sys.maxsize


def main() -> None:
    base_model, out, batch_size = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    pairs = make_pairs(QUERIES)
    model = new_classifier(base_model, seed=3).train()
    recorded = Recorded(**{field.name: getattr(pairs, field.name) for field in fields(pairs)})
    logger = make_logger(4, 1, out / "curves") if is_main_process() else None
    checkpoints.EVERY = 10
    fine_tune(model, recorded, TRAIN.model_copy(update={"batch_size": batch_size}), logger, name="together")
    number = 0 if is_main_process() else 1
    (out / f"{number}.txt").write_text(" ".join(map(str, read)))
    save_file(dict(model.state_dict()), out / f"{number}.safetensors")


if __name__ == "__main__":
    run_stage("train", main)

"""Fine-tune the cross-encoder on all folds but the held-out one.

With several processes (train.launcher), only the first logs and writes.

python -m stages.train
"""

from pathlib import Path
from typing import cast

import numpy as np
from transformers import BertForSequenceClassification

from ranker.common.distributed import is_main_process
from ranker.common.errors import run_stage
from ranker.common.files import atomic, code_digest, sha256, write_json
from ranker.metrics.classification import held_out_measures
from ranker.model.cross_encoder import CrossEncoder, initial_model, is_sentence_encoder, save_model
from ranker.model.dataset import EncodedPairs, load_training_pairs, targets
from ranker.model.features import FEATURES_FILE
from ranker.model.hardware import machine, resolve_precision
from ranker.project import paths
from ranker.project.params import Train, load_params
from ranker.project.preflight import check_params_fit_model, say_other_versions
from ranker.project.sides import training_sides
from ranker.training.checkpoints import remove_checkpoints
from ranker.training.curves import EvalLogger
from ranker.training.head import Featured, train_head

# The code that makes the weights: this stage's code deps in dvc.yaml.
CODE = (
    *(Path("ranker") / wing for wing in ("common", "contract", "model", "project", "training")),
    *(Path("ranker/metrics") / file for file in ("classification.py", "ranking.py")),
    Path("stages/train.py"),
)


def train(
    model: CrossEncoder,
    training: EncodedPairs,
    rows: tuple[np.ndarray, np.ndarray],
    params: Train,
    logger: EvalLogger | None,
) -> None:
    """Train the head on stored features, or more of the model in the Trainer.

    `rows` are the features' rows of training and held-out pairs. A head takes seconds, so the first process trains it
    alone.
    """
    if params.trainable == "head":
        if logger is None:
            return
        pooled = np.load(paths.FEATURES / FEATURES_FILE)
        trained, held_out = (pooled[side] for side in rows)
        classifier = cast(BertForSequenceClassification, model)  # preflight checks this
        train_head(classifier, Featured(trained, training.targets, training.lengths), params, held_out, logger)
    else:
        from ranker.training.trainer import fine_tune  # the Trainer takes a second to import

        fine_tune(model, training, params, logger, name="train")


def data_digests(mined: bool) -> dict[str, str]:
    """SHA-256 of each table that the model was trained on; `mined` includes the mined pairs."""
    files = [paths.SPLIT_PAIRS, paths.SPLIT_QUERIES, paths.SPLIT_DOCUMENTS]
    files += [paths.MINED_PAIRS, paths.MINED_DOCUMENTS] if mined else []
    return {file.as_posix(): sha256(file) for file in files}


def main() -> None:
    params = load_params()
    say_other_versions("train")
    check_params_fit_model(paths.BASE_MODEL, params)
    pairs, encoded = load_training_pairs(params)
    encoded = encoded.with_targets(targets(pairs, params.train.targets, params.join.grades))
    training, held_out = training_sides(pairs, params.split.held_out)
    mined = int(pairs["mined"].iloc[training].sum())
    of_them = f", {mined} of them mined" if mined else ""
    model = initial_model(params)
    logger = None
    if is_main_process():
        trained = sum(weights.numel() for weights in model.parameters() if weights.requires_grad)
        print(
            f"train: {len(training)} pairs{of_them}, {len(held_out)} held out; {trained:,} of "
            f"{model.num_parameters():,} weights trainable ({params.train.trainable}); "
            f"precision {resolve_precision(params.train.precision)}",
            flush=True,
        )
        if params.train.head == "cosine" and not is_sentence_encoder():
            print(
                "train: the base model is no sentence encoder with mean pooling, so it gets a classification head",
                flush=True,
            )
        held_out_pairs = pairs.iloc[held_out].reset_index(drop=True)
        logger = EvalLogger(held_out_pairs, encoded.take(held_out), paths.CURVES, held_out_measures)
    train(model, encoded.take(training), (training, held_out), params.train, logger)
    if is_main_process():
        with atomic(paths.CHECKPOINT) as partial:
            save_model(model, paths.BASE_MODEL, partial)
            made_of = {"data": data_digests(mined > 0), "code": code_digest(*CODE)}
            write_json(partial / paths.TRAINING_FILE, machine(params.train.precision) | made_of)
        remove_checkpoints("train")


if __name__ == "__main__":
    run_stage("train", main)

"""Fine-tune the cross-encoder on all folds but the held-out one.

Of several processes (train.launcher), the first alone logs and writes.

python -m stages.train
"""

import numpy as np
from transformers import BertForSequenceClassification

from ranker import tables
from ranker.curves import Watch
from ranker.encoded_pairs import EncodedPairs, encode_pairs
from ranker.encoding import load_layout
from ranker.errors import run_stage
from ranker.features import FEATURES_FILE
from ranker.files import atomic
from ranker.fit import check_fit
from ranker.folds import held_out_pairs
from ranker.head import Featured, train_head
from ranker.model import resolve_precision, save_model, start_training
from ranker.params import Train, load_params
from ranker.processes import is_first
from ranker.unfinished import forget


def train(
    model: BertForSequenceClassification,
    training: EncodedPairs,
    rows: np.ndarray,
    params: Train,
    watch: Watch | None,
) -> None:
    """Train the head on the features of pairs `rows`, the others being held out, or more than it in the Trainer.

    A head takes seconds: the first process trains it alone.
    """
    if params.trainable == "head":
        if watch is None:
            return
        pooled = np.load(tables.FEATURES / FEATURES_FILE)
        held_out = np.delete(pooled, rows, axis=0)
        train_head(model, Featured(pooled[rows], training.targets, training.lengths), params, held_out, watch)
    else:
        from ranker.training import fine_tune  # the Trainer takes a second to import: not for a head

        fine_tune(model, training, params, watch, name="train")


def main() -> None:
    params = load_params()
    check_fit(tables.BASE_MODEL, params)
    layout = load_layout(tables.BASE_MODEL, params.encode.query_input_size, params.encode.doc_input_size)
    pairs, folds = tables.read_table(tables.PAIRS), tables.read_table(tables.FOLDS)
    tokens = tables.read_tokens(tables.ENCODED_QUERIES), tables.read_tokens(tables.ENCODED_DOCUMENTS)
    sides = held_out_pairs(pairs.assign(row=range(len(pairs))), folds, params.split.held_out)
    training, held_out = (encode_pairs(side, *tokens, layout) for side in sides)
    taught = params.distil.queries > 0
    start = tables.START if taught else tables.BASE_MODEL
    model = start_training(start, params.train.trainable, params.train.seed, with_head=taught)
    trained = sum(weights.numel() for weights in model.parameters() if weights.requires_grad)
    said = (
        f"train: {len(training)} pairs, {len(held_out)} held out; {trained:,} of {model.num_parameters():,} weights "
        f"trainable ({params.train.trainable}); precision {resolve_precision(params.train.precision)}; from {start}"
    )
    watch = None
    if is_first():
        print(said, flush=True)
        watch = Watch(sides[1], held_out, params.join.relevant_from, tables.CURVES)
    train(model, training, sides[0]["row"].to_numpy(), params.train, watch)
    if is_first():
        with atomic(tables.CHECKPOINT) as partial:
            save_model(model, tables.BASE_MODEL, partial)
        forget("train")


if __name__ == "__main__":
    run_stage("train", main)

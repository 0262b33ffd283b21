"""Fine-tune the cross-encoder on all folds but the held-out one.

python -m stages.train
"""

import shutil

from ranker import tables
from ranker.encoding import load_layout
from ranker.errors import run_stage
from ranker.files import atomic
from ranker.folds import held_out_pairs
from ranker.model import TOKENIZER_FILES, resolve_precision, start_training
from ranker.params import load_params
from ranker.training import Watch, encode_pairs, fine_tune


def main() -> None:
    params = load_params()
    layout = load_layout(tables.BASE_MODEL, params.encode.query_input_size, params.encode.doc_input_size)
    pairs, folds = tables.read_table(tables.PAIRS), tables.read_table(tables.FOLDS)
    queries, documents = tables.read_tokens(tables.ENCODED_QUERIES), tables.read_tokens(tables.ENCODED_DOCUMENTS)
    training, held_out = (
        encode_pairs(side, queries, documents, layout) for side in held_out_pairs(pairs, folds, params.split.held_out)
    )
    taught = params.distil.queries > 0
    start = tables.START if taught else tables.BASE_MODEL
    model = start_training(start, layout, params.train.trainable, params.train.seed, with_head=taught)
    trained = sum(weights.numel() for weights in model.parameters() if weights.requires_grad)
    print(
        f"train: {len(training)} pairs, {len(held_out)} held out; {trained:,} of {model.num_parameters():,} weights "
        f"trainable ({params.train.trainable}); precision {resolve_precision(params.train.precision)}; from {start}"
    )
    watch = Watch(held_out, params.join.relevant_from, tables.CURVES)
    fine_tune(model, training, layout, params.train, watch)
    with atomic(tables.CHECKPOINT) as partial:
        model.save_pretrained(partial)
        for name in TOKENIZER_FILES:  # a checkpoint is a whole model
            shutil.copyfile(tables.BASE_MODEL / name, partial / name)


if __name__ == "__main__":
    run_stage("train", main)

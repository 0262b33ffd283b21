"""Run the frozen encoder once over every pair, where the head alone is trained; else leave an empty folder.

python -m stages.features
"""

from pathlib import Path

from ranker import tables
from ranker.encoded_pairs import encode_pairs
from ranker.encoding import load_layout
from ranker.errors import run_stage
from ranker.files import atomic
from ranker.fit import check_fit
from ranker.params import Params, load_params

NO_SEED = 0  # it draws a new head's weights, which features do not see: a sweep over train.seed keeps them


def extract(params: Params, folder: Path) -> None:
    """Write the features of all pairs, in the order of their table."""
    from ranker.features import FEATURES_FILE, write_features  # torch takes seconds to import: not for an empty folder
    from ranker.model import resolve_precision, start_training

    layout = load_layout(tables.BASE_MODEL, params.encode.query_input_size, params.encode.doc_input_size)
    tokens = tables.read_tokens(tables.ENCODED_QUERIES), tables.read_tokens(tables.ENCODED_DOCUMENTS)
    pairs = encode_pairs(tables.read_table(tables.PAIRS), *tokens, layout)
    taught = params.distil.queries > 0
    start = tables.START if taught else tables.BASE_MODEL
    model = start_training(start, params.train.trainable, NO_SEED, with_head=taught)
    precision = resolve_precision(params.train.precision)
    print(
        f"features: {len(pairs)} pairs, {pairs.lengths.sum()} tokens; precision {precision}; from {start}", flush=True
    )
    write_features(folder / FEATURES_FILE, model, pairs, params.train.eval_batch_tokens, precision)


def main() -> None:
    params = load_params()
    check_fit(tables.BASE_MODEL, params)
    with atomic(tables.FEATURES) as partial:
        partial.mkdir()
        if params.train.trainable == "head":
            extract(params, partial)


if __name__ == "__main__":
    run_stage("features", main)

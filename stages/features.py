"""Run the frozen encoder once over every pair if only the head is trained; otherwise write a note.

python -m stages.features
"""

from pathlib import Path
from typing import cast

from ranker.common.errors import run_stage
from ranker.common.files import atomic, write_json
from ranker.model.dataset import load_training_pairs
from ranker.project import paths
from ranker.project.params import Params, load_params
from ranker.project.preflight import check_params_fit_model, say_other_versions


def extract(params: Params, folder: Path) -> None:
    """Write the features of all pairs, in the order of their table.

    They do not depend on the head's weights, so a sweep over `train.seed` reuses them.
    """
    from transformers import BertForSequenceClassification

    from ranker.model.cross_encoder import initial_model  # torch takes seconds to import
    from ranker.model.features import FEATURES_FILE, write_features
    from ranker.model.hardware import resolve_precision

    _, pairs = load_training_pairs(params)
    precision = resolve_precision(params.train.precision)
    tokens = pairs.lengths.sum()
    print(f"features: {len(pairs)} pairs, {tokens} tokens; precision {precision}", flush=True)
    model = cast(BertForSequenceClassification, initial_model(params))  # preflight checks this
    write_features(folder / FEATURES_FILE, model, pairs, precision)


def main() -> None:
    params = load_params()
    say_other_versions("features")
    check_params_fit_model(paths.BASE_MODEL, params)
    with atomic(paths.FEATURES) as partial:
        partial.mkdir()
        write_json(partial / "made_for.json", {"train.trainable": params.train.trainable})  # DVC warns of empty folders
        if params.train.trainable == "head":
            extract(params, partial)


if __name__ == "__main__":
    run_stage("features", main)

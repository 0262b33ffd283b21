"""Fine-tune a bi-encoder on the training folds if first_stage.retriever is bi_encoder; otherwise write a note.

python -m stages.bi_encoder
"""

from pathlib import Path

from ranker.common.errors import run_stage
from ranker.common.files import atomic, write_json
from ranker.project import paths
from ranker.project.params import Params, load_params
from ranker.project.preflight import check_params_fit_model, say_other_versions


def train(params: Params, folder: Path) -> None:
    """Fine-tune a bi-encoder and write it in stage base_model's format."""
    from ranker.model.cross_encoder import new_bi_encoder, save_encoder  # torch takes seconds to import
    from ranker.model.dataset import load_pairs, targets
    from ranker.project.sides import held_out_rows
    from ranker.training.checkpoints import remove_checkpoints
    from ranker.training.trainer import fine_tune

    pairs, encoded = load_pairs(params)
    encoded = encoded.with_targets(targets(pairs, params.train.targets, params.join.grades))
    training, _ = held_out_rows(pairs, params.split.held_out)
    print(f"bi_encoder: {len(training)} pairs", flush=True)
    model = new_bi_encoder(params.train.trainable)
    fine_tune(model, encoded.take(training), params.train, name="bi_encoder")
    save_encoder(model, folder)
    remove_checkpoints("bi_encoder")


def main() -> None:
    params = load_params()
    say_other_versions("bi_encoder")
    check_params_fit_model(paths.BASE_MODEL, params)
    with atomic(paths.BI_ENCODER) as partial:
        partial.mkdir()
        # DVC warns of empty folders.
        write_json(partial / "made_for.json", {"first_stage.retriever": params.first_stage.retriever})
        if params.first_stage.retriever == "bi_encoder":
            train(params, partial)


if __name__ == "__main__":
    run_stage("bi_encoder", main)

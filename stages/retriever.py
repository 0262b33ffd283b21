"""Fine-tune the retriever on the training folds if first_stage.retriever searches by it; otherwise write a note.

python -m stages.retriever
"""

from pathlib import Path

from ranker.common.errors import run_stage
from ranker.common.files import atomic, code_digest, sha256, write_json
from ranker.contract.folder import IDLE_FILE
from ranker.contract.stacks import trains_retriever
from ranker.project import paths, tables
from ranker.project.params import Params, load_params
from ranker.project.preflight import check_params_fit_model, say_other_versions
from ranker.project.sides import held_out_pairs

# The code that makes the weights: this stage's code deps in dvc.yaml.
CODE = (
    *(Path("ranker") / wing for wing in ("common", "contract", "model", "project", "training")),
    Path("stages/retriever.py"),
)


def train(params: Params, folder: Path) -> None:
    """Fine-tune the retriever and write it in stage base_model's format."""
    from ranker.model.cross_encoder import save_encoder  # torch takes seconds to import
    from ranker.model.hardware import machine
    from ranker.training.checkpoints import remove_checkpoints
    from ranker.training.retriever import train_retriever

    files = (paths.SPLIT_PAIRS, paths.SPLIT_QUERIES, paths.SPLIT_DOCUMENTS)
    pairs, _ = held_out_pairs(tables.read_table(paths.SPLIT_PAIRS), params.split.held_out)
    queries, documents = tables.read_tokens(paths.SPLIT_QUERIES), tables.read_tokens(paths.SPLIT_DOCUMENTS)
    print(f"retriever: {len(pairs)} pairs", flush=True)
    model = train_retriever(pairs, queries, documents, params.retriever, params.join.grades, "retriever")
    save_encoder(model, folder, params.retriever.max_length)
    made_of = {"data": {file.as_posix(): sha256(file) for file in files}, "code": code_digest(*CODE)}
    write_json(folder / paths.TRAINING_FILE, machine(params.retriever.precision) | made_of)
    remove_checkpoints("retriever")


def main() -> None:
    params = load_params()
    say_other_versions("retriever")
    check_params_fit_model(paths.BASE_MODEL, params)
    with atomic(paths.RETRIEVER_CHECKPOINT) as partial:
        partial.mkdir()
        if trains_retriever(params.first_stage.retriever):
            train(params, partial)
        else:  # DVC warns of empty folders
            write_json(partial / IDLE_FILE, {"first_stage.retriever": params.first_stage.retriever})


if __name__ == "__main__":
    run_stage("retriever", main)

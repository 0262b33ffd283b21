"""Train the retriever of one seed and fold, as stage retriever does, and find its held-out queries' hits with it.

python -m crossval.retriever SEED FOLD
"""

import argparse

from ranker.common.errors import run_stage
from ranker.project import paths, tables
from ranker.project.params import load_crossval_params
from ranker.project.preflight import check_params_fit_model, say_other_versions
from ranker.project.sides import held_out_pairs
from ranker.retrieval.fold_hits import fold_hits
from ranker.training.checkpoints import remove_checkpoints
from ranker.training.retriever import train_retriever


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("fold", type=int)
    asked = parser.parse_args()
    say_other_versions("crossval")
    params = load_crossval_params()
    params = params.model_copy(update={"retriever": params.retriever.model_copy(update={"seed": asked.seed})})
    check_params_fit_model(paths.BASE_MODEL, params)
    training, held_out = held_out_pairs(tables.read_table(paths.SPLIT_PAIRS), asked.fold)
    name = f"crossval/retriever-{asked.seed}-{asked.fold}"
    print(f"crossval: retriever, seed {asked.seed}, fold {asked.fold}: {len(training)} training pairs", flush=True)
    texts = tables.read_tokens(paths.SPLIT_QUERIES), tables.read_tokens(paths.SPLIT_DOCUMENTS)
    model = train_retriever(training, *texts, params.retriever, params.join.grades, name)
    hits = fold_hits(model, held_out, params)
    tables.write_table(paths.crossval_scores("retriever", asked.seed, asked.fold), hits, tables.HIT)
    remove_checkpoints(name)


if __name__ == "__main__":
    run_stage("crossval", main)

"""Train one model of the cross-validation, as stage train does, and score the queries that it has not seen.

python -m crossval.train RECIPE SEED FOLD
"""

import argparse
from typing import Any

import numpy as np
import pandas as pd

from ranker.common.errors import run_stage
from ranker.model.cross_encoder import initial_model
from ranker.model.dataset import EncodedPairs, load_pairs
from ranker.model.features import features
from ranker.model.hardware import resolve_precision
from ranker.model.predict import score
from ranker.project import paths, tables
from ranker.project.params import Params, load_crossval_params
from ranker.project.preflight import check_params_fit_model
from ranker.splits.folds import held_out_folds, held_out_rows
from ranker.training.checkpoints import forget
from ranker.training.head import Featured, score_features, train_head
from ranker.training.trainer import fine_tune

# ranker: what stage train does. head_only: the tutorial's recipe, from the base model. inner: the ranker, trained
# without the next fold too, which it scores: what a choice for the held-out fold may look at.
RECIPES = ("ranker", "head_only", "inner")


def recipe_params(params: Params, recipe: str, seed: int) -> Params:
    """The params by which a recipe trains."""
    changes: dict[str, dict[str, Any]] = {"train": {"seed": seed}}
    if recipe == "head_only":
        head = {"trainable": "head", "learning_rate": params.crossval.head_learning_rate}
        changes = {"train": {"seed": seed} | head, "distil": {"queries": 0}}
    sections = {name: getattr(params, name).model_copy(update=update) for name, update in changes.items()}
    return params.model_copy(update=sections)


def train_and_score(params: Params, training: EncodedPairs, held_out: EncodedPairs, name: str) -> np.ndarray:
    """Scores of the held-out pairs, float32 [pairs], of a model of its own; `name` is its, should it be stopped."""
    model = initial_model(params)
    settings = params.train
    if settings.trainable != "head":
        fine_tune(model, training, settings, name=name)
        return score(model, held_out, settings.eval_batch_tokens)
    precision = resolve_precision(settings.precision)
    pooled = features(model, training, settings.eval_batch_tokens, precision)
    train_head(model, Featured(pooled, training.targets, training.lengths), settings)
    # Scores are of fp32 whatever training computes in, as what is exported is.
    return score_features(model, features(model, held_out, settings.eval_batch_tokens, "fp32"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("seed", type=int)
    parser.add_argument("fold", type=int)
    asked = parser.parse_args()
    params = recipe_params(load_crossval_params(), asked.recipe, asked.seed)
    check_params_fit_model(paths.BASE_MODEL, params)
    pairs, encoded = load_pairs(params)
    held_out = held_out_folds(asked.recipe, asked.fold, params.split.folds)
    training, scored = held_out_rows(pairs, tables.read_table(paths.FOLDS), *held_out)
    name = f"crossval/{asked.recipe}-{asked.seed}-{asked.fold}"
    print(f"crossval: {asked.recipe}, seed {asked.seed}, fold {asked.fold}: {len(training)} training pairs", flush=True)
    scores = train_and_score(params, encoded.take(training), encoded.take(scored), name)
    table: pd.DataFrame = pairs.iloc[scored][["query_id", "document_id"]].assign(score=scores)
    path = paths.crossval_scores(asked.recipe, asked.seed, asked.fold)
    tables.write_table(path, table.sort_values(["query_id", "document_id"]), tables.SCORES)
    forget(name)


if __name__ == "__main__":
    run_stage("crossval", main)

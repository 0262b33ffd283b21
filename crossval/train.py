"""Train one model of the cross-validation, as stage train does, and score its held-out queries.

python -m crossval.train RECIPE SEED FOLD
"""

import argparse
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
from transformers import BertForSequenceClassification

from ranker.common.errors import run_stage
from ranker.model.cross_encoder import initial_model
from ranker.model.dataset import EncodedPairs, encode_pairs, load_training_pairs, project_layout, targets
from ranker.model.features import features
from ranker.model.hardware import resolve_precision
from ranker.model.predict import score, score_features
from ranker.project import paths, tables
from ranker.project.documents import read_some_tokens
from ranker.project.params import Params, load_crossval_params
from ranker.project.preflight import check_params_fit_model, say_other_versions
from ranker.project.sides import training_sides
from ranker.training.checkpoints import remove_checkpoints
from ranker.training.head import Featured, converged_head_scores, train_head
from ranker.training.trainer import fine_tune

Side = tuple[pd.DataFrame, EncodedPairs]  # pairs, and the same with their token ids

TUTORIAL: dict[str, Any] = {
    "head": "classifier",
    "trainable": "head",
    "targets": "binary",
    "epochs": 3,
    "batch_size": 16,
    "learning_rate": 5e-5,
    "warmup_steps": 500,
    "weight_decay": 0.01,
}
# Each recipe's settings, where they differ from params.yaml's.
RECIPES = {"cross_encoder": {}, "tutorial": TUTORIAL, "head_only": TUTORIAL}


def recipe_params(params: Params, recipe: str, seed: int) -> Params:
    """A recipe's params."""
    changes = {"seed": seed} | RECIPES[recipe]
    return params.model_copy(update={"train": params.train.model_copy(update=changes)})


def train_and_score(params: Params, recipe: str, sides: tuple[Side, Side], name: str) -> np.ndarray:
    """Train a new model and score the held-out pairs: float32 [pairs]. `name` is that of its checkpoints."""
    (pairs, training), (_, held_out) = sides
    model = initial_model(params)
    settings = params.train
    if settings.trainable != "head":
        fine_tune(model, training, settings, name=name)
        return score(model, held_out)
    model = cast(BertForSequenceClassification, model)
    pooled = features(model, training, resolve_precision(settings.precision))
    # Scoring always uses fp32, like the exported model.
    scored = features(model, held_out, "fp32")
    if recipe == "head_only":
        return converged_head_scores(pooled, pairs["relevant"].to_numpy(), pairs["query_id"].to_numpy(), scored)
    train_head(model, Featured(pooled, training.targets, training.lengths), settings)
    return score_features(model, scored)


def to_score(params: Params, held_out: pd.DataFrame, recipe: str, seed: int, fold: int) -> Side:
    """The held-out pairs and their queries' hits, with token ids; for the cross-encoder, also its retriever's hits."""
    file = paths.crossval_scores("retriever", seed, fold) if recipe == "cross_encoder" else paths.HITS
    hits = tables.read_table(file, tables.HIT)
    hits = hits[hits["query_id"].isin(held_out["query_id"])]
    pairs = pd.concat([held_out[tables.IDS], hits[tables.IDS]]).drop_duplicates(ignore_index=True)
    queries = tables.read_tokens(paths.ENCODED_QUERIES)
    documents = read_some_tokens(pa.array(pairs["document_id"].unique(), pa.string()))
    pairs["relevant"] = False  # unused in scoring, but encode_pairs needs it
    return pairs, encode_pairs(pairs, queries, documents, project_layout(params, paths.BASE_MODEL))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("seed", type=int)
    parser.add_argument("fold", type=int)
    asked = parser.parse_args()
    say_other_versions("crossval")
    params = recipe_params(load_crossval_params(), asked.recipe, asked.seed)
    check_params_fit_model(paths.BASE_MODEL, params)
    pairs, encoded = load_training_pairs(params)
    encoded = encoded.with_targets(targets(pairs, params.train.targets, params.join.grades))
    training, held_out = training_sides(pairs, asked.fold)
    name = f"crossval/{asked.recipe}-{asked.seed}-{asked.fold}"
    print(f"crossval: {asked.recipe}, seed {asked.seed}, fold {asked.fold}: {len(training)} training pairs", flush=True)
    scored = to_score(params, pairs.iloc[held_out], asked.recipe, asked.seed, asked.fold)
    sides = (pairs.iloc[training], encoded.take(training)), scored
    table = sides[1][0][tables.IDS].assign(score=train_and_score(params, asked.recipe, sides, name))
    path = paths.crossval_scores(asked.recipe, asked.seed, asked.fold)
    tables.write_table(path, table.sort_values(tables.IDS), tables.SCORES)
    remove_checkpoints(name)


if __name__ == "__main__":
    run_stage("crossval", main)

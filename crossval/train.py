"""Train one model of the cross-validation, as stage train does, and score the queries that it has not seen.

python -m crossval.train RECIPE SEED FOLD
"""

import argparse

import numpy as np
import pandas as pd

from ranker import tables
from ranker.baselines import with_candidates
from ranker.encoded_pairs import EncodedPairs, encode_pairs
from ranker.encoding import load_layout
from ranker.errors import run_stage
from ranker.features import features
from ranker.fit import check_fit
from ranker.folds import held_out_pairs
from ranker.head import Featured, score_features, train_head
from ranker.model import resolve_precision, start_training
from ranker.params import Params, load_crossval_params
from ranker.scoring import score
from ranker.training import fine_tune
from ranker.unfinished import forget

# ranker: what stage train does. head_only: the tutorial's recipe, from the base model. inner: the ranker, trained
# without the next fold too, which it scores: what a choice for the held-out fold may look at.
RECIPES = ("ranker", "head_only", "inner")


def held_out_folds(recipe: str, fold: int, folds: int) -> list[int]:
    """The folds that are not trained on, the cross-validation's own first."""
    return [fold, (fold + 1) % folds] if recipe == "inner" else [fold]


def train_and_score(params: Params, recipe: str, seed: int, fold: int) -> pd.DataFrame:
    """query_id, document_id and score of every held-out pair, and of the candidates that nobody judged."""
    check_fit(tables.BASE_MODEL, params)
    layout = load_layout(tables.BASE_MODEL, params.encode.query_input_size, params.encode.doc_input_size)
    texts = tables.read_table(tables.QUERIES), tables.read_table(tables.DOCUMENTS)
    tokens = tables.read_tokens(tables.ENCODED_QUERIES), tables.read_tokens(tables.ENCODED_DOCUMENTS)
    pairs, folds = tables.read_table(tables.PAIRS), tables.read_table(tables.FOLDS)
    training, held_out = held_out_pairs(pairs, folds, *held_out_folds(recipe, fold, params.split.folds))
    print(f"crossval: {recipe}, seed {seed}, fold {fold}: {len(training)} pairs to train on", flush=True)
    scored = with_candidates(held_out, texts, params.crossval.candidates)
    sides = encode_pairs(training, *tokens, layout), encode_pairs(scored, *tokens, layout)
    if recipe == "head_only":
        scores = score_by_head(params, seed, *sides)
    else:
        scores = score_by_ranker(params, seed, *sides, name=unfinished(recipe, seed, fold))
    return scored[["query_id", "document_id"]].assign(score=scores)


def unfinished(recipe: str, seed: int, fold: int) -> str:
    """The name of a model's training, should it be stopped."""
    return f"crossval/{recipe}-{seed}-{fold}"


def score_by_ranker(params: Params, seed: int, training: EncodedPairs, scored: EncodedPairs, name: str) -> np.ndarray:
    """Scores, float32 [pairs], after what stage train does."""
    taught = params.distil.queries > 0
    start = tables.START if taught else tables.BASE_MODEL
    settings = params.train.model_copy(update={"seed": seed})
    model = start_training(start, settings.trainable, seed, with_head=taught)
    fine_tune(model, training, settings, name=name)
    return score(model, scored, settings.eval_batch_tokens)


def score_by_head(params: Params, seed: int, training: EncodedPairs, scored: EncodedPairs) -> np.ndarray:
    """Scores, float32 [pairs], after training the head alone, from the base model."""
    rate = params.crossval.head_learning_rate
    settings = params.train.model_copy(update={"seed": seed, "trainable": "head", "learning_rate": rate})
    model = start_training(tables.BASE_MODEL, settings.trainable, seed)
    precision = resolve_precision(settings.precision)
    seen, unseen = (features(model, side, settings.eval_batch_tokens, precision) for side in (training, scored))
    train_head(model, Featured(seen, training.targets, training.lengths), settings)
    return score_features(model, unseen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("seed", type=int)
    parser.add_argument("fold", type=int)
    arguments = parser.parse_args()
    scores = train_and_score(load_crossval_params(), arguments.recipe, arguments.seed, arguments.fold)
    path = tables.crossval_scores(arguments.recipe, arguments.seed, arguments.fold)
    tables.write_table(path, scores.sort_values(["query_id", "document_id"]), tables.SCORES)
    forget(unfinished(arguments.recipe, arguments.seed, arguments.fold))


if __name__ == "__main__":
    run_stage("crossval", main)

"""Train one model of the cross-validation, as stage train does, and score the queries that it has not seen.

python -m crossval.train RECIPE SEED FOLD
"""

import argparse

import numpy as np
import pandas as pd
from transformers import BertForSequenceClassification

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
from ranker.params import Params, Train, load_crossval_params
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
    taught, settings = recipe != "head_only" and params.distil.queries > 0, settings_of(params, recipe, seed)
    start = tables.START if taught else tables.BASE_MODEL
    model = start_training(start, settings.trainable, seed, with_head=taught)
    if settings.trainable == "head":
        scores = score_by_head(model, settings, *sides)
    else:
        fine_tune(model, sides[0], settings, name=unfinished(recipe, seed, fold))
        scores = score(model, sides[1], settings.eval_batch_tokens)
    return scored[["query_id", "document_id"]].assign(score=scores)


def settings_of(params: Params, recipe: str, seed: int) -> Train:
    """How a recipe trains."""
    settings = params.train.model_copy(update={"seed": seed})
    if recipe == "head_only":
        rate = params.crossval.head_learning_rate
        settings = settings.model_copy(update={"trainable": "head", "learning_rate": rate})
    return settings


def unfinished(recipe: str, seed: int, fold: int) -> str:
    """The name of a model's training, should it be stopped."""
    return f"crossval/{recipe}-{seed}-{fold}"


def score_by_head(
    model: BertForSequenceClassification, settings: Train, training: EncodedPairs, scored: EncodedPairs
) -> np.ndarray:
    """Scores, float32 [pairs], after training the head alone, on features."""
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

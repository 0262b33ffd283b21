"""What speed costs: nDCG@10 of the held-out queries, and Kendall's tau against the exact scores.

python -m bench.quality FOLDER BASE_MODEL WORK
"""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import kendalltau
from transformers import BertForSequenceClassification

from bench.models import export
from bench.ours import DOC_INPUT_SIZE, QUERY_INPUT_SIZE, SEED, TOKENS, prepare
from ranker.contract.tokens import load_layout
from ranker.metrics.ranking import ranking_measures
from ranker.model.cross_encoder import start_training
from ranker.model.dataset import EncodedPairs, encode_pairs
from ranker.model.features import features
from ranker.model.predict import pooled_outputs, score
from ranker.project import paths, tables
from ranker.project.params import Params, load_params
from ranker.serving.ranker import Ranker
from ranker.splits.folds import assign_folds, held_out_pairs
from ranker.training.head import Featured, score_features, train_head
from ranker.training.trainer import fine_tune


def measure(folder: Path, base_model: Path, work: Path) -> list[dict[str, Any]]:
    """Rows of the table of measures: rankers trained without fold 0, and scored on it, exactly and fast."""
    base_model, work = base_model.absolute(), work.absolute()
    prepare(folder, base_model)
    pairs, params = tables.read_table(paths.PAIRS), load_params()
    folds = assign_folds(pairs, tables.read_table(paths.QUERIES), params.split.folds, params.split.seed, "query")
    layout = load_layout(base_model, QUERY_INPUT_SIZE, DOC_INPUT_SIZE)
    texts = tables.read_tokens(paths.ENCODED_QUERIES), tables.read_tokens(paths.ENCODED_DOCUMENTS)
    sides = held_out_pairs(pairs, folds, 0)
    training, held_out = (encode_pairs(side, *texts, layout) for side in sides)
    exact = fine_tuned(base_model, training, params, "fp32")
    fast = fine_tuned(base_model, training, params, "bf16")
    export(fast, base_model, work / "trained", (QUERY_INPUT_SIZE, DOC_INPUT_SIZE))
    rounded = Ranker(work / "trained", "int8")
    queries, documents, _ = zip(*(held_out[row] for row in range(len(held_out))), strict=True)
    ways = {
        "trained in fp32, scored in fp32": score(exact, held_out, TOKENS, "fp32"),
        "trained in fp32, scored in bf16": score(exact, held_out, TOKENS, "bf16"),
        "trained in bf16, scored in fp32": score(fast, held_out, TOKENS, "fp32"),
        "trained in bf16, scored in bf16": score(fast, held_out, TOKENS, "bf16"),
        "trained in bf16, ONNX Runtime int8": rounded.score_pairs(queries, documents),
    }
    heads = {
        "head on fp32 features": head_scores(base_model, training, held_out, params, "fp32"),
        "head on bf16 features, kept as float16": head_scores(base_model, training, held_out, params, "bf16"),
    }
    return [*rows(sides[1], ways), *rows(sides[1], heads)]


def rows(pairs: pd.DataFrame, ways: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Measures of each way; Kendall's tau is that with the first, over all pairs."""
    first = next(iter(ways.values()))
    return [
        {
            "way": way,
            "nDCG@10": float(ranking_measures(pairs, scores, 1)["nDCG@10"].mean()),
            "tau": float(kendalltau(scores, first).statistic),
        }
        for way, scores in ways.items()
    ]


def fine_tuned(
    base_model: Path, training: EncodedPairs, params: Params, precision: Literal["bf16", "fp32"]
) -> BertForSequenceClassification:
    """All weights, one epoch."""
    model = start_training(base_model, "all", SEED)
    fine_tune(model, training, params.train.model_copy(update={"epochs": 1, "precision": precision}))
    return model.eval()


def head_scores(
    base_model: Path,
    training: EncodedPairs,
    held_out: EncodedPairs,
    params: Params,
    precision: Literal["bf16", "fp32"],
) -> np.ndarray:
    """Scores after three epochs of the head, on features in float32 from fp32, or as stage features keeps them."""
    model = start_training(base_model, "head", SEED)
    changes = {"epochs": 3, "learning_rate": params.crossval.head_learning_rate}

    def extract(pairs: EncodedPairs) -> np.ndarray:
        if precision == "bf16":
            return features(model, pairs, TOKENS, precision)
        exact = np.empty((len(pairs), model.config.hidden_size), np.float32)
        for some, pooled in pooled_outputs(model, pairs, TOKENS, precision):
            exact[some] = pooled.numpy()
        return exact

    train_head(
        model, Featured(extract(training), training.targets, training.lengths), params.train.model_copy(update=changes)
    )
    return score_features(model, extract(held_out))


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        found = measure(*map(Path, sys.argv[1:]))
    print(json.dumps(found))

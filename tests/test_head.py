"""ranker.training.head: a head trained on features equals one trained in the model; a head trained to convergence."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold
from transformers import BertForSequenceClassification

from ranker.model.cross_encoder import new_classifier, set_trainable
from ranker.model.features import features
from ranker.model.predict import score, score_features
from ranker.training.head import PENALTIES, Featured, converged_head_scores, train_head
from ranker.training.trainer import fine_tune
from tests.factories import CHANGES, TRAIN, make_data, make_logger, make_pairs

HEAD = TRAIN.model_copy(update={"trainable": "head"})


@pytest.fixture
def model(base_model: Path) -> BertForSequenceClassification:
    model = new_classifier(base_model, TRAIN.seed)
    set_trainable(model, "head")
    return model


def featured(model: BertForSequenceClassification) -> Featured:
    pairs = make_pairs(20)
    return Featured(features(model, pairs, "fp32"), pairs.targets, pairs.lengths)


def test_score_features_scores_as_the_model_does(model: BertForSequenceClassification) -> None:
    pairs = make_pairs(5)
    found = score_features(model, features(model, pairs, "fp32"))
    assert found == pytest.approx(score(model, pairs, 256), abs=5e-3)  # features have half precision


def test_train_head_is_the_trainers(base_model: Path, model: BertForSequenceClassification) -> None:
    """The Trainer runs the encoder in every step. Without dropout, whose draws differ, both reach the same weights."""
    inside = new_classifier(base_model, TRAIN.seed)
    set_trainable(inside, "head")
    model.dropout.p = inside.dropout.p = 0.0
    before = inside.classifier.weight.detach().clone()
    fine_tune(inside, make_pairs(20), HEAD)
    train_head(model, featured(model), HEAD)
    moved = (inside.classifier.weight - before).abs().mean().item()
    assert moved > 0.005
    torch.testing.assert_close(model.classifier.weight, inside.classifier.weight, atol=0.02 * moved, rtol=0)
    torch.testing.assert_close(model.classifier.bias, inside.classifier.bias, atol=0.02 * moved, rtol=0)


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_train_head_depends_on_every_parameter(model: BertForSequenceClassification, name: str, value: object) -> None:
    start, data = model.classifier.weight.detach().clone(), featured(model)

    def trained(changes: dict[str, object]) -> torch.Tensor:
        with torch.no_grad():
            model.classifier.weight.copy_(start)
            model.classifier.bias.zero_()
        train_head(model, data, HEAD.model_copy(update=changes))
        return model.classifier.weight.detach().clone()

    usual = trained({})
    assert torch.equal(trained({}), usual)  # the same again
    assert not torch.equal(trained({name: value}), usual)


def test_train_head_learns_and_writes_its_curves(model: BertForSequenceClassification, tmp_path: Path) -> None:
    logger = make_logger(6, 1, tmp_path / "curves")
    held_out = features(model, logger.encoded, "fp32")
    train_head(model, featured(model), HEAD.model_copy(update={"epochs": 4}), held_out, logger)
    curves = tmp_path / "curves/plots/metrics"
    loss = pd.read_csv(curves / "training/loss.tsv", sep="\t")
    assert loss["loss"].iloc[-5:].mean() < loss["loss"].iloc[:5].mean()
    assert loss["step"].tolist() == list(range(1, 101))
    assert pd.read_csv(curves / "eval/loss.tsv", sep="\t")["step"].tolist() == [0, 25, 50, 75, 100]
    assert (curves / "eval/nDCG@10.tsv").is_file()
    rate = pd.read_csv(curves / "training/learning_rate.tsv", sep="\t")["learning_rate"]
    assert rate.max() <= HEAD.learning_rate
    assert rate.iloc[-1] == 0


def test_train_head_prints_no_more_than_a_few_lines(
    model: BertForSequenceClassification, capfd: pytest.CaptureFixture[str]
) -> None:
    train_head(model, featured(model), HEAD)
    assert len(capfd.readouterr().out.splitlines()) <= 5


def make_features(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of three columns with unlike scales, which determine each pair's probability of being relevant."""
    random = np.random.default_rng(seed)
    pooled = (random.normal(size=(count, 3)) * [1, 10, 0.1]).astype(np.float16)
    relevant = random.random(count) < expit(pooled.astype(float) @ [1, 0.1, 5] - 1)
    return pooled, relevant, np.array([f"q{i % 12}" for i in range(count)])


def test_converged_head_scores_are_those_of_the_best_penalty() -> None:
    """Step by step: standardise columns, choose the penalty by log loss on inner folds over queries, fit all pairs."""
    pooled, relevant, query_ids = make_features(240, 1)
    others, _, _ = make_features(30, 2)
    mean, spread = pooled.astype(float).mean(axis=0), pooled.astype(float).std(axis=0)
    columns, theirs = ((array.astype(float) - mean) / spread for array in (pooled, others))
    losses = []
    for strength in PENALTIES:
        of_strength = []
        for inner, left in GroupKFold(4).split(columns, relevant, query_ids):
            head = LogisticRegression(C=strength, max_iter=2000).fit(columns[inner], relevant[inner])
            of_strength.append(log_loss(relevant[left], head.predict_proba(columns[left])[:, 1]))
        losses.append(np.mean(of_strength))
    best = LogisticRegression(C=PENALTIES[int(np.argmin(losses))], max_iter=2000).fit(columns, relevant)
    found = converged_head_scores(pooled, relevant, query_ids, others)
    assert found.dtype == np.float32
    assert found == pytest.approx(best.decision_function(theirs), abs=0.01)


def test_converged_head_scores_beat_a_few_steps(model: BertForSequenceClassification) -> None:
    """On learnable features, a recipe of three epochs stops before the head has converged."""
    frame, pairs = make_data(20)
    other_frame, others = make_data(10, seed=1)
    pooled, held_out = (features(model, side, "fp32") for side in (pairs, others))
    relevant = frame["relevant"].to_numpy()
    converged = converged_head_scores(pooled, relevant, frame["query_id"].to_numpy(), held_out)
    train_head(model, Featured(pooled, pairs.targets, pairs.lengths), HEAD.model_copy(update={"learning_rate": 5e-5}))
    stepped = score_features(model, held_out)
    losses = [log_loss(other_frame["relevant"], expit(scores.astype(float))) for scores in (converged, stepped)]
    assert losses[0] < losses[1]

"""Features are what the encoder says inside the model, and a head trained on them is the head trained inside it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertForSequenceClassification

from ranker.model.cross_encoder import new_cross_encoder, set_trainable
from ranker.model.features import features, write_features
from ranker.model.features import features as features_module
from ranker.model.predict import score
from ranker.training.curves import EvalLogger
from ranker.training.head import Featured, score_features, train_head
from ranker.training.trainer import fine_tune
from tests.test_model import PARAMS, make_data, make_pairs

HEAD = PARAMS.model_copy(update={"trainable": "head"})


@pytest.fixture
def model(base_model: Path) -> BertForSequenceClassification:
    model = new_cross_encoder(base_model, PARAMS.seed)
    set_trainable(model, "head")
    return model


def featured(model: BertForSequenceClassification) -> Featured:
    pairs = make_pairs(20)
    return Featured(features(model, pairs, 256, "fp32"), pairs.targets, pairs.lengths)


def test_features_are_the_poolers_output(model: BertForSequenceClassification) -> None:
    """One pair at a time, without padding, by transformers alone."""
    pairs = make_pairs(3)
    found = features(model, pairs, 256, "fp32")
    assert found.dtype == np.float16
    assert found.shape == (30, 32)
    for row in range(30):
        inputs = {name: torch.from_numpy(array) for name, array in pairs.inputs([row], int(pairs.lengths[row])).items()}
        with torch.inference_mode():
            expected = model.eval().bert(**inputs).pooler_output[0].numpy()
        assert found[row] == pytest.approx(expected, abs=6e-4)


def test_features_score_as_the_model_does(model: BertForSequenceClassification) -> None:
    pairs = make_pairs(5)
    found = score_features(model, features(model, pairs, 256, "fp32"))
    assert found == pytest.approx(score(model, pairs, 256), abs=5e-3)  # of half precision


def test_a_file_of_features_is_the_same_whatever_its_parts(
    model: BertForSequenceClassification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = make_pairs(5)
    for part in (2**16, 7):
        monkeypatch.setattr(features_module, "PART", part)
        write_features(tmp_path / "pooled.npy", model, pairs, 256, "fp32")
        found = np.load(tmp_path / "pooled.npy")
        assert found.dtype == np.float16
        assert found.astype(float) == pytest.approx(features(model, pairs, 256, "fp32").astype(float), abs=1e-3)


def test_a_head_on_features_is_the_trainers(base_model: Path, model: BertForSequenceClassification) -> None:
    """The Trainer runs the encoder in every step. Without dropout, whose draws differ, both end at the same weights."""
    inside = new_cross_encoder(base_model, PARAMS.seed)
    set_trainable(inside, "head")
    model.dropout.p = inside.dropout.p = 0.0
    before = inside.classifier.weight.detach().clone()
    fine_tune(inside, make_pairs(20), HEAD)
    train_head(model, featured(model), HEAD)
    moved = (inside.classifier.weight - before).abs().mean().item()
    assert moved > 0.005
    torch.testing.assert_close(model.classifier.weight, inside.classifier.weight, atol=0.02 * moved, rtol=0)
    torch.testing.assert_close(model.classifier.bias, inside.classifier.bias, atol=0.02 * moved, rtol=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 3),
        ("batch_size", 16),
        ("learning_rate", 2e-3),
        ("warmup_steps", 20),
        ("weight_decay", 0.5),
        ("seed", 14),
    ],
)
def test_every_parameter_reaches_the_head(model: BertForSequenceClassification, name: str, value: object) -> None:
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


def test_a_head_learns_and_writes_its_curves(model: BertForSequenceClassification, tmp_path: Path) -> None:
    frame, held_out = make_data(6, seed=1)
    logger = EvalLogger(frame, held_out, 1, tmp_path / "curves")
    train_head(
        model, featured(model), HEAD.model_copy(update={"epochs": 4}), features(model, held_out, 256, "fp32"), logger
    )
    curves = tmp_path / "curves/plots/metrics"
    loss = pd.read_csv(curves / "training/loss.tsv", sep="\t")
    assert loss["loss"].iloc[-5:].mean() < loss["loss"].iloc[:5].mean()
    assert loss["step"].tolist() == list(range(1, 101))
    assert pd.read_csv(curves / "eval/loss.tsv", sep="\t")["step"].tolist() == [0, 25, 50, 75, 100]
    assert (curves / "eval/nDCG@10.tsv").is_file()
    rate = pd.read_csv(curves / "training/learning_rate.tsv", sep="\t")["learning_rate"]
    assert rate.max() <= HEAD.learning_rate
    assert rate.iloc[-1] == 0

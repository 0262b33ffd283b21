"""ranker.training.trainer: the weights that a training changes, its dependence on params, its outputs, its batches."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertForSequenceClassification, TrainingArguments

from ranker.common.errors import InputError
from ranker.common.files import sha256
from ranker.metrics.ranking import MEASURES
from ranker.model.cross_encoder import new_classifier, set_trainable
from ranker.training.trainer import BucketSampler, collator, fine_tune
from tests.factories import CHANGES, LAYOUT, TRAIN, make_logger, make_pairs, weights


def train(base_model: Path, curves: Path | None = None, **changes: object) -> BertForSequenceClassification:
    params = TRAIN.model_copy(update=changes)
    model = new_classifier(base_model, params.seed)
    set_trainable(model, params.trainable)
    fine_tune(model, make_pairs(20), params, make_logger(6, 1, curves) if curves else None)
    return model


@pytest.fixture(scope="module")
def usual(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[BertForSequenceClassification, Path]:
    """A training by TRAIN, and its curves."""
    curves = tmp_path_factory.mktemp("usual") / "curves"
    return train(base_model, curves), curves


@pytest.mark.parametrize("trainable", ["head", "top-1", "all"])
def test_fine_tune_moves_just_what_is_trainable(base_model: Path, trainable: str) -> None:
    before = weights(new_classifier(base_model, TRAIN.seed))
    model = train(base_model, trainable=trainable)
    moved = {name for name, tensor in weights(model).items() if not torch.equal(before[name], tensor)}
    may_move = {name for name, tensor in model.named_parameters() if tensor.requires_grad}
    assert {"classifier.weight", "classifier.bias"} <= moved <= may_move
    assert len(moved) > len(may_move) / 2


@pytest.mark.parametrize(("name", "value"), [*CHANGES, ("precision", "bf16")])
def test_fine_tune_depends_on_every_parameter(
    base_model: Path, usual: tuple[BertForSequenceClassification, Path], name: str, value: object
) -> None:
    layer = "bert.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(weights(usual[0])[layer], weights(train(base_model, None, **{name: value}))[layer])


def test_fine_tune_learns_and_writes_its_curves(base_model: Path, tmp_path: Path) -> None:
    train(base_model, tmp_path / "curves", epochs=8)
    curves = {
        file.relative_to(tmp_path / "curves/plots/metrics").with_suffix("").as_posix(): pd.read_csv(file, sep="\t")
        for file in (tmp_path / "curves").rglob("*.tsv")
    }
    loss = curves["eval/loss"]["loss"]
    assert loss.iloc[-1] < 0.9 * loss.iloc[0]
    ndcg = curves["eval/nDCG@10"]["nDCG@10"]
    assert ndcg.iloc[-1] > ndcg.iloc[0]
    assert curves["eval/loss"]["step"].tolist() == list(range(0, 8 * 25 + 1, 25))
    assert curves["training/learning_rate"]["learning_rate"].max() <= TRAIN.learning_rate
    assert not [name for name in curves if "runtime" in name or "per_second" in name]
    summary = json.loads((tmp_path / "curves/metrics.json").read_text())
    assert list(summary) == list(MEASURES)  # flat, so that sweeps can select by name
    assert summary["nDCG@10"] == pytest.approx(ndcg.iloc[-1])


def test_fine_tune_with_a_logger_gives_the_weights_without(
    base_model: Path, usual: tuple[BertForSequenceClassification, Path]
) -> None:
    """Cross-validation trains without a logger; the weights must be those of the pipeline's own run."""
    blind = weights(train(base_model))
    assert all(torch.equal(tensor, blind[name]) for name, tensor in weights(usual[0]).items())


def test_fine_tune_twice_writes_equal_bytes(
    base_model: Path, usual: tuple[BertForSequenceClassification, Path], tmp_path: Path
) -> None:
    again = train(base_model, tmp_path / "curves")
    files = {file.relative_to(tmp_path): sha256(file) for file in tmp_path.rglob("*") if file.is_file()}
    assert files == {path: sha256(usual[1].parent / path) for path in files}
    assert len(files) > 5
    for name, tensor in weights(usual[0]).items():
        assert torch.equal(tensor, weights(again)[name]), name


def test_fine_tune_names_a_model_that_diverged(base_model: Path, tmp_path: Path) -> None:
    model = new_classifier(base_model, 7)
    torch.nn.init.constant_(model.classifier.bias, float("nan"))
    with pytest.raises(InputError, match="training diverged: expected finite logits"):
        fine_tune(model, make_pairs(4), TRAIN, make_logger(2, 0, tmp_path / "curves"))


def test_fine_tune_asks_for_a_process_for_each_gpu(base_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainingArguments, "n_gpu", 2)
    with pytest.raises(InputError, match=r"train\.launcher: expected torchrun.*found python and 2 GPUs"):
        fine_tune(new_classifier(base_model, 7), make_pairs(2), TRAIN)


def test_bucket_sampler_has_another_order_each_epoch(base_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[list[int]] = []
    original = BucketSampler.__iter__

    def record(sampler: BucketSampler) -> Iterator[int]:
        orders.append(list(original(sampler)))
        return iter(orders[-1])

    monkeypatch.setattr(BucketSampler, "__iter__", record)
    train(base_model, epochs=3)
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == list(range(200)) for order in orders)


def test_collator_lays_out_batches_with_their_targets() -> None:
    examples = [(np.array([7, 8]), np.array([9]), 1.0), (np.array([7]), np.arange(10, 16), 0.25)]
    batch = collator(LAYOUT)(examples)
    assert batch["labels"].tolist() == [1, 0.25]
    assert batch["input_ids"].shape == (2, 16)  # 11 tokens, rounded up to a multiple of 8
    assert batch["input_ids"][0, :6].tolist() == [2, 7, 8, 3, 9, 3]

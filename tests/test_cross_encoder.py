"""ranker.model.cross_encoder: its modules, which of them train, and the output of its last layer."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForSequenceClassification

from ranker.common.files import read_json, write_json
from ranker.contract.layout import lay_out
from ranker.model.cross_encoder import (
    CrossEncoder,
    initial_model,
    new_classifier,
    set_trainable,
)
from ranker.model.segment_cosine import BertForSegmentCosine
from ranker.project import paths
from tests.factories import LAYOUT, PARAMS, refusal, weights

CLASSIFIER = {"classifier.weight", "classifier.bias"}


def trained(model: CrossEncoder) -> set[str]:
    """Names of modules with trained weights, two levels deep below bert."""
    names = [name for name, tensor in model.named_parameters() if tensor.requires_grad]
    return {".".join(name.split(".")[:4]) if "layer" in name else ".".join(name.split(".")[:2]) for name in names}


def test_set_trainable_by_name(base_model: Path) -> None:
    expected = {
        "head": CLASSIFIER,
        "top-1": CLASSIFIER | {"bert.pooler", "bert.encoder.layer.1"},
        "top-2": CLASSIFIER | {"bert.pooler", "bert.encoder.layer.0", "bert.encoder.layer.1"},
        "layers": CLASSIFIER | {"bert.pooler", "bert.encoder.layer.0", "bert.encoder.layer.1"},
        "all": CLASSIFIER | {"bert.pooler", "bert.encoder.layer.0", "bert.encoder.layer.1", "bert.embeddings"},
    }
    for trainable, modules in expected.items():
        model = new_classifier(base_model, 0)
        set_trainable(model, trainable)
        assert trained(model) == modules, trainable


def test_set_trainable_leaves_frozen_modules_no_dropout(base_model: Path) -> None:
    model = new_classifier(base_model, 0).train()
    set_trainable(model, "head")
    inputs = {name: torch.from_numpy(array) for name, array in lay_out(LAYOUT, [[7, 8]], [[9]]).items()}
    with torch.no_grad():
        assert torch.equal(model.bert(**inputs).pooler_output, model.bert(**inputs).pooler_output)
    assert model.dropout.p > 0


def test_new_classifier_draws_its_head_alone(base_model: Path) -> None:
    first, again, other = (weights(new_classifier(base_model, seed)) for seed in (1, 1, 2))
    expected = load_file(base_model / "model.safetensors")
    assert all(torch.equal(first[f"bert.{name}"], tensor) for name, tensor in expected.items())
    assert all(torch.equal(first[name], again[name]) for name in first)
    differing = {name for name in first if not torch.equal(first[name], other[name])}
    assert differing == {"classifier.weight"}


def test_new_classifier_leaves_the_head_of_another_task_behind(base_model: Path, tmp_path: Path) -> None:
    """A cross-encoder with one logit, such as those trained on MS MARCO, serves as a base model like any other."""
    config = BertConfig.from_pretrained(base_model, num_labels=1, problem_type="regression")
    other = BertForSequenceClassification(config)
    other.save_pretrained(tmp_path)
    model = new_classifier(tmp_path, 7)
    assert torch.equal(weights(model)["bert.pooler.dense.weight"], weights(other)["bert.pooler.dense.weight"])
    assert weights(model)["classifier.weight"].shape == (2, 32)
    plain = new_classifier(base_model, 7)
    assert torch.equal(weights(model)["classifier.weight"], weights(plain)["classifier.weight"])
    assert model.config.problem_type == "single_label_classification"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda names: [name for name in names if "pooler" not in name], "found none for pooler.dense.bias and 1 more"),
        (lambda names: [name for name in names if "layer.0" not in name], "found none for encoder.layer.0."),
        (lambda names: [*names, "encoder.layer.2.output.dense.bias"], "describes, found encoder.layer.2.output"),
    ],
)
def test_new_classifier_refuses_weights_that_do_not_fit(
    base_model: Path, tmp_path: Path, change: Callable[[list[str]], list[str]], message: str
) -> None:
    """transformers alone would draw missing weights at random and only log it."""
    whole = load_file(base_model / "model.safetensors")
    changed = {name: whole.get(name, torch.zeros(32)) for name in change(list(whole))}
    save_file(changed, tmp_path / "model.safetensors", {"format": "pt"})
    shutil.copyfile(base_model / "config.json", tmp_path / "config.json")
    assert re.search(message, refusal(new_classifier, tmp_path, 7))


def test_new_classifier_refuses_a_folder_without_a_model(tmp_path: Path) -> None:
    assert f"{tmp_path}: expected a BERT that transformers can load, found: " in refusal(new_classifier, tmp_path, 7)


@pytest.mark.parametrize(
    ("kind", "head", "architecture"),
    [
        ("fetched_model", "cosine", BertForSegmentCosine),
        ("fetched_model", "classifier", BertForSequenceClassification),
        ("fetched_plain_model", "cosine", BertForSequenceClassification),  # stage train warns of it
        ("fetched_plain_model", "classifier", BertForSequenceClassification),
    ],
)
def test_initial_model_is_a_cosine_of_a_sentence_encoder_alone(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    head: Literal["cosine", "classifier"],
    architecture: type[CrossEncoder],
) -> None:
    monkeypatch.chdir(tmp_path)
    base_model = request.getfixturevalue(kind)
    paths.BASE_MODEL.parent.mkdir()
    paths.BASE_MODEL.symlink_to(base_model)
    train = PARAMS.train.model_copy(update={"head": head, "trainable": "top-1"})
    model = initial_model(PARAMS.model_copy(update={"train": train}))
    assert type(model) is architecture
    assert model.training
    own = {"scale", "offset"} if architecture is BertForSegmentCosine else CLASSIFIER | {"bert.pooler"}
    assert trained(model) == own | {"bert.encoder.layer.1"}
    expected = load_file(base_model / "model.safetensors")
    for name, tensor in model.bert.state_dict().items():
        if "token_type" not in name:
            assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("pooling", ["cls", "max"])
def test_initial_model_takes_no_cosine_of_means_where_the_base_model_pools_otherwise(
    fetched_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pooling: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(fetched_model, paths.BASE_MODEL)
    settings = paths.BASE_MODEL / paths.SENTENCE_ENCODER_FILE
    write_json(settings, read_json(settings) | {"pooling": pooling})
    assert isinstance(initial_model(PARAMS), BertForSequenceClassification)

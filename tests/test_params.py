"""ranker.project.params: the values that params.yaml accepts, and one line for each that it refuses."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import modify_yaml
from pydantic import ValidationError

from ranker.project.params import Params, load_crossval_params, load_params
from tests.factories import ROOT, refusal, set_params

CONTENT: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "params.yaml").read_text())


@pytest.mark.parametrize("text", ["1e-05", "0.00001", "1.0e-5", "1E-5", ".00001"])
def test_load_params_reads_floats_as_dvc_writes_them(tmp_path: Path, text: str) -> None:
    lines = (ROOT / "params.yaml").read_text().splitlines()
    lines = [f"  learning_rate: {text}" if line.strip().startswith("learning_rate:") else line for line in lines]
    (tmp_path / "params.yaml").write_text("\n".join(lines))
    assert load_params(tmp_path / "params.yaml").train.learning_rate == 1e-5


@pytest.mark.parametrize("text", ["no", "on", "yes", "off", "No"])
def test_load_params_reads_as_text_what_yaml_1_1_takes_for_a_boolean(tmp_path: Path, text: str) -> None:
    lines = (
        (ROOT / "params.yaml").read_text().replace("run: ''", f"run: {text}").replace("language: en", "language: no")
    )
    (tmp_path / "params.yaml").write_text(lines)
    params = load_params(tmp_path / "params.yaml")
    assert (params.first_stage.run, params.first_stage.language) == (text, "no")


@pytest.mark.parametrize("text", ["010", "1:30", "0x1F", "1_000"])
def test_load_params_refuses_integers_that_yaml_1_1_would_read_as_others(tmp_path: Path, text: str) -> None:
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    set_params(tmp_path, train__warmup_steps=text)
    assert "train.warmup_steps: expected a valid integer" in refusal(load_params, tmp_path / "params.yaml")


def test_params_do_not_change_after_loading() -> None:
    params = Params.model_validate(CONTENT)
    with pytest.raises(ValidationError, match="frozen"):
        params.train.epochs = 9


def test_every_parameter_has_a_comment() -> None:
    """The comment stands beside the parameter, or on the line above it."""
    lines = [line for line in (ROOT / "params.yaml").read_text().splitlines() if not line.startswith("  - ")]
    above = ["", *lines]
    bare = [
        line
        for line, last in zip(lines, above, strict=False)
        if line.startswith("  ") and "  # " not in line and not last.startswith("  # ")
    ]
    assert bare == []


FIVE = {"crossval__folds": "[0, 1, 2, 3, 4]"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "crossval.folds: expected each of split.folds ([0, 1, 2, 3, 4]), found []"),
        (FIVE | {"split__by": "pair"}, "split.by: expected query, because cross-validation"),
        (FIVE | {"split__folds": 4}, "expected each of split.folds ([0, 1, 2, 3]), found"),
        (FIVE | {"split__held_out": "test"}, "cross-validation holds out each fold in turn, found test"),
        ({"crossval__folds": "[0, 1, 2, 4, 3]"}, "found [0, 1, 2, 4, 3]"),
        ({"crossval__seeds": "[13, 14, 13]"}, "crossval.seeds: expected each once, found [13, 14, 13]"),
        (FIVE | {"first_stage__retriever": "bi_encoder"}, "first_stage.retriever: expected dense, its present name"),
        (FIVE | {"crossval__shares": "[1]"}, "crossval.shares.0: expected less than 1, found 1"),
        ({"crossval__compare": "[some]"}, "crossval.compare.0: expected 'all', found 'some'"),
    ],
)
def test_load_crossval_params_names_what_cross_validation_asks(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    set_params(tmp_path, **changes)
    assert message in refusal(load_crossval_params, tmp_path / "params.yaml")


def test_load_crossval_params_takes_two_folds(tmp_path: Path) -> None:
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    set_params(tmp_path, split__folds=2, crossval__folds="[0, 1]", crossval__seeds="[13]", crossval__compare="[all]")
    assert load_crossval_params(tmp_path / "params.yaml").crossval.folds == [0, 1]


@pytest.mark.parametrize(
    ("section", "name", "value"), [("train", "epochs", 3), ("fetch", "id", "x"), ("split", "seed", 14)]
)
def test_dvc_changes_one_line_for_one_scalar(tmp_path: Path, section: str, name: str, value: object) -> None:
    """By the function of `dvc exp run -S`: params.yaml has the quotes, lists and line breaks that DVC writes."""
    file, before = tmp_path / "params.yaml", (ROOT / "params.yaml").read_text().splitlines()
    shutil.copyfile(ROOT / "params.yaml", file)
    with modify_yaml(str(file)) as content:
        content[section][name] = value
    after = file.read_text().splitlines()
    assert len(after) == len(before)
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1

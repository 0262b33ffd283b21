"""params.yaml: what it may hold, and the one line that says what it may not."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import ValidationError

from ranker.common.errors import InputError
from ranker.export.onnx import VESPA_TARGETS
from ranker.project.params import Export, Params, check_params, load_crossval_params, load_params
from tests.conftest import ROOT

CONTENT: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "params.yaml").read_text())


def changed(section: str, **values: Any) -> dict[str, Any]:
    return {**CONTENT, section: {**CONTENT[section], **values}}


def test_the_projects_own_file_is_valid() -> None:
    assert load_params(ROOT / "params.yaml").split.folds == 5


@pytest.mark.parametrize("text", ["1e-05", "0.00001", "1.0e-5", "1E-5", ".00001"])
def test_floats_as_dvc_writes_them(tmp_path: Path, text: str) -> None:
    lines = (ROOT / "params.yaml").read_text().splitlines()
    lines = [f"  learning_rate: {text}" if line.strip().startswith("learning_rate:") else line for line in lines]
    (tmp_path / "params.yaml").write_text("\n".join(lines))
    assert load_params(tmp_path / "params.yaml").train.learning_rate == 1e-5


@pytest.mark.parametrize("text", ["010", "1:30", "0x1F", "1_000"])
def test_integers_that_yaml_1_1_would_read_as_others(tmp_path: Path, text: str) -> None:
    lines = (ROOT / "params.yaml").read_text().replace("warmup_steps: 50", f"warmup_steps: {text}")
    (tmp_path / "params.yaml").write_text(lines)
    with pytest.raises(InputError, match="train.warmup_steps: expected a valid integer"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed("train", epochs="3"), "params.yaml: train.epochs: expected a valid integer, found '3'"),
        (changed("train", epoch=3), "params.yaml: train.epoch: no such parameter"),
        (changed("train", learning_rate="1e-5"), "train.learning_rate: expected a valid number, found '1e-5'"),
        (changed("train", learning_rate=0), "train.learning_rate: expected greater than 0, found 0"),
        (changed("train", trainable="top-0"), "train.trainable: expected head, all or top-N, found 'top-0'"),
        (changed("train", precision="fp16"), "train.precision: expected 'auto', 'bf16' or 'fp32', found 'fp16'"),
        (changed("split", held_out=5), "split.held_out: expected a fold below folds (5), found 5"),
        (changed("encode", query_input_size=2), "encode.query_input_size: expected greater than or equal to 3"),
        (changed("export", version="1.0"), "export.version: expected MAJOR.MINOR.PATCH, found '1.0'"),
        (
            changed("export", int8_min_tau=1.5),
            "export.int8_min_tau: expected less than or equal to 1, found 1.5",
        ),
        (
            changed("export", target_vespa="8"),
            "export.target_vespa: expected '2024-12', '2025-06', '2025-11' or",
        ),
        (changed("vespa", rerank_count=0), "vespa.rerank_count: expected greater than or equal to 1, found 0"),
        (changed("vespa", model="int4"), "vespa.model: expected 'int8' or 'fp32', found 'int4'"),
        (changed("export", opset=24), "export.opset: expected less than or equal to 23, found 24"),
        (changed("fetch", dataset="files"), "fetch.dataset files needs labelled_data: expected a path or URL"),
        (changed("fetch", judgements="x.csv"), "fetch.dataset sample does not read judgements: expected it empty"),
        (
            changed("fetch", base_model="hub:a/b@main"),
            "fetch.base_model: expected hub:OWNER/NAME@COMMIT with",
        ),
        (
            changed("fetch", base_model_sha256="53AA"),
            "fetch.base_model_sha256: expected 64 hex digits or nothing,",
        ),
        ({**CONTENT, "trian": {}}, "params.yaml: trian: no such parameter"),
        ({k: v for k, v in CONTENT.items() if k != "split"}, "params.yaml: split: expected a value, found none"),
        (None, "params.yaml: the file: expected parameters by name, found None"),
    ],
)
def test_mistakes_are_named(content: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        check_params(content)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_every_vespa_that_may_be_asked_for_is_known() -> None:
    assert set(get_args(Export.model_fields["target_vespa"].annotation)) == set(VESPA_TARGETS)


def test_broken_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("fetch: [")
    with pytest.raises(InputError, match=r"(?s)params.yaml: expected YAML in UTF-8, found: .*line 1"):
        load_params(tmp_path / "params.yaml")


def test_params_do_not_change_after_loading() -> None:
    params = Params.model_validate(CONTENT)
    with pytest.raises(ValidationError, match="frozen"):
        params.train.epochs = 9


def test_every_parameter_has_a_comment() -> None:
    bare = [
        line for line in (ROOT / "params.yaml").read_text().splitlines() if line.startswith("  ") and "  # " not in line
    ]
    assert bare == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("by: query ", "by: pair ", "split.by: expected query, for cross-validation holds out queries, found pair"),
        ("folds: 5 ", "folds: 4 ", "crossval.folds: expected each of split.folds ([0, 1, 2, 3]) and three at least,"),
        ("[0, 1, 2, 3, 4]", "[0, 1, 2, 4, 3]", "found [0, 1, 2, 4, 3]"),
        ("[13, 14, 15]", "[13, 14, 13]", "crossval.seeds: expected each once, found [13, 14, 13]"),
        ("[13, 14, 15]", "[]", "crossval.seeds: List should have at least 1 item"),
    ],
)
def test_what_cross_validation_asks(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (ROOT / "params.yaml").read_text()
    assert text.count(old) == 1
    (tmp_path / "params.yaml").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=re.escape(message)):
        load_crossval_params(tmp_path / "params.yaml")


def test_cross_validation_needs_three_folds(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text().replace("folds: 5 ", "folds: 2 ").replace("[0, 1, 2, 3, 4]", "[0, 1]")
    (tmp_path / "params.yaml").write_text(text)
    assert load_params(tmp_path / "params.yaml").split.folds == 2
    with pytest.raises(InputError, match="and three at least, found \\[0, 1\\]"):
        load_crossval_params(tmp_path / "params.yaml")

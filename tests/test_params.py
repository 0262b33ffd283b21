"""ranker.project.params: the values that params.yaml accepts, and one line for each that it refuses."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import modify_yaml
from pydantic import ValidationError

from ranker.common.errors import InputError
from ranker.project.params import Params, check_params, load_crossval_params, load_params
from tests.factories import ROOT, set_params

CONTENT: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "params.yaml").read_text())


def changed(section: str, **values: Any) -> dict[str, Any]:
    return {**CONTENT, section: {**CONTENT[section], **values}}


def test_load_params_of_the_projects_own_file() -> None:
    assert load_params(ROOT / "params.yaml").split.folds == 5


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
        (changed("train", trainable="top-0"), "train.trainable: expected head, top-N, layers or all, found 'top-0'"),
        (changed("train", precision="fp16"), "train.precision: expected 'auto', 'bf16' or 'fp32', found 'fp16'"),
        (changed("split", held_out=5), "split.held_out: expected a fold below folds (5), found 5"),
        (changed("encode", query_input_size=2), "encode.query_input_size: expected greater than or equal to 3"),
        (changed("export", version="1.0"), "export.version: expected MAJOR.MINOR.PATCH, found '1.0'"),
        (changed("negatives", from_rank=0), "negatives.from_rank: expected greater than or equal to 1, found 0"),
        (
            changed("negatives", from_rank=201),
            "negatives.from_rank: expected at most first_stage.depth (200), found 201",
        ),
        (changed("first_stage", depth=10), "negatives.from_rank: expected at most first_stage.depth (10), found 11"),
        (
            changed("negatives", per_positive=-1),
            "negatives.per_positive: expected greater than or equal to 0, found -1",
        ),
        (changed("vespa", rerank_count=0), "vespa.rerank_count: expected greater than or equal to 1, found 0"),
        (
            changed("vespa", rerank_count=201),
            "vespa.rerank_count: expected at most first_stage.depth (200), because evaluation reranks those hits",
        ),
        (
            changed("first_stage", retriever="run"),
            "first_stage.run: expected a file's name in data/runs, because first_stage.retriever is run, found ''",
        ),
        (
            changed("first_stage", retriever="run", run="../mine"),
            "first_stage.run: expected a file's name in data/runs",
        ),
        (
            changed("first_stage", language="English"),
            "first_stage.language: expected a language's tag, such as en or zh-hans, found 'English'",
        ),
        (changed("first_stage", language='en"'), "first_stage.language: expected a language's tag, such as en or zh-h"),
        (changed("vespa", language="de"), "vespa.language: "),
        (
            changed("first_stage", retriever="splade"),
            "first_stage.retriever: expected 'bm25', 'cosine', 'fusion', 'bi_encoder' or",
        ),
        (changed("first_stage", depth=9), "first_stage.depth: expected greater than or equal to 10, found 9"),
        (changed("vespa", model="int4"), "vespa.model: expected 'int8' or 'fp32', found 'int4'"),
        (changed("split", held_out=-1), "split.held_out: expected a fold, none or a split's name, found -1"),
        (changed("split", held_out=None), "split.held_out: expected a valid string or integer, found None"),
        (changed("split", held_out=""), "split.held_out: expected a fold, none or a split's name, found ''"),
        (
            changed("split", held_out="test", by="pair"),
            "split.held_out: expected a fold or none where by is pair, found test",
        ),
        (
            changed("join", grades=[0, 1, 1]),
            "join.grades: expected each once, and one of at least min_relevant_grade (1), found [0, 1, 1]",
        ),
        (
            changed("join", grades=[0, 1], min_relevant_grade=2),
            "and one of at least min_relevant_grade (2), found [0, 1]",
        ),
        (changed("train", targets="ranks"), "train.targets: expected 'graded' or 'binary', found 'ranks'"),
        (changed("train", head="pooler"), "train.head: expected 'cosine' or 'classifier', found 'pooler'"),
        (changed("fetch", folder=" "), "fetch.folder: expected a folder, an archive or its URL, found ' '"),
        (changed("fetch", format="ir_datasets"), "fetch.id: expected an id with format ir_datasets, found ''"),
        (changed("fetch", id="cord19"), "fetch.id: expected it empty with format tutorial, found 'cord19'"),
        (
            changed("fetch", base_model="hub:a/b@main"),
            "fetch.base_model: expected hub:OWNER/NAME@COMMIT with",
        ),
        (
            changed("fetch", base_sha256="53AA"),
            "fetch.base_sha256: expected 64 hex digits or an empty string,",
        ),
        ({**CONTENT, "trian": {}}, "params.yaml: trian: no such parameter"),
        ({k: v for k, v in CONTENT.items() if k != "split"}, "params.yaml: split: expected a value, found none"),
        (None, "params.yaml: the file: expected parameters by name, found None"),
    ],
)
def test_check_params_names_mistakes(content: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        check_params(content)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_load_params_names_broken_yaml(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("fetch: [")
    with pytest.raises(InputError, match=r"(?s)params.yaml: expected YAML in UTF-8, found: .*line 1"):
        load_params(tmp_path / "params.yaml")


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "crossval.folds: expected each of split.folds ([0, 1, 2, 3, 4]), found []"),
        (
            {"crossval__folds": "[0, 1, 2, 3, 4]", "split__by": "pair"},
            "split.by: expected query, because cross-validation",
        ),
        (
            {"crossval__folds": "[0, 1, 2, 3, 4]", "split__folds": 4},
            "expected each of split.folds ([0, 1, 2, 3]), found",
        ),
        (
            {"crossval__folds": "[0, 1, 2, 3, 4]", "split__held_out": "test"},
            "split.held_out: expected a fold or none, because cross-validation holds out each fold in turn, found test",
        ),
        ({"crossval__folds": "[0, 1, 2, 4, 3]"}, "found [0, 1, 2, 4, 3]"),
        ({"crossval__seeds": "[13, 14, 13]"}, "crossval.seeds: expected each once, found [13, 14, 13]"),
        (
            {"crossval__folds": "[0, 1, 2, 3, 4]", "first_stage__retriever": "bi_encoder"},
            "first_stage.retriever: expected an untrained first stage, because cross-validation reorders",
        ),
        ({"crossval__compare": "[some]"}, "crossval.compare.0: expected 'all', found 'some'"),
    ],
)
def test_load_crossval_params_names_what_cross_validation_asks(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    set_params(tmp_path, **changes)
    with pytest.raises(InputError, match=re.escape(message)):
        load_crossval_params(tmp_path / "params.yaml")


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

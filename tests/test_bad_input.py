"""User mistakes through the real stages: one line, the exit status, and the last good outputs unchanged.

Some stages accept input that another refuses, on purpose: see the tests of accepted files at the end.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ranker.common.files import sha256
from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE
from ranker.fetch import download
from ranker.project import paths
from tests.factories import run_module, set_base_model, set_params, start_project
from tests.mistakes import CSV, JSON, MODEL, PARAMS, QUERIES, TABLE, WHOLE
from tests.pipeline import outputs

# The stages that check input.
STAGES = ("fetch", "base_model", "join", "encode", "embed", "split", "first_stage", "negatives", "features")
LABELLED, JUDGEMENTS = (Path("mine") / name for name in (LABELLED_DATA_FILE, JUDGEMENTS_FILE))


def run(stage: str) -> str | int | None:
    """A stage's result: 0, or the line that Python prints before it exits with 1."""
    return run_module(f"stages.{stage}")


@pytest.fixture(scope="module")
def good(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which these stages have run on six queries."""
    folder = tmp_path_factory.mktemp("good")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        start_project(folder)
        shutil.copytree(base_model, "model")
        LABELLED.parent.mkdir()
        LABELLED.write_text(json.dumps(QUERIES))
        JUDGEMENTS.write_text(CSV)
        set_params(folder, fetch__folder="mine", split__folds="3", first_stage__retriever="base_hybrid")  # trains none
        set_base_model(folder, Path("model"))
        assert [run(stage) for stage in STAGES] == [0] * len(STAGES)
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a copy of that folder, which a test may spoil."""
    copy = Path(shutil.copytree(good, tmp_path / "copy"))
    monkeypatch.chdir(copy)
    monkeypatch.setattr(download, "TRIES", 1)
    return copy


def refused(folder: Path, where: str, message: str) -> None:
    """Check for one line that begins with stage and file; `where` holds both if the message has no stage.

    The last good outputs of that stage must stay unchanged.
    """
    expected = message if message.split(": ")[0] in STAGES else f"{where}: {message}"
    before = outputs(folder)
    for stage in STAGES:
        if (found := run(stage)) != 0:
            break
        before |= {path: digest for path, digest in outputs(folder).items() if digest != before.get(path)}
    if expected.endswith(":"):
        assert str(found).startswith(f"{expected} ")
    else:
        assert found == expected
    assert "\n" not in str(found)
    assert outputs(folder) == before
    assert not list(folder.rglob(".*.partial"))


@pytest.mark.parametrize("name", JSON)
def test_join_refuses_labelled_data(folder: Path, name: str) -> None:
    content, message = JSON[name]
    LABELLED.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(folder, f"join: {paths.RAW / LABELLED_DATA_FILE}", message)


@pytest.mark.parametrize("name", TABLE)
def test_join_refuses_judgements(folder: Path, name: str) -> None:
    content, message = TABLE[name]
    JUDGEMENTS.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(folder, f"join: {paths.RAW / JUDGEMENTS_FILE}", message)


def test_split_has_queries_that_read_the_same_in_one_fold(folder: Path) -> None:
    LABELLED.write_text(json.dumps([{**query, "query": " Masks"} for query in QUERIES]))
    line = "expected queries in each of 3 folds, found none of 6 in fold 0: ask for fewer folds or another split.seed"
    refused(folder, "split: split.folds", line)


@pytest.mark.parametrize("name", MODEL)
def test_base_model_refuses_one(folder: Path, name: str) -> None:
    spoil, message = MODEL[name]
    spoil()
    set_base_model(folder, Path("model"))
    refused(folder, "base_model: path:model", message)


def test_fetch_refuses_an_archive_of_another_digest(folder: Path) -> None:
    archive = shutil.make_archive("mine", "zip", "mine")
    set_params(folder, fetch__folder="mine.zip", fetch__sha256="f" * 64)
    refused(folder, "fetch: mine.zip", f"expected sha256 {'f' * 64}, found {sha256(Path(archive))}")


@pytest.mark.parametrize("name", PARAMS)
def test_stages_refuse_params(folder: Path, name: str) -> None:
    values, message = PARAMS[name]
    set_params(folder, **values)
    refused(folder, "fetch: params.yaml", message)


@pytest.mark.parametrize("name", WHOLE)
def test_stages_refuse_a_params_yaml(folder: Path, name: str) -> None:
    change, message = WHOLE[name]
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(change(text))
    assert Path("params.yaml").read_text() != text
    refused(folder, "fetch: params.yaml", message)


def test_stages_ask_for_params_yaml(folder: Path) -> None:
    Path("params.yaml").unlink()
    refused(folder, "fetch: params.yaml", "No such file or directory")


def read(
    rows: str | bytes, queries: list[dict[str, Any]] = QUERIES
) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Titles by id and the counts after all stages have read a CSV that they accept."""
    JUDGEMENTS.write_bytes(rows if isinstance(rows, bytes) else rows.encode())
    LABELLED.write_text(json.dumps(queries))
    assert [run(stage) for stage in STAGES] == [0] * len(STAGES)
    documents = pd.read_parquet(paths.DOCUMENTS)
    titles = dict(zip(documents["document_id"], documents["title"], strict=True))
    return titles, json.loads(paths.JOIN_COUNTS.read_text())


IDS = ["005b2j4b", "1e10", "007", "NaN", "1.0", "-0", "0x1F", "True", "\u0661", " d "]
TITLES = [
    "m" * 100_000,
    "\u0645\u0646\u0634\u0623 \u0641\u064a\u0631\u0648\u0633",  # right-to-left text
    "\u202emasks\u202c",  # with a forced direction
    "e\u0301tude n\u0303",
    "\U0001f9a0 \U0001f469\u200d\U0001f52c",
    'Masks, ""gloves""\nand\r\ngowns',
    "NA",
    "\x1b[31mMasks\x07",
    "<script>alert(1)</script>",
    "[SEP] [PAD]",
]


@pytest.mark.usefixtures("folder")
def test_stages_leave_ids_and_titles_as_they_are() -> None:
    rows = [f'{name},1,1,"{title}"\n' for name, title in zip(IDS, TITLES, strict=True)]
    titles, _ = read(CSV + "".join(rows))
    expected = {name: title.replace('""', '"') for name, title in zip(IDS, TITLES, strict=True)}
    assert {name: titles[name] for name in IDS} == expected


@pytest.mark.parametrize("change", ["mark", "CRLF", "CR", "blank lines", "other columns"])
def test_stages_take_other_ways_to_write_a_csv(folder: Path, change: str) -> None:
    text = {
        "mark": "\ufeff" + CSV,
        "CRLF": CSV.replace("\n", "\r\n"),
        "CR": CSV.replace("\n", "\r"),
        "blank lines": CSV.replace("\n", "\n\n"),
        "other columns": re.sub("(?m)^", "9,", CSV.replace("document_id", "index,document_id")).removeprefix("9,")[:-2],
    }[change]
    titles, counts = read(text)
    assert len(titles) == counts["kept"]["pairs"] == 12

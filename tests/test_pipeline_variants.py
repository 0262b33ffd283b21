"""The real pipeline in copies of the scratch clone: other params, another base model, another place."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from ranker.common.files import read_json, sha256, write_json
from ranker.common.table import read_table
from ranker.metrics.ranking import relevant_queries
from ranker.project import paths, tables
from ranker.serving.ranker import Ranker
from tests.factories import Run, run_stages, set_params
from tests.pipeline import metrics, ran
from tests.readme import command, recipe


def test_train_and_export_in_bf16(repository: Path, copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """bf16 is used on every chip if asked for; the export is in fp32 and equals PyTorch."""
    set_params(copy, train__precision="bf16")
    run_stages("train", "export", "score", "evaluate")
    assert "; precision bf16\n" in capfd.readouterr().out
    before, after = (load_file(folder / paths.CHECKPOINT / "model.safetensors") for folder in (repository, copy))
    assert {weights.dtype for weights in after.values()} == {np.dtype(np.float32)}
    assert any((weights != before[name]).any() for name, weights in after.items())
    report = json.loads(paths.EXPORT_REPORT.read_text())
    assert report["fp32"]["largest logit difference from PyTorch"] < 1e-4
    assert report["fp32"]["nDCG@10"] == pytest.approx(metrics(Path())["cross_encoder"]["nDCG@10"], abs=1e-3)
    assert json.loads((paths.RANKER / "manifest.json").read_text())["params"]["train"]["precision"] == "bf16"


def test_train_says_that_a_base_model_is_no_sentence_encoder(
    repository: Path, copy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It gets a classification head, although params.yaml asks for a cosine."""
    line = "train: the base model is no sentence encoder with mean pooling, so it gets a classification head\n"
    assert line not in Path(f"{repository}.log").read_text()
    assert "scale" in load_file(repository / paths.CHECKPOINT / "model.safetensors")
    settings = paths.BASE_MODEL / paths.SENTENCE_ENCODER_FILE
    content = read_json(settings) | {"is_one": False}
    write_json(settings, content)
    run_stages("train")
    assert line in capfd.readouterr().out
    assert "classifier.weight" in load_file(paths.CHECKPOINT / "model.safetensors")


def test_stages_train_on_all_judgements_where_nothing_is_held_out(
    repository: Path, copy: Path, capfd: pytest.CaptureFixture[str], run: Run
) -> None:
    """There are no measures then, and every place for a measure says so."""
    set_params(copy, split__held_out="none")
    run_stages("split", "retriever", "export_retriever", "features", "train", "export")
    run_stages("package", "score", "evaluate", "report")
    pairs = len(pd.read_parquet(paths.SPLIT_PAIRS))
    printed = capfd.readouterr().out
    assert f"train: {pairs} pairs, 0 held out; " in printed
    assert f"retriever: {pairs} pairs" in printed
    assert read_json(paths.RETRIEVER_REPORT)["fp32"]["nDCG@10"] is None
    assert "evaluate: split.held_out none: all queries are trained on; `make crossval` measures" in printed
    manifest = json.loads((paths.RANKER / "manifest.json").read_text())
    assert manifest["measured_on"] == {"held_out_fold": "none", "pairs": 0}
    assert (manifest["fp32"]["nDCG@10"], manifest["int8"]["held out"]) == (None, {})
    assert max(manifest["fp32"]["largest_logit_difference_from_pytorch"].values()) < 1e-4
    assert [file.name for file in paths.METRICS.iterdir()] == ["none.json"]
    assert len(paths.TO_JUDGE.read_text().splitlines()) == 1  # every entry of the other fold's list is gone
    assert "crossval" in paths.REPORT.read_text()
    assert Ranker(paths.RANKER).rank("masks", ["Masks in wards", "Bats"])
    before, after = (load_file(folder / paths.CHECKPOINT / "model.safetensors") for folder in (repository, copy))
    assert any((weights != before[name]).any() for name, weights in after.items())
    assert "make crossval measures" in run(recipe("repro")[-1], copy).stdout


def test_stages_hold_out_a_split_by_its_name(repository: Path, copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Named as a benchmark's test: its queries are measured and never trained on."""
    set_params(copy, split__held_out="test")
    query_ids = tables.read_table(paths.QUERIES)["query_id"]
    test = set(query_ids[::3])
    splits = [(query_id, "test" if query_id in test else "train") for query_id in query_ids]
    tables.write_table(paths.QRELS_SPLITS, pd.DataFrame(splits, columns=["query_id", "qrels_split"]))
    run_stages("split", "negatives", "features", "train", "export", "package", "score", "evaluate", "report")
    pairs = tables.read_table(paths.SPLIT_PAIRS)
    measured = pairs["query_id"].isin(test)
    assert f"train: {sum(~measured)} pairs, {sum(measured)} held out; " in capfd.readouterr().out
    assert set(tables.read_run(paths.RUN)["query_id"]) == test
    assert set(pd.read_csv(paths.PER_QUERY, dtype=str)["query_id"]) == test
    manifest = json.loads((paths.RANKER / "manifest.json").read_text())
    assert manifest["measured_on"] == {"held_out_fold": "test", "pairs": sum(measured)}
    page = paths.REPORT.read_text()
    assert "Held-out split test" in page
    assert "join: grades" in page


def test_make_repro_in_a_folder_of_any_name(repository: Path, tmp_path: Path, run: Run) -> None:
    """Run make itself, with this environment in place of the one it would install."""
    project = tmp_path / "o'brien-j\u00fcrgen/project"
    shutil.copytree(repository, project, symlinks=True)
    environment = project / ".venv"
    environment.mkdir()
    for part in ("bin", "lib"):
        (environment / part).symlink_to(Path(sys.prefix) / part)
    shutil.copyfile(Path(sys.prefix) / "pyvenv.cfg", environment / "pyvenv.cfg")
    (environment / "installed").touch()
    set_params(project, order__depth=7)
    result = run("make repro", project)
    assert sorted(ran(result.stdout)) == ["evaluate", "hub", "opensearch", "package", "report"]
    assert f"report: {paths.REPORT}" in result.stdout
    assert read_json(project / paths.COMPARISON)["reranked"]["count"] == 7
    assert ran(run(command("dvc repro"), project).stdout) == []
    assert (environment / "plots.html").is_file()
    run("dvc plots show", project)  # with the template that make has configured
    assert not re.findall(r"<(?:script|link)[^>]*(?:src|href)=", (project / "dvc_plots/index.html").read_text())


def test_evaluate_gives_no_verdict_without_judged_negatives(copy: Path) -> None:
    """Neither table decides, over all documents or over unseen ones; the page gives no verdict either.

    The stand-ins are the pairs to judge next.
    """
    pairs = pd.read_parquet(paths.SPLIT_PAIRS)
    tables.write_table(paths.SPLIT_PAIRS, pairs.assign(judged=pairs["relevant"]))
    run_stages("score", "evaluate", "report")
    comparison = json.loads(paths.COMPARISON.read_text())
    for part in (comparison, comparison["unseen_documents"]):
        assert part["headline"]["verdict"] == "no verdict"
    page = paths.REPORT.read_text()
    assert "No verdict, on this split and seed: random unjudged documents stand in" in page
    assert 'class="verdict ' not in page
    qrels = (paths.TREC_FILES / "qrels.trec").read_text().splitlines()
    assert {line.split()[3] for line in qrels} <= {"1", "2"}
    stand_ins = set(map(tuple, pairs.loc[~pairs["relevant"], ["query_id", "document_id"]].to_numpy()))
    assert stand_ins & {
        (row["query_id"], row["document_id"]) for _, row in read_table(paths.TO_JUDGE, spreadsheet=True)
    }


def test_retriever_learns_of_training_pairs_alone(copy: Path) -> None:
    """Changed grades of held-out pairs change no byte of it; changed grades of training pairs do."""
    set_params(copy, first_stage__retriever="dense")
    pairs = pd.read_parquet(paths.SPLIT_PAIRS)
    found = []
    for side in (None, pairs["fold"] == 0, pairs["fold"] != 0):
        turned = pairs if side is None else pairs.assign(grade=pairs["grade"].where(~side, 2 - pairs["grade"]))
        tables.write_table(paths.SPLIT_PAIRS, turned)
        run_stages("retriever")
        found.append(sha256(paths.RETRIEVER_CHECKPOINT / "model.safetensors"))
    assert found[0] == found[1] != found[2]


def test_evaluate_calls_no_document_unseen_that_was_mined_for_a_training_query(copy: Path) -> None:
    pairs = pd.read_parquet(paths.SPLIT_PAIRS)
    tables.write_table(paths.SPLIT_PAIRS, pairs.assign(unseen=True))
    held_out = pairs[pairs["fold"] == 0]
    document = held_out["document_id"].iloc[0]
    mined = pd.DataFrame({"query_id": ["9"], "document_id": [document], "grade": [0], "unseen": [False]})
    mined = mined.assign(relevant=False, judged=False)
    for fold, unseen in ((0, held_out), (1, held_out[held_out["document_id"] != document])):
        tables.write_table(paths.MINED_PAIRS, mined.assign(fold=fold))
        run_stages("evaluate")
        assert read_json(paths.COMPARISON)["unseen_documents"]["pairs"] == len(relevant_queries(unseen))

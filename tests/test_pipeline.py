"""The real pipeline, by the README's own commands, in a scratch clone with a tiny base model."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import yaml

from ranker.common.files import sha256
from ranker.metrics.ranking import ranking_measures
from ranker.project import paths
from ranker.serving.ranker import Ranker
from tests.conftest import ROOT, Run
from tests.pipeline import measures, outputs, ran
from tests.readme import COMMANDS, README, command
from tests.vespa_arithmetic import Application

# What .ci/run runs, and what only changes the shell's PATH, which these tests do themselves.
ELSEWHERE = {"make repro", "make test", "make bench", "source .venv/bin/activate"}
SYSTEMS = ["ranker", "bm25", "base_cosine", "topic_prior", "random"]
PLOTS = {
    "learning curve",
    "held-out nDCG@10",
    "per query",
    "gain over BM25",
    "calibration",
    "ROC",
    "precision and recall",
}

STAGES = [
    *("fetch", "join", "encode", "embed", "distil", "split", "features", "train"),
    *("export", "package", "evaluate", "report"),
]


def test_every_command_of_the_readme_is_run() -> None:
    source = "".join(file.read_text() for file in (ROOT / "tests").glob("test_pipeline*.py"))
    ci = (ROOT / ".ci/run").read_text()
    for line in COMMANDS:
        if line in ELSEWHERE:
            assert line in ci or line.startswith("source")
        else:
            assert any(line.startswith(start) for start in re.findall(r'(?<!def )command\("([^"]+)"\)', source)), line


def test_measures_are_laid_out_by_system(project: Path) -> None:
    found = measures(project)
    unseen = found.pop("unseen_documents")
    assert list(found) == SYSTEMS
    ranking = {"nDCG@10", "nDCG@10 (exponential gain)", "P@5", "AP", "RR"}
    assert set(found["ranker"]) == ranking | {"log loss", "accuracy", "ROC AUC", "calibration error"}
    for system in SYSTEMS[1:]:
        assert set(found[system]) == ranking | {"ROC AUC"}
        assert all(0 <= value <= 1 for value in found[system].values())
    assert list(unseen) == ["queries", "pairs", *SYSTEMS]
    assert 0 < unseen["pairs"] < 334
    assert set(unseen["ranker"]) == ranking


def test_comparison_agrees_with_the_measures(project: Path) -> None:
    comparison = json.loads((project / paths.COMPARISON).read_text())
    assert list(comparison["systems"]) == SYSTEMS
    assert list(comparison["differences"]) == SYSTEMS[1:]
    found = measures(project)
    for system, by_measure in comparison["systems"].items():
        for measure, interval in by_measure.items():
            assert interval["mean"] == pytest.approx(found[system][measure])
            assert interval["low"] <= interval["mean"] <= interval["high"]
    for system, by_measure in comparison["differences"].items():
        for measure, difference in by_measure.items():
            assert difference["mean"] == pytest.approx(found["ranker"][measure] - found[system][measure])
            assert difference["verdict"] in ("better", "worse", "not told apart")
            assert (difference["verdict"] == "not told apart") == (difference["p"] >= 0.05)


def test_measures_are_those_of_the_run(project: Path) -> None:
    """P@5 and RR again, from run.parquet, by plain sorting."""
    run_table = pd.read_parquet(project / paths.RUN)
    folds = pd.read_parquet(project / paths.FOLDS)
    assert set(run_table["query_id"]) == set(folds.loc[folds["fold"] == 0, "query_id"])
    for system in SYSTEMS:
        precision, reciprocal = [], []
        for _, rows in run_table.groupby("query_id"):
            labels = rows.sort_values([system, "document_id"], ascending=False)["label"].to_list()
            precision.append(sum(labels[:5]) / 5)
            reciprocal.append(1 / (labels.index(1) + 1))
        assert measures(project)[system]["P@5"] == pytest.approx(sum(precision) / len(precision))
        assert measures(project)[system]["RR"] == pytest.approx(sum(reciprocal) / len(reciprocal))


def test_the_sample_is_counted(project: Path) -> None:
    counts = json.loads((project / paths.JOIN_COUNTS).read_text())
    assert counts["kept"] == {"queries": 50, "documents": 695, "pairs": 1619, "relevant_pairs": 463}
    assert {name: n for name, n in counts["dropped"].items() if n} == {"judgement_without_title": 9}


def test_the_manifest_says_what_was_exported(project: Path, run: Run) -> None:
    folder = project / paths.RANKER
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {name: sha256(folder / name) for name in manifest["files"]} == manifest["files"]
    assert {file.name for file in folder.iterdir()} == {*manifest["files"], "manifest.json"}
    made_of = manifest["made_of"]
    assert made_of["data"]["judgements.csv"] == sha256(ROOT / "data/sample/training_all_jugdments_data.csv")
    assert made_of["base_model"] == sha256(project / paths.BASE_MODEL / "model.safetensors")
    deps = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]["export"]["deps"]
    code = run(f"sha256sum {' '.join(dep for dep in deps if dep.endswith('.py'))} | sha256sum", project).stdout
    assert made_of["code"] == code.split()[0]
    for file, more in (
        ("model.onnx", {}),
        ("model.int8.onnx", {"quantisation": manifest["int8"]["tried"][-1]["scheme"]}),
    ):
        metadata = {entry.key: entry.value for entry in onnx.load(folder / file).metadata_props}
        assert metadata == {"name": manifest["name"], "version": manifest["version"]} | more
    assert manifest["int8"]["chosen"] == manifest["int8"]["tried"][-1]["scheme"]
    assert manifest["onnx"]["fp32"]["opsets"] == {"ai.onnx": 17}
    assert manifest["onnx"]["int8"]["opsets"] == {"ai.onnx": 17, "com.microsoft": 1}
    contract = json.loads((folder / "encoding.json").read_text())
    assert contract["tokenizer_sha256"] == sha256(folder / "tokenizer.json")
    assert (contract["query_input_size"], contract["doc_input_size"], contract["max_length"]) == (32, 96, 128)


def test_both_models_are_measured_side_by_side(project: Path) -> None:
    """The exact one as evaluate measures it; the eight-bit one again, from its file."""
    report = json.loads((project / paths.EXPORT_REPORT).read_text())
    assert report["fp32"]["nDCG@10"] == pytest.approx(measures(project)["ranker"]["nDCG@10"], abs=1e-3)
    assert report["fp32"]["largest logit difference from PyTorch"] < 1e-4
    for model, file in (("fp32", "model.onnx"), ("int8", "model.int8.onnx")):
        assert report[model]["MiB"] == (project / paths.RANKER / file).stat().st_size / 2**20
    rows = pd.read_parquet(project / paths.RUN)
    texts = rows.merge(pd.read_parquet(project / paths.QUERIES)).merge(pd.read_parquet(project / paths.DOCUMENTS))
    ranker, scores = Ranker(project / paths.RANKER, "int8"), np.zeros(len(rows))
    for at in rows.groupby("query_id").indices.values():
        titles = ranker.encode_documents(texts["title"].iloc[at].tolist())
        scores[at] = ranker.score(ranker.encode_query(texts["query"].iloc[at[0]]), titles)
    found = float(ranking_measures(rows, scores, 1)["nDCG@10"].mean())
    assert found == pytest.approx(report["int8"]["in batches"]["nDCG@10"], abs=0.05)  # in other batches


def test_serving(clean: Path, run: Run) -> None:
    """The README's section, command by command."""
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (clean / "example.py").write_text(example + "print(ranker.rank('bats', documents, top=1))\n")
    shown = run("python -c 'exec(open(\"example.py\").read())'", clean).stdout
    assert re.fullmatch(r"\[\([01], -?[0-9.]+\)\]\n", shown)
    table = run(command("python -m ranker "), clean).stdout.splitlines()
    assert len(table) == 1 + 3
    documents = pd.read_parquet(clean / paths.DOCUMENTS)
    feed = run(command("python -m ranker.vespa feed data"), clean)
    assert feed.stdout == f"vespa: feed.jsonl: {len(documents)} documents\n"
    fed = [json.loads(line) for line in (clean / "feed.jsonl").read_text().splitlines()]
    assert [row["fields"]["document_id"] for row in fed] == documents["document_id"].tolist()
    run(command("python -m ranker.vespa query"), clean)
    assert json.loads((clean / "query.json").read_text())["ranking"] == "ranker"
    package = Application.read(clean / paths.VESPA)
    assert package.size("doc_token_ids") == len(fed[0]["fields"]["doc_token_ids"]["values"]) == 95
    assert run("dvc exp run -S vespa.rerank_count=7", clean).stdout.count("Running stage") == 2  # package and report
    assert "rerank-count: 7" in (clean / paths.VESPA / "schemas/doc.sd").read_text()


def test_release_and_retrieval(clean: Path, run: Run, tmp_path: Path) -> None:
    """To a DVC remote of its own, and back into a folder that has no project, by version and by path."""
    here = {"STORAGE": str(tmp_path / "storage"), "REPOSITORY": str(clean)}
    run("git checkout -q -b release", clean)
    for line in (command("dvc remote add"), command("git commit"), command("dvc push"), command("gto register")):
        run(line, clean, **here)
    try:
        consumer = tmp_path / "consumer"
        consumer.mkdir()
        for line, folder in ((command("dvc artifacts get"), "ranker"), (command("dvc get"), "vespa")):
            run(line, consumer, **here)
            expected = {file.name: sha256(file) for file in (clean / "models" / folder).rglob("*") if file.is_file()}
            found = {file.name: sha256(file) for file in (consumer / folder).rglob("*") if file.is_file()}
            assert found == expected != {}
        ranker = Ranker(consumer / "ranker")
        assert ranker.rank("masks", ranker.encode_documents(["Masks in wards"]))
    finally:
        run("git checkout -q - && git branch -q -D release && git tag -d cord19-ranker@v0.1.0", clean)


def test_nothing_runs_twice(clean: Path, run: Run) -> None:
    assert ran(run(command("dvc repro"), clean).stdout) == []


def test_another_clone_gives_the_same_bytes(clean: Path, run: Run, tmp_path: Path) -> None:
    """All stages, elsewhere, with another hash seed, time zone and locale."""
    elsewhere = tmp_path / "elsewhere"
    run(f"git clone -q . {elsewhere}", clean)
    again = run("dvc repro", elsewhere, PYTHONHASHSEED="7", TZ="Asia/Tokyo", LC_ALL="C")
    assert sorted(ran(again.stdout)) == sorted(STAGES)
    before = outputs(clean)
    assert len(before) > 20
    assert outputs(elsewhere) == before
    assert (elsewhere / "dvc.lock").read_text() == (clean / "dvc.lock").read_text()
    sides = json.loads((clean / paths.SPLIT_COUNTS).read_text())
    assert sides["training"]["pairs"] + sides["held_out"]["pairs"] == 1619
    assert f"train: {sides['training']['pairs']} pairs, {sides['held_out']['pairs']} held out;" in again.stdout
    assert f"on {sides['held_out']['pairs']} held-out pairs" in again.stdout  # export compares on these alone
    shutil.rmtree(elsewhere)


def test_metrics_plots_and_dag(clean: Path, run: Run) -> None:
    assert "ranker.nDCG@10" in run(command("dvc metrics show results/metrics"), clean).stdout
    assert "evaluate" in run(command("dvc dag"), clean).stdout
    shown = json.loads(run("dvc plots show --json", clean).stdout)
    assert "errors" not in shown
    assert set(shown["data"]) == PLOTS
    values = {name: plot["content"]["data"]["values"] for name, (plot,) in shown["data"].items()}
    assert len(values["learning curve"]) > len(values["held-out nDCG@10"]) == 2  # before training, and after an epoch
    with (clean / paths.PER_QUERY).open() as file:
        queries = {row["query"] for row in csv.DictReader(file)}
    assert len(queries) == 10
    for name in ("per query", "gain over BM25"):
        assert sorted(value["query"] for value in values[name]) == sorted(queries)  # one bar a query
    assert len(values["calibration"]) == 2 * 10  # ten bins, and the diagonal
    assert {value["field"] for value in values["calibration"]} == {"relevant_share", "calibrated"}
    assert {value["field"] for value in values["ROC"]} == set(SYSTEMS)
    template = ROOT / ".venv/plots.html"  # make writes it
    if not template.is_file():
        pytest.skip("the page's template is not there: run the tests with make test")
    run(f"dvc config --local plots.html_template {template}", clean)
    for drawn in (command("dvc plots show"), command("dvc plots diff")):
        run(drawn, clean)
        page = (clean / "dvc_plots/index.html").read_text()
        assert not re.findall(r"<(?:script|link)[^>]*(?:src|href)=", page)  # nothing is loaded from elsewhere
        assert page.count("vegaEmbed(") >= len(PLOTS)

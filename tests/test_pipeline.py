"""The real pipeline, by the README's own commands, in a scratch clone with a tiny base model."""

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import onnx
import pandas as pd
import pytest
from pytest_httpserver import HTTPServer

from ranker import tables
from ranker.files import sha256
from tests.conftest import ROOT, Run
from tests.hub import REVISION, serve_model
from tests.readme import COMMANDS, command


def outputs(folder: Path) -> dict[str, str]:
    """Digest of every output file of the DAG, and of the cross-validation where it has run."""
    files = [
        file
        for path in vars(tables).values()
        if isinstance(path, Path) and path.parent != tables.SAMPLE_JUDGEMENTS.parent
        for file in ([folder / path] if (folder / path).is_file() else (folder / path).rglob("*"))
        if file.is_file()
    ]
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}


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
STAGES = ["fetch", "join", "encode", "embed", "distil", "split", "features", "train", "export", "evaluate", "report"]


def measures(folder: Path) -> dict[str, Any]:
    return json.loads((folder / tables.MEASURES).read_text())


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '(\w+)'", output)


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
    comparison = json.loads((project / tables.COMPARISON).read_text())
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
    run_table = pd.read_parquet(project / tables.RUN)
    folds = pd.read_parquet(project / tables.FOLDS)
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
    counts = json.loads((project / tables.JOIN_COUNTS).read_text())
    assert counts["kept"] == {"queries": 50, "documents": 695, "pairs": 1619, "relevant_pairs": 463}
    assert {name: n for name, n in counts["dropped"].items() if n} == {"judgement_without_title": 9}


def test_the_manifest_says_what_was_exported(project: Path) -> None:
    folder = project / tables.RANKER
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {name: sha256(folder / name) for name in manifest["files"]} == manifest["files"]
    assert {file.name for file in folder.iterdir()} == {*manifest["files"], "manifest.json"}
    assert manifest["data"]["judgements.csv"] == sha256(ROOT / "data/sample/training_all_jugdments_data.csv")
    metadata = {entry.key: entry.value for entry in onnx.load(folder / "model.onnx").metadata_props}
    assert metadata == {"name": manifest["name"], "version": manifest["version"]}
    contract = json.loads((folder / "encoding.json").read_text())
    assert contract["tokenizer_sha256"] == sha256(folder / "tokenizer.json")
    assert (contract["query_input_size"], contract["doc_input_size"], contract["max_length"]) == (32, 96, 128)


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
    sides = json.loads((clean / tables.SPLIT_COUNTS).read_text())
    assert sides["training"]["pairs"] + sides["held_out"]["pairs"] == 1619
    assert f"train: {sides['training']['pairs']} pairs, {sides['held_out']['pairs']} held out;" in again.stdout
    assert f"over {sides['held_out']['pairs']} held-out pairs" in again.stdout  # export compares on these alone
    shutil.rmtree(elsewhere)


def test_metrics_plots_and_dag(clean: Path, run: Run) -> None:
    assert "ranker.nDCG@10" in run(command("dvc metrics show results/metrics"), clean).stdout
    assert "evaluate" in run(command("dvc dag"), clean).stdout
    shown = json.loads(run("dvc plots show --json", clean).stdout)
    assert "errors" not in shown
    assert set(shown["data"]) == PLOTS
    values = {name: plot["content"]["data"]["values"] for name, (plot,) in shown["data"].items()}
    assert len(values["learning curve"]) > len(values["held-out nDCG@10"]) == 2  # before training, and after an epoch
    with (clean / tables.PER_QUERY).open() as file:
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


def test_own_files(clean: Path, run: Run) -> None:
    """The sample's first 20 queries, as somebody's own files, with a CSV that has rows to drop."""
    (clean / "mine").mkdir(exist_ok=True)
    labelled = json.loads((clean / "data/sample/labelled_data_all.json").read_text())[:20]
    (clean / "mine/labelled_data_all.json").write_text(json.dumps(labelled))
    text = (clean / "data/sample/training_all_jugdments_data.csv").read_text()
    (clean / "mine/training_all_jugdments_data.csv").write_text(text + "extra,1,-1,A title\n")
    result = run(command("dvc exp run -S fetch.dataset=files"), clean)
    assert ran(result.stdout)[0] == "fetch"
    assert run(command("dvc metrics show results/join.json"), clean).stdout
    counts = json.loads((clean / tables.JOIN_COUNTS).read_text())
    assert counts["kept"]["queries"] == 20
    assert counts["dropped"]["grade_below_0"] == 1
    assert counts["dropped"]["unknown_query"] > 900
    assert measures(clean)["bm25"]["RR"] > 0


def test_trec_covid(clean: Path, run: Run, tmp_path: Path) -> None:
    """The sample's texts in the place where ir_datasets keeps what it downloaded of TREC-COVID."""
    home = tmp_path / "cord19"
    (home / "trec-covid").mkdir(parents=True)
    (home / "2020-07-16").mkdir()
    labelled = json.loads((clean / "data/sample/labelled_data_all.json").read_text())
    topics = "".join(f'<topic number="{q["query_id"]}"><query>{q["query"]}</query></topic>' for q in labelled)
    (home / "trec-covid/queries.xml").write_text(f"<topics>{topics}</topics>")
    (home / "trec-covid/qrels").write_text(
        "".join(f"{q['query_id']} 5 {d['id']} {d['score']}\n" for q in labelled for d in q["relevant_docs"])
    )
    rows = csv.DictReader((clean / "data/sample/training_all_jugdments_data.csv").open())
    titles = {row["document_id"]: row["title-full"] for row in rows}
    with (home / "2020-07-16/metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["cord_uid", "title", "doi", "abstract", "publish_time"])
        writer.writerows((document_id, title, "", "", "") for document_id, title in titles.items())
    before = outputs(clean)
    result = run(command("dvc exp run -S fetch.dataset=trec-covid"), clean, IR_DATASETS_HOME=str(tmp_path))
    assert ran(result.stdout)[:2] == ["fetch", "join"]
    after = outputs(clean)
    same = (tables.PAIRS, tables.DOCUMENTS, tables.QUERIES, tables.JOIN_COUNTS, tables.FOLDS)
    assert {path: after[path.as_posix()] for path in same} == {path: before[path.as_posix()] for path in same}


def test_the_tutorials_set_up(clean: Path, run: Run, base_model: Path, httpserver: HTTPServer) -> None:
    serve_model(httpserver, "google/bert_uncased_L-4_H-512_A-8", base_model)
    result = run(
        command("dvc exp run -S fetch.base_model=hub"),
        clean,
        HF_ENDPOINT=httpserver.url_for("").rstrip("/"),
        COMMIT=REVISION,
    )
    assert "66 of " in result.stdout  # 32 x 2 weights and 2 biases of the tiny model's classifier
    manifest = json.loads((clean / tables.RANKER / "manifest.json").read_text())
    assert manifest["base_model"] == {
        "source": f"hub:google/bert_uncased_L-4_H-512_A-8@{REVISION}",
        "sha256": sha256(base_model / "model.safetensors"),
    }


def test_a_two_by_two_sweep(clean: Path, run: Run) -> None:
    run(command("dvc exp run --queue"), clean)
    result = run(command("dvc exp run --run-all"), clean)
    stages = ran(result.stdout)
    assert not {"fetch", "join", "encode", "embed", "distil", "split"} & set(stages)
    assert stages.count("features") == 1  # for both heads; the encoder runs once
    assert stages.count("train") == 3  # the fourth is what the workspace has
    shown = run(command("dvc exp show"), clean).stdout
    rows = {tuple(cell.strip() for cell in line.split("|")[-3:-1]) for line in shown.splitlines()}
    assert {(trainable, rate) for trainable in ("head", "all") for rate in ("5e-05", "0.001")} <= rows
    assert not re.findall(r"\|\s*!\s*\|", shown), shown


def test_a_sweep_over_the_head_runs_the_encoder_once(clean: Path, run: Run) -> None:
    found = ran(run(command("dvc exp run train"), clean).stdout)
    assert found in (["features", "train"], ["train"])  # a sweep before may have left features in the cache
    shown = command("dvc metrics show results/train") + " --json"
    before = json.loads(run(shown, clean).stdout)
    others = ("seed=14", "epochs=2", "batch_size=8", "weight_decay=0.1", "warmup_steps=5", "learning_rate=0.003")
    changes = " ".join(f"-S train.{change}" for change in others)
    assert ran(run(f"dvc exp run train {changes}", clean).stdout) == ["train"]
    assert json.loads(run(shown, clean).stdout) != before


def test_sizes_do_not_re_encode(clean: Path, run: Run) -> None:
    result = run("dvc repro --dry", clean)
    assert ran(result.stdout) == []
    params = (clean / "params.yaml").read_text()
    (clean / "params.yaml").write_text(params.replace("query_input_size: 32", "query_input_size: 16"))
    assert ran(run("dvc repro --dry", clean).stdout)[:3] == ["distil", "features", "train"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("epochs: 1 ", "epochs: three "), "params.yaml: train.epochs: Input should be a valid integer, found 'three'"),
        (("  epochs:", "  epoch:"), "params.yaml: train.epochs: expected a value, found none (and 1 more)"),
        (("doc_input_size: 96", "doc_input_size: 512"), "distil: encode: expected query_input_size + doc_input_size"),
        (("trainable: all", "trainable: top-9"), "train: train.trainable: expected at most top-2"),
        (("folds: 5 ", "folds: 60 "), "split: split.folds: expected at most 50, the number of queries, found 60"),
        (("dataset: sample", "dataset: cord"), "params.yaml: fetch.dataset: Input should be 'sample', 'trec-covid'"),
    ],
)
def test_a_mistake_costs_one_line(clean: Path, run: Run, change: tuple[str, str], message: str) -> None:
    before = outputs(clean)
    params = (clean / "params.yaml").read_text()
    assert change[0] in params
    (clean / "params.yaml").write_text(params.replace(*change))
    result = run("dvc repro", clean, check=False)
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    run("git checkout -q . && dvc checkout dvc.yaml", clean)
    assert outputs(clean) == before


def test_a_wrong_digest_stops_fetch(clean: Path, run: Run) -> None:
    result = run(f"dvc exp run -S fetch.base_model_sha256={'0' * 64}", clean, check=False)
    assert f"model.safetensors: expected sha256 {'0' * 64}, found" in result.stderr

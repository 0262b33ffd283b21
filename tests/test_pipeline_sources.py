"""The real pipeline on other files, data sets and base models, and on mistakes, with a tiny base model."""

import csv
import json
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from ranker.common.files import sha256
from ranker.project import paths
from tests.conftest import Run
from tests.hub import REVISION, serve_model
from tests.pipeline import measures, outputs, ran
from tests.readme import command


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
    counts = json.loads((clean / paths.JOIN_COUNTS).read_text())
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
    same = (paths.PAIRS, paths.DOCUMENTS, paths.QUERIES, paths.JOIN_COUNTS, paths.FOLDS)
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
    manifest = json.loads((clean / paths.RANKER / "manifest.json").read_text())
    assert manifest["base_model"] == f"hub:google/bert_uncased_L-4_H-512_A-8@{REVISION}"
    assert manifest["made_of"]["base_model"] == sha256(base_model / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("epochs: 1 ", "epochs: three "), "params.yaml: train.epochs: expected a valid integer, found 'three'"),
        (("  epochs:", "  epoch:"), "params.yaml: train.epochs: expected a value, found none (and 1 more)"),
        (
            ("doc_input_size: 96", "doc_input_size: 512"),
            "distil: params.yaml: encode: expected query_input_size + doc_input_size",
        ),
        (("trainable: all", "trainable: top-9"), "features: params.yaml: train.trainable: expected at most top-2"),
        (("folds: 5 ", "folds: 60 "), "split: split.folds: expected at most 50, the number of queries, found 60"),
        (("dataset: sample", "dataset: cord"), "params.yaml: fetch.dataset: expected 'sample', 'trec-covid'"),
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

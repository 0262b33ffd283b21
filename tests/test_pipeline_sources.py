"""The real pipeline on other data sets and base models, by the documents' own commands.

conftest.py's scratch repository is made by the command for own files. Each command here goes on to the report; it stops
where what is new about its source is done with.
"""

import csv
import json
from pathlib import Path

from pytest_httpserver import HTTPServer
from safetensors.numpy import load_file

from crossval.train import TUTORIAL
from ranker.base.base_model import folder_digest
from ranker.common.files import sha256
from ranker.project import paths
from ranker.project.params import load_params
from tests.conftest import QUERIES
from tests.factories import Run
from tests.hub import REVISION, serve_model
from tests.pipeline import outputs, ran
from tests.readme import command


def test_dvc_exp_run_of_trec_covid(clean: Path, run: Run, tmp_path: Path) -> None:
    """The own files' texts in the place where ir_datasets keeps what it downloaded of TREC-COVID."""
    home = tmp_path / "cord19"
    (home / "trec-covid").mkdir(parents=True)
    (home / "2020-07-16").mkdir()
    labelled = json.loads((clean / "mine/labelled_data_all.json").read_text())
    topics = "".join(f'<topic number="{q["query_id"]}"><query>{q["query"]}</query></topic>' for q in labelled)
    (home / "trec-covid/queries.xml").write_text(f"<topics>{topics}</topics>")
    (home / "trec-covid/qrels").write_text(
        "".join(f"{q['query_id']} 5 {d['id']} {d['score']}\n" for q in labelled for d in q["relevant_docs"])
    )
    rows = list(csv.DictReader((clean / "mine/training_all_jugdments_data.csv").open()))
    with (home / "2020-07-16/metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["cord_uid", "title", "doi", "abstract", "publish_time"])
        writer.writerows(
            (document_id, title, "", "", "")
            for document_id, title in {row["document_id"]: row["title-full"] for row in rows}.items()
        )
    before = outputs(clean)
    asked = command("dvc exp run -S fetch.format=ir_datasets")
    result = run(f"{asked} split", clean, IR_DATASETS_HOME=str(tmp_path))
    assert ran(result.stdout)[:2] == ["fetch", "join"]
    after = outputs(clean)
    same = [path.as_posix() for path in (paths.PAIRS, paths.DOCUMENTS, paths.QUERIES, paths.SPLIT_PAIRS)]
    assert {path: after[path] for path in same} == {path: before[path] for path in same}
    counts = json.loads((clean / paths.JOIN_COUNTS).read_text())
    assert counts["kept"]["queries"] == QUERIES
    assert counts["dropped"]["unknown_query"] == 0  # which the own files' CSV had


def test_dvc_exp_run_of_the_tutorials_set_up(clean: Path, run: Run, base_model: Path, httpserver: HTTPServer) -> None:
    """Its base model by hub name, with commit and digest; its split over pairs; a head alone, on labels."""
    serve_model(httpserver, "google/bert_uncased_L-4_H-512_A-8", base_model)
    asked = command("dvc exp run -S fetch.base_model=hub")
    given = {"COMMIT": REVISION, "DIGEST": folder_digest(base_model)}
    result = run(f"{asked} train", clean, HF_ENDPOINT=httpserver.url_for("").rstrip("/"), **given)
    assert {"base_model", "split", "features", "train"} <= set(ran(result.stdout))
    assert "66 of " in result.stdout  # 32 x 2 weights and 2 biases of the tiny model's classifier
    params = load_params(clean / "params.yaml")
    assert params.fetch.base_model == f"hub:google/bert_uncased_L-4_H-512_A-8@{REVISION}"
    published = {name: value for name, value in TUTORIAL.items() if name not in ("batch_size", "weight_decay")}
    assert {name: getattr(params.train, name) for name in published} == published
    assert params.split.by == "pair"
    fetched = clean / paths.BASE_MODEL / "model.safetensors"
    assert sha256(fetched) == sha256(base_model / "model.safetensors")
    head = load_file(clean / paths.CHECKPOINT / "model.safetensors")
    assert {"classifier.weight", "bert.pooler.dense.weight"} <= head.keys()

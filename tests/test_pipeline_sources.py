"""The real pipeline on other data sets and base models, by the documents' own commands.

conftest.py builds the scratch repository by the command for own files. Each command here would run on to the report;
the test stops it after the stages that its source affects.
"""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from onnxruntime import InferenceSession
from pytest_httpserver import HTTPServer
from safetensors.numpy import load_file

from crossval.train import TUTORIAL
from ranker.base.base_model import folder_digest
from ranker.common.files import sha256
from ranker.data.tutorial import JUDGEMENTS_FILE
from ranker.project import paths
from ranker.project.params import load_params
from tests.conftest import QUERIES
from tests.factories import PARAMS, ROOT, Run, set_params
from tests.hub import REVISION, serve_model
from tests.pipeline import STAGES, ran
from tests.readme import command


def tables_of(folder: Path) -> list[pd.DataFrame]:
    """Joined and split tables with their rows in one order, because a catalogue groups the rows of a document."""
    read = (pd.read_parquet(folder / path) for path in (paths.QUERIES, paths.DOCUMENTS, paths.SPLIT_PAIRS))
    return [table.sort_values(table.columns[:2].tolist()).reset_index(drop=True) for table in read]


def test_dvc_exp_run_of_trec_covid(clean: Path, run: Run, tmp_path: Path) -> None:
    """The own files' texts, stored where ir_datasets keeps its download of TREC-COVID."""
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
    before = tables_of(clean)
    asked = command("dvc exp run -S fetch.format=ir_datasets")
    result = run(f"{asked} split", clean, IR_DATASETS_HOME=str(tmp_path))
    assert ran(result.stdout)[:2] == ["fetch", "join"]
    for one, other in zip(before, tables_of(clean), strict=True):
        pd.testing.assert_frame_equal(one, other)
    counts = json.loads((clean / paths.JOIN_COUNTS).read_text())
    assert counts["kept"]["queries"] == QUERIES
    assert counts["dropped"]["unknown_query"] == 0  # the own files' CSV had these


def test_dvc_exp_run_of_the_tutorials_set_up(clean: Path, run: Run, base_model: Path, httpserver: HTTPServer) -> None:
    """A base model by hub name, the split over pairs, a head trained alone on labels, and the exported ONNX file.

    It trains no retriever.
    """
    serve_model(httpserver, "google/bert_uncased_L-4_H-512_A-8", base_model)
    asked = command("dvc exp run -S fetch.base_model=hub")
    given = {"COMMIT": REVISION, "DIGEST": folder_digest(base_model)}
    result = run(f"{asked} export", clean, HF_ENDPOINT=httpserver.url_for("").rstrip("/"), **given)
    assert {"base_model", "split", "features", "train", "export"} <= set(ran(result.stdout))
    for folder in (paths.RETRIEVER_CHECKPOINT, paths.RETRIEVER):
        assert [file.name for file in (clean / folder).iterdir()] == ["idle.json"]
    assert "66 of " in result.stdout  # 32 x 2 weights and 2 biases of the tiny model's classifier
    params = load_params(clean / "params.yaml")
    assert params.fetch.base_model == f"hub:google/bert_uncased_L-4_H-512_A-8@{REVISION}"
    published = {name: value for name, value in TUTORIAL.items() if name not in ("batch_size", "weight_decay")}
    assert {name: getattr(params.train, name) for name in published} == published
    assert params.split.by == "pair"
    fetched = clean / paths.BASE_MODEL / "model.safetensors"
    assert sha256(fetched) == sha256(base_model / "model.safetensors")
    trained, base = (load_file(clean / folder / "model.safetensors") for folder in (paths.CHECKPOINT, paths.BASE_MODEL))
    frozen = {name: values for name, values in base.items() if f"bert.{name}" in trained}
    assert "pooler.dense.weight" in frozen
    assert all((trained[f"bert.{name}"] == values).all() for name, values in frozen.items())
    session = InferenceSession(clean / paths.RANKER / "model.onnx")
    assert [entry.name for entry in session.get_inputs()] == ["input_ids", "token_type_ids", "attention_mask"]
    (output,) = session.get_outputs()
    ones = np.ones((3, 5), np.int64)
    (logits,) = session.run(["logits"], {"input_ids": ones, "token_type_ids": ones, "attention_mask": ones})
    assert (output.name, output.shape[1], logits.shape) == ("logits", 2, (3, 2))


def test_the_mission_stays() -> None:
    """Stages, the default format and the core packages stay, each package pinned and imported (DVC by its command)."""
    assert {"fetch", "join", "encode", "split", "train", "export"} <= set(STAGES)
    assert PARAMS.fetch.format == "tutorial"
    modules = {"transformers": "transformers", "torch": "torch", "pandas": "pandas", "onnx": "onnx"}
    code = "".join(file.read_text() for folder in ("ranker", "stages") for file in (ROOT / folder).rglob("*.py"))
    for package, module in (modules | {"scikit-learn": "sklearn", "pyyaml": "yaml"}).items():
        assert re.search(rf"(?m)^ *(import|from) {module}\b", code), package
    pins = (ROOT / "requirements.txt").read_text()
    assert all(re.search(rf"(?m)^{package}==", pins) for package in ("dvc", "scikit-learn", "pyyaml", *modules))


def kept(folder: Path) -> int:
    """The number of judgements that stage join keeps."""
    return int(json.loads((folder / paths.JOIN_COUNTS).read_text())["kept"]["pairs"])


def drop_rows(file: Path, places: slice) -> None:
    """Remove rows of a CSV whose cells are one line each."""
    header, *rows = file.read_text().splitlines(keepends=True)
    del rows[places]
    file.write_text("".join([header, *rows]))


def test_dvc_never_takes_the_data_of_another_user_of_its_cache(clean: Path, run: Run, tmp_path: Path) -> None:
    """Two clones share a cache and a run cache; each has other judgements in a file of the same name and place."""
    one, other = (tmp_path / name for name in ("one", "other"))
    for folder in (one, other):
        run(f"git clone -q {clean} {folder}", tmp_path)
        run(f"dvc cache dir --local {tmp_path / 'cache'}", folder)
    before = kept(clean)
    drop_rows(one / "mine" / JUDGEMENTS_FILE, slice(0, 10))
    assert re.search(r"modified:\s+mine", run("dvc status fetch", one).stdout)
    drop_rows(other / "mine" / JUDGEMENTS_FILE, slice(0, 30))
    for folder in (one, other):
        run("dvc repro base_model", folder)
        assert ran(run("dvc repro join", folder).stdout) == ["fetch", "join"]
    assert kept(one) < before
    assert kept(other) < kept(one)
    raw = paths.RAW / JUDGEMENTS_FILE
    assert (other / raw).read_bytes() == (other / "mine" / JUDGEMENTS_FILE).read_bytes() != (one / raw).read_bytes()
    shutil.copyfile(one / "mine" / JUDGEMENTS_FILE, other / "mine" / JUDGEMENTS_FILE)  # the cache does contain this
    assert "fetch" not in ran(run("dvc repro join", other).stdout)
    assert kept(other) == kept(one)


def test_dvc_sees_another_archive_at_a_url_by_its_etag(
    clean: Path, run: Run, httpserver: HTTPServer, tmp_path: Path
) -> None:
    """Naming the URL again does not fetch it; a new ETag does."""

    def serve(version: str) -> None:
        archive = Path(shutil.make_archive(str(tmp_path / version), "zip", clean / "mine"))
        httpserver.clear()
        headers = {"ETag": f'"{version}"'}
        httpserver.expect_request("/mine.zip").respond_with_data(archive.read_bytes(), headers=headers)

    serve("first")
    set_params(clean, fetch__folder=httpserver.url_for("/mine.zip"))
    assert ran(run("dvc repro join", clean).stdout) == ["fetch"]  # the same bytes, so join does not run
    assert ran(run("dvc repro join", clean).stdout) == []
    before = kept(clean)
    drop_rows(clean / "mine" / JUDGEMENTS_FILE, slice(0, 10))
    serve("second")
    assert "mine.zip" in run("dvc status fetch", clean).stdout
    assert ran(run("dvc repro join", clean).stdout) == ["fetch", "join"]
    assert kept(clean) < before

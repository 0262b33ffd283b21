"""The real pipeline, run by the documents' own commands in a scratch clone with a tiny base model: its outputs."""

import csv
import html
import json
import re
import shlex
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import requests
import yaml
from sklearn.metrics import ndcg_score

from ranker.base.base_model import folder_digest
from ranker.common.files import read_json, sha256, write_json
from ranker.metrics.ranking import MEASURES, relevant_queries
from ranker.project import paths
from ranker.project.params import load_params
from ranker.serving.ranker import Ranker
from ranker.vespa.query import read_settings
from tests.applications import write_package
from tests.browser import Browser, marks
from tests.conftest import QUERIES
from tests.factories import ROOT, Run, set_params
from tests.pipeline import STAGES, metrics, ran
from tests.readme import command, recipe
from tests.service import running

# The int8 model is there only if it passed the gate, which depends on this chip.
SYSTEMS = ["cross_encoder", "cross_encoder_int8", "retriever", "bm25", "base_cosine", "random"]
PLOTS = {
    *("learning curve", "held-out nDCG@10", "gain", "per query"),
    *("calibration", "ROC", "depth", "precision and recall"),
}


def systems(repository: Path) -> list[str]:
    there = (repository / paths.RANKER / "model.int8.onnx").is_file()
    return [name for name in SYSTEMS if there or name != "cross_encoder_int8"]


def test_dvc_exp_run_of_own_files_runs_all_stages_and_counts_what_the_files_lack(repository: Path) -> None:
    log = Path(f"{repository}.log").read_text()
    assert sorted(ran(log)) == sorted(STAGES)
    counts = read_json(repository / paths.JOIN_COUNTS)
    assert counts["kept"]["queries"] == QUERIES
    assert counts["dropped"]["grade_below_0"] == 1
    assert counts["dropped"]["unknown_query"] > 900
    sides = read_json(repository / paths.SPLIT_COUNTS)
    assert sides["training"]["pairs"] + sides["held_out"]["pairs"] == counts["kept"]["pairs"]
    assert sides["leakage"]["queries_seen"] == 0
    assert f"train: {sides['training']['pairs']} pairs, {sides['held_out']['pairs']} held out;" in log
    assert f"on {sides['held_out']['pairs']} held-out pairs" in log  # export compares on these pairs only


def test_evaluate_compares_what_it_measured(repository: Path) -> None:
    """The audit recomputes the measures themselves."""
    comparison, found = read_json(repository / paths.COMPARISON), metrics(repository)
    held_out = read_json(repository / paths.SPLIT_COUNTS)["held_out"]
    assert set(found) == set(systems(repository))
    assert {tuple(values) for values in found.values()} == {tuple(MEASURES)}
    assert list(comparison["systems"]) == list(comparison["unseen_documents"]["systems"]) == systems(repository)
    assert list(comparison["differences"]) == systems(repository)[1:]
    assert comparison["left_out"] == {}
    for system, by_measure in comparison["systems"].items():
        for measure, interval in by_measure.items():
            assert interval["mean"] == pytest.approx(found[system][measure])
            assert 0 <= interval["low"] <= interval["mean"] <= interval["high"] <= 1
    for system, by_measure in comparison["differences"].items():
        for measure, difference in by_measure.items():
            assert difference["mean"] == pytest.approx(found["cross_encoder"][measure] - found[system][measure])
            assert (difference["verdict"] != "no significant difference") == (difference["p_holm"] < 0.05)
            assert difference["p"] <= difference["p_holm"]
    strongest = comparison["headline"]["strongest"]
    assert found[strongest]["nDCG@10"] == max(found[name]["nDCG@10"] for name in SYSTEMS[3:])
    assert 0 < comparison["unseen_documents"]["pairs"] < held_out["pairs"]
    told, run_table = read_json(repository / paths.MEASURES), pd.read_parquet(repository / paths.RUN)
    assert told["queries"] + told["queries_without_a_relevant_pair"] == run_table["query_id"].nunique()
    assert list(told["over_all_pairs"]) == ["cross_encoder", "bm25", "base_cosine"]
    folds = pd.read_parquet(repository / paths.SPLIT_PAIRS)
    assert set(run_table["query_id"]) == set(folds.loc[folds["fold"] == 0, "query_id"])


def test_export_seals_what_it_made(repository: Path, base_model: Path, run: Run) -> None:
    """Compute the digests of code by sha256sum, over the files that the stages declare."""
    folder = repository / paths.RANKER
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {name: sha256(folder / name) for name in manifest["files"]} == manifest["files"]
    assert {file.name for file in folder.iterdir()} == {*manifest["files"], "manifest.json"}
    made_of = manifest["made_of"]
    trained_on = (paths.SPLIT_PAIRS, paths.SPLIT_QUERIES, paths.SPLIT_DOCUMENTS)
    assert made_of["data"] == {path.as_posix(): sha256(repository / path) for path in trained_on}
    assert made_of["base_model"] == folder_digest(base_model)
    assert made_of["trained_on"]["precision"] == "fp32"
    assert made_of["trained_on"]["versions"]["torch"] == version("torch")
    stages = yaml.safe_load((repository / "dvc.yaml").read_text())["stages"]
    for stage in ("train", "export"):
        code = sorted(dep for dep in stages[stage]["deps"] if dep.startswith(("ranker/", "stages/")))
        sums = [
            f"(cd {Path(dep).parent} && find {Path(dep).name} -name '*.py' | LC_ALL=C sort | xargs sha256sum)"
            for dep in code
        ]
        assert made_of["code"][stage] == run(f"({' && '.join(sums)}) | sha256sum", repository).stdout.split()[0]
    assert manifest["params"]["train"]["precision"] == "fp32"
    contract = json.loads((folder / "encoding.json").read_text())
    assert contract["tokenizer_sha256"] == sha256(folder / "tokenizer.json")
    assert (contract["query_input_size"], contract["doc_input_size"], contract["max_length"]) == (32, 96, 128)


def test_export_measures_both_models_and_names_what_is_in_each(repository: Path) -> None:
    """The fp32 model's equal evaluate's; the int8 model's equal the manifest's, which are held-out if it passed."""
    folder = repository / paths.RANKER
    manifest, report = read_json(folder / "manifest.json"), read_json(repository / paths.EXPORT_REPORT)
    fp32, int8 = (folder / name for name in ("model.onnx", "model.int8.onnx"))
    assert report["fp32"]["nDCG@10"] == pytest.approx(metrics(repository)["cross_encoder"]["nDCG@10"], abs=1e-3)
    assert report["fp32"]["largest logit difference from PyTorch"] < 1e-4
    assert report["fp32"]["MiB"] == fp32.stat().st_size / 2**20
    last = manifest["int8"]["tried"][-1]
    assert last["passed"] == int8.is_file()
    assert manifest["int8"]["chosen"] == (last["scheme"] if last["passed"] else None)
    size = int8.stat().st_size / 2**20 if last["passed"] else 0.0
    assert report["int8"] | {"left_out": last["left_out"]} == {"MiB": size} | last | manifest["int8"]["held out"]
    metadata: dict[str, tuple[Path, dict[str, str]]] = {"fp32": (fp32, {})}
    if last["passed"]:
        metadata["int8"] = int8, {"quantisation": last["scheme"]}
    assert list(manifest["onnx"]) == list(metadata)
    for file, more in metadata.values():
        found = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
        assert found == {"name": manifest["name"], "version": manifest["version"]} | more
    assert manifest["onnx"]["fp32"]["opsets"] == {"ai.onnx": 17}


def test_export_chooses_int8_on_training_side_pairs(repository: Path) -> None:
    """With few queries and pairs all of them are used; the report is on the held-out pairs."""
    held_out = pd.read_parquet(repository / paths.SPLIT_PAIRS)["fold"] == 0
    assert sum(held_out) != sum(~held_out)
    found = json.loads((repository / paths.RANKER / "manifest.json").read_text())["int8"]
    assert {trial["in batches"]["pairs"] for trial in found["tried"]} == {sum(~held_out)}
    assert [way["pairs"] for way in found["held out"].values()] == [sum(held_out)] * 2 * bool(found["chosen"])
    pairs = pd.read_parquet(repository / paths.SPLIT_PAIRS)[~held_out]
    texts = {
        name: dict(pd.read_parquet(repository / path)[[f"{name}_id", text]].to_numpy())
        for name, path, text in (("query", paths.SPLIT_QUERIES, "query"), ("document", paths.SPLIT_DOCUMENTS, "text"))
    }
    ranker, ndcg = Ranker(repository / paths.RANKER), []
    for query_id, rows in relevant_queries(pairs).groupby("query_id"):
        encoded = ranker.encode_documents([texts["document"][name] for name in rows["document_id"]])
        scores = ranker.score(ranker.encode_query(texts["query"][query_id]), encoded)
        ndcg.append(ndcg_score([rows["grade"]], [scores], k=10, ignore_ties=True))
    assert found["tried"][0]["in batches"]["nDCG@10 in fp32"] == pytest.approx(np.mean(ndcg), abs=1e-3)


def test_report_shows_what_was_measured(repository: Path) -> None:
    page = (repository / paths.REPORT).read_text()
    for values in metrics(repository).values():
        assert f"{values['nDCG@10']:.3f} <small>" in page
    assert sha256(repository / paths.RANKER / "model.onnx") in page
    assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=", page)


def test_make_repro_ends_with_the_answer(repository: Path, run: Run) -> None:
    summary = recipe("repro")[-1]
    shown = run(summary, repository).stdout
    names = {
        "bm25": "BM25 ",
        "hybrid": "BM25 + retriever ",
        "hybrid+fused": "BM25 + retriever + cross-encoder ",
        "perfect": "perfect order ",
    }
    for stack, name in names.items():
        (row,) = [line for line in shown.splitlines() if re.match(f"{re.escape(name)} *[0-9]", line)]
        values = read_json(repository / paths.STACK_METRICS / f"{stack}.json")
        values = [values[name] for name in ("nDCG@10", "RR@10", "R@100", "Judged@10", "nDCG@10, condensed")]
        assert row.removeprefix(name).split()[:5] == [f"{value:.3f}" for value in values]
    assert f"report: {paths.REPORT}" in shown
    query = shlex.split(next(line for line in shown.splitlines() if "python -m ranker search" in line))[4]
    assert query in pd.read_csv(repository / paths.PER_QUERY)["query"].tolist()
    assert "differ from the committed" not in shown
    assert "trained with" not in shown


def test_every_run_says_its_verdict_and_what_follows(clean: Path, run: Run) -> None:
    """Stage report, `make repro`'s summary, which also speaks when nothing runs, and the page have the same text."""
    set_params(clean, export__version="0.2.0", export__name="shop-ranker")
    stage = run("python -m stages.report", clean).stdout.splitlines()
    page = (clean / paths.REPORT).read_text()
    text = html.unescape(re.sub("<[^>]+>", "", re.sub("</?code>", "`", page)))
    said = [line.removeprefix("report: ") for line in stage[:-1]]
    assert re.match(r"Training (beats|shows no gain over|loses to) |Whether training beats ", said[0])
    assert re.match(r"The cross-encoder (adds to|shows no gain|takes away)|Whether the cross-encoder adds ", said[1])
    steps = [line.removeprefix("next: ") for line in said if line.startswith("next: ")]
    assert 1 <= len(steps) <= 2
    assert all(line in text for line in (*said[0].split(": ", 1), *said[1 : -len(steps)], *steps))
    collection = load_params(clean / "params.yaml").fetch.folder.split("/")[-1]
    assert f"<h1>shop-ranker 0.2.0 on {collection}</h1>" in page
    summary = " ".join(run(command("python -m scripts.summary"), clean).stdout.split())
    assert all(" ".join(line.split()) in summary for line in said)
    assert run("python -m stages.report", clean, VERDICT="later").stdout == f"report: {paths.REPORT}\n"


def test_make_repro_says_that_a_model_was_trained_on_another_machine(clean: Path, run: Run) -> None:
    file = clean / paths.CHECKPOINT / paths.TRAINING_FILE
    recorded = read_json(file)
    write_json(file, recorded | {"threads": 99, "chip": {"processor": "another", "instructions": []}})
    shown = run(recipe("repro")[-1], clean).stdout
    assert f"trained with threads 99, found {recorded['threads']} here" in shown
    assert "trained with chip {'processor': 'another', 'instructions': []}, found {" in shown
    page = (clean / paths.REPORT).read_text()
    assert all(f">{value}<" in page for value in recorded["versions"].values())


def printed_by(example: str, shown: str, folder: Path, run: Run) -> str:
    """Run a document's Python in a folder, with the models that passed their gates on this chip; print `shown`."""
    for model in (paths.RANKER, paths.RETRIEVER):
        if not (folder / model / "model.int8.onnx").is_file():
            example = example.replace(f'Path("{model.as_posix()}"), "int8")', f'Path("{model.as_posix()}"))')
    (folder / "example.py").write_text(f"{example}print({shown})\n")
    return run("python -c 'exec(open(\"example.py\").read())'", folder).stdout


def test_python_of_the_documents(clean: Path, run: Run) -> None:
    readme, *serving = (
        block
        for document in (ROOT / "README.md", ROOT / "docs/serving.md")
        for block in re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL)
    )
    best, searched, cosines = serving
    one_row = r"\[\([01], -?[0-9.]+\)\]\n"
    assert re.fullmatch(one_row, printed_by(best, "ranker.rank('bats', documents, top=1)", clean, run))
    assert printed_by(searched, "[hit.row for hit in search.find('bats', top=1)]", clean, run) == "[1]\n"
    assert printed_by(cosines, "cosines.shape, bool((abs(cosines) < 1.001).all())", clean, run) == "(2,) True\n"
    asked = "ranker.rank('coronavirus origin', ranker.encode_documents(titles), top=1)"
    assert re.fullmatch(one_row, printed_by(readme, asked, clean, run))


def test_ranker_commands_of_the_documents(clean: Path, run: Run, tmp_path: Path) -> None:
    three = command('python -m ranker search "masks in hospitals" --documents data/joined/documents.parquet --top')
    ten = command('python -m ranker search "masks in hospitals" --documents data/joined/documents.parquet --explain')
    for line, count in ((three, 3), (ten, 10)):
        trace = run(line, clean, XDG_CACHE_HOME=str(tmp_path)).stdout.splitlines()
        assert trace[0].startswith("hybrid+fused over ")
        assert len(trace) == 6 + 2 * count
    with running(
        clean, *command("python -m ranker serve --documents").split()[4:], "--vectors", str(tmp_path)
    ) as server:
        answer = requests.get(f"{server.url}/search?query=masks+in+hospitals&top=3", timeout=60).json()
    assert [f"{hit['rank']:>4}  {hit['score']:.3f}" for hit in answer["hits"]] == [row[:11] for row in trace[6:12:2]]
    table = run(command("python -m ranker rank"), clean).stdout.splitlines()
    assert len(table) == 1 + 3
    documents = pd.read_parquet(clean / paths.DOCUMENTS)
    feed = run(command("python -m ranker feed data"), clean)
    assert feed.stdout == f"feed: feed.jsonl: {len(documents)} documents of title\n"
    fed = [json.loads(line) for line in (clean / "feed.jsonl").read_text().splitlines()]
    assert [row["fields"]["document_id"] for row in fed] == documents["document_id"].tolist()
    run(command('python -m ranker query "masks in hospitals" > query.json'), clean)
    body = json.loads((clean / "query.json").read_text())
    assert (body["ranking"], body["language"], body["timeout"]) == ("ranker", "en", "5000ms")
    assert [row["fields"]["title"] for row in fed] == documents["title"].tolist()


def test_package_is_asked_by_other_profiles_and_has_an_older_one_beside(clean: Path, run: Run) -> None:
    bodies = {}
    for line in (
        command('python -m ranker query "masks in hospitals" --stack dense > dense.json'),
        command('python -m ranker query "masks in hospitals" --stack dense --hits 100 > index.json'),
        command('python -m ranker query "masks in hospitals" --stack dense --hits 100 --exact > exact.json'),
    ):
        run(line, clean)
        name = line.split("> ")[1]
        bodies[name] = json.loads((clean / name).read_text())
    assert {body["ranking"] for body in bodies.values()} == {"dense_0_1_0"}
    assert bodies["index.json"]["yql"].replace("100}", "100, approximate: false}") == bodies["exact.json"]["yql"]
    shipped = read_settings(clean / paths.VESPA)
    older = replace(shipped, names=replace(shipped.names, version="0.0.9"))
    write_package(clean / "older/vespa", clean / paths.RANKER, older, retriever=clean / paths.RETRIEVER)
    said = run(command("python -m ranker beside"), clean).stdout
    assert said == "beside: both: version 0.1.0, and 0.0.9 beside it\n"
    assert (clean / "both/schemas/doc/hybrid_fused_0_0_9.profile").is_file()


def test_release_comes_back_where_there_is_no_project(clean: Path, run: Run, tmp_path: Path) -> None:
    """Release to a separate DVC remote and fetch into an empty folder, by version, by path, and by no other name."""
    here = {"STORAGE": str(tmp_path / "storage"), "REPOSITORY": str(clean)}
    run("git checkout -q -b release", clean)
    try:
        run(command("dvc remote add"), clean, **here)
        (line,) = recipe("release")
        said = run(line.replace("$(SEEDS)", "[13]"), clean, REASON="two folds of ten queries")
        assert "release: cord19-ranker@v0.1.0 registered" in said.stdout
        assert "release: cord19-ranker-retriever@v0.1.0 registered" in said.stdout
        consumer = tmp_path / "consumer"
        consumer.mkdir()
        retriever = f"dvc artifacts get {clean} cord19-ranker-retriever --rev v0.1.0 --out retriever"
        by_version = command("dvc artifacts get $REPOSITORY cord19-ranker --rev")
        lines = {"ranker": by_version, "vespa": command("dvc get"), "retriever": retriever}
        for folder, fetch in lines.items():
            run(fetch, consumer, **here)
            expected = {file.name: sha256(file) for file in (clean / "models" / folder).rglob("*") if file.is_file()}
            found = {file.name: sha256(file) for file in (consumer / folder).rglob("*") if file.is_file()}
            assert found == expected != {}
        refused = run(f"dvc artifacts get {clean} shop-ranker", consumer, check=False)
        assert "Unable to find artifact 'shop-ranker'" in refused.stderr
        ranker = Ranker(consumer / "ranker")
        assert ranker.rank("masks", ranker.encode_documents(["Masks in wards"]))
    finally:
        run("git checkout -q -f - && git branch -q -D release", clean)
        run("git tag -d $(git tag)", clean)


def test_dvc_shows_metrics_differences_and_the_dag(clean: Path, run: Run) -> None:
    shown = run(command("dvc metrics show"), clean).stdout
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines()}
    for system, values in metrics(clean).items():
        row = rows[f"results/metrics/{system}.json"]
        assert f"{values['nDCG@10']:.5f}".rstrip("0") in row
    assert "evaluate" in run(command("dvc dag"), clean).stdout
    set_params(clean, train__epochs=2)
    (clean / paths.METRICS / "bm25.json").write_text('{"nDCG@10": 0.5}')
    assert re.search(r"params.yaml\s+train.epochs\s+1\s+2", run(command("dvc params diff"), clean).stdout)
    assert re.search(r"bm25.json\s+nDCG@10\s+[0-9.]+\s+0.5\s", run(command("dvc metrics diff"), clean).stdout)


def test_dvc_plots_draw_what_dvc_yaml_has(clean: Path, run: Run) -> None:
    shown = json.loads(run("dvc plots show --json", clean).stdout)
    assert "errors" not in shown
    assert set(shown["data"]) == PLOTS
    values = {name: plot["content"]["data"]["values"] for name, (plot,) in shown["data"].items()}
    assert len(values["learning curve"]) > len(values["held-out nDCG@10"]) == 2  # before training, and after an epoch
    with (clean / paths.PER_QUERY).open() as file:
        names = {row["name"] for row in csv.DictReader(file)}
    for name in ("per query", "gain"):
        assert sorted(value["name"] for value in values[name]) == sorted(names)  # one bar a query
    assert len(values["calibration"]) == 2 * 10  # ten bins, and the diagonal
    assert {value["field"] for value in values["calibration"]} == {"relevant_share", "calibrated"}
    assert {value["field"] for value in values["ROC"]} == {"cross_encoder", "bm25", "base_cosine"}


@pytest.mark.parametrize("asked", [command("dvc plots show"), command("dvc plots diff")])
def test_dvc_plots_pages_draw_every_plot(clean: Path, run: Run, chromium: Browser, asked: str) -> None:
    run(f"python -m scripts.plots_page {clean / 'plots.html'}", clean)  # as make does once
    run(f"dvc config --local plots.html_template {clean / 'plots.html'}", clean)
    run(asked, clean)
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    names = {values["title"]: name for plot in declared for name, values in plot.items()}
    for width in (1280, 400):
        drew = marks(chromium, clean / "dvc_plots/index.html", width)
        shown = {names[caption]: count for caption, count in drew.items()}
        assert set(shown) == PLOTS
        assert all(shown.values()), shown
        lines = 3 if "show" in asked else 6
        assert shown["ROC"] == shown["depth"] == shown["precision and recall"] == lines


def test_report_draws_every_plot(repository: Path, chromium: Browser) -> None:
    for width in (1280, 400):
        shown = marks(chromium, repository / paths.REPORT, width)
        assert len(shown) == 6
        assert all(shown.values()), shown

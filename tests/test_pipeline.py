"""The real pipeline, by the README's own commands, in a scratch clone with a tiny base model."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pandas as pd
import pytest
from pytest_httpserver import HTTPServer
from sklearn.metrics import ndcg_score

from ranker import tables
from ranker.files import sha256
from tests.conftest import ROOT, Run
from tests.hub import REVISION, serve_model

README = (ROOT / "README.md").read_text()
# What .ci/run runs, and what only changes the shell's PATH, which these tests do themselves.
ELSEWHERE = {"make repro", "make test", "source .venv/bin/activate"}
COMMANDS = [
    command.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for command in block.strip().splitlines()
]


def command(start: str) -> str:
    """The README's one command that starts so."""
    (found,) = [command for command in COMMANDS if command.startswith(start)]
    return found


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory,
    copy_project: Callable[[Path], Path],
    base_model: Path,
    run: Run,
) -> Path:
    """A scratch repository whose params name the tiny base model; `dvc repro` has run and is committed."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    (folder / "dvc.lock").unlink(missing_ok=True)
    params = (folder / "params.yaml").read_text()
    tiny = {"base_model": f"path:{base_model}", "base_model_sha256": '""', "queries": "40", "epochs": "1"}
    for name, value in tiny.items():
        params = re.sub(rf"(?m)^  {name}: \S+", f"  {name}: {value}", params)
    (folder / "params.yaml").write_text(params)
    run("git commit -qam params", folder)
    run("dvc repro", folder)
    run("git add -A && git commit -qm repro", folder)
    return folder


@pytest.fixture
def clean(project: Path, run: Run) -> Path:
    """The project as it was committed."""
    run("git checkout -q . && dvc checkout -q", project)
    return project


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


SYSTEMS = ["ranker", "bm25", "base_cosine", "topic_prior", "random"]
PLOTS = {
    "learning curve",
    "held-out nDCG@10",
    "per query",
    "gain over BM25",
    "gain over BM25, out of fold",
    "calibration",
    "ROC",
    "precision and recall",
}
STAGES = ["fetch", "join", "encode", "embed", "distil", "split", "train", "export", "evaluate", "report"]


def measures(folder: Path) -> dict[str, Any]:
    return json.loads((folder / tables.MEASURES).read_text())


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '(\w+)'", output)


def test_every_command_of_the_readme_is_run() -> None:
    source = Path(__file__).read_text()
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


def test_nothing_runs_twice_and_all_of_it_gives_the_same_bytes(clean: Path, run: Run) -> None:
    before, lock = outputs(clean), (clean / "dvc.lock").read_text()
    assert len(before) > 20
    assert ran(run(command("dvc repro"), clean).stdout) == []
    again = run("dvc repro --force", clean, PYTHONHASHSEED="7", TZ="Asia/Tokyo", LC_ALL="C")
    assert ran(again.stdout) == STAGES
    assert outputs(clean) == before
    assert (clean / "dvc.lock").read_text() == lock
    sides = json.loads((clean / tables.SPLIT_COUNTS).read_text())
    assert sides["training"]["pairs"] + sides["held_out"]["pairs"] == 1619
    assert f"train: {sides['training']['pairs']} pairs, {sides['held_out']['pairs']} held out;" in again.stdout
    assert f"over {sides['held_out']['pairs']} held-out pairs" in again.stdout  # export compares on these alone


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
    assert not {"fetch", "join", "encode", "embed", "distil", "split"} & set(ran(result.stdout))
    shown = run(command("dvc exp show"), clean).stdout
    rows = {tuple(cell.strip() for cell in line.split("|")[-3:-1]) for line in shown.splitlines()}
    assert {(trainable, rate) for trainable in ("head", "all") for rate in ("5e-05", "0.001")} <= rows
    assert not re.findall(r"\|\s*!\s*\|", shown), shown


def test_sizes_do_not_re_encode(clean: Path, run: Run) -> None:
    result = run("dvc repro --dry", clean)
    assert ran(result.stdout) == []
    params = (clean / "params.yaml").read_text()
    (clean / "params.yaml").write_text(params.replace("query_input_size: 32", "query_input_size: 16"))
    assert ran(run("dvc repro --dry", clean).stdout)[:2] == ["distil", "train"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("epochs: 1 ", "epochs: three "), "params.yaml: train.epochs: Input should be a valid integer, found 'three'"),
        (("  epochs:", "  epoch:"), "params.yaml: train.epochs: expected a value, found none (and 1 more)"),
        (("doc_input_size: 96", "doc_input_size: 512"), "train: encode: expected query_input_size + doc_input_size"),
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
    run("git checkout -q . && dvc checkout", clean)
    assert outputs(clean) == before


def test_a_wrong_digest_stops_fetch(clean: Path, run: Run) -> None:
    result = run(f"dvc exp run -S fetch.base_model_sha256={'0' * 64}", clean, check=False)
    assert f"model.safetensors: expected sha256 {'0' * 64}, found" in result.stderr


def test_another_clone_gives_the_same_bytes(clean: Path, run: Run, tmp_path: Path) -> None:
    run(f"git clone -q . {tmp_path / 'elsewhere'}", clean)
    run("dvc repro", tmp_path / "elsewhere")
    assert outputs(tmp_path / "elsewhere") == outputs(clean)
    shutil.rmtree(tmp_path / "elsewhere")


def test_the_tutorials_split_claims_more(clean: Path, run: Run) -> None:
    """By pair, queries are on both sides; what a query alone tells is then worth something."""
    before = measures(clean)
    result = run(command("dvc exp run -S split.by=pair"), clean)
    assert ran(result.stdout)[0] == "split"
    leakage = json.loads((clean / tables.SPLIT_COUNTS).read_text())["leakage"]
    assert leakage["queries_seen"] == 1
    assert before["topic_prior"]["ROC AUC"] == 0.5
    assert measures(clean)["topic_prior"]["ROC AUC"] > 0.5
    refused = run("dvc repro crossval/dvc.yaml", clean, check=False)
    assert "params.yaml: split.by: expected query, for cross-validation holds out queries, found pair" in refused.stderr


@pytest.fixture(scope="module")
def crossval(project: Path, run: Run) -> Path:
    """The project cross-validated: three folds, two seeds."""
    run("git checkout -q . && dvc checkout -q", project)
    params = (project / "params.yaml").read_text()
    for old, new in (
        ("folds: 5 ", "folds: 3 "),
        ("folds: [0, 1, 2, 3, 4]", "folds: [0, 1, 2]"),
        ("seeds: [13, 14, 15]", "seeds: [13, 14]"),
    ):
        assert old in params
        params = params.replace(old, new)
    (project / "params.yaml").write_text(params)
    result = run(command("dvc repro crossval"), project)
    models = [f"crossval/dvc.yaml:ranker@{seed}-{fold}" for seed in (13, 14) for fold in range(3)]
    models += [f"crossval/dvc.yaml:{recipe}@{fold}" for recipe in ("head_only", "inner") for fold in range(3)]
    found = re.findall(r"Running stage '([^']+)'", result.stdout)
    assert found[0] == "split"  # nothing is encoded again
    assert sorted(found[1:]) == sorted([*models, "crossval/dvc.yaml:compare", "crossval/dvc.yaml:report"])
    run("git add -A && git commit -qm crossval", project)
    return project


def test_crossval_covers_every_query_with_models_that_have_not_seen_it(crossval: Path) -> None:
    folds = pd.read_parquet(crossval / tables.FOLDS).drop_duplicates("query_id").set_index("query_id")["fold"]
    for recipe, seed in (("ranker", 13), ("ranker", 14), ("head_only", 13)):
        for fold in range(3):
            scores = pd.read_parquet(crossval / tables.crossval_scores(recipe, seed, fold))
            assert set(scores["query_id"]) == set(folds[folds == fold].index)
    pairs = pd.read_parquet(crossval / tables.PAIRS)
    scored = pd.read_parquet(crossval / tables.CROSSVAL_RUN)
    judged = scored[scored["grade"].notna()]
    assert set(scored["system"]) == set(CROSSVAL_SYSTEMS)
    for _, rows in judged.groupby(["system", "seed"], dropna=False):
        assert len(rows) == len(pairs)
        assert rows["query_id"].nunique() == 50
    assert scored["grade"].isna().any()  # candidates that nobody judged


CROSSVAL_SYSTEMS = ["ranker", "fusion", "bm25", "base_cosine", "topic_prior", "random", "head_only"]


def test_crossval_is_that_of_the_scores(crossval: Path) -> None:
    """nDCG@10 of every system again, by scikit-learn, from the scores; differences and layout."""
    found = json.loads((crossval / tables.CROSSVAL).read_text())
    assert list(found["systems"]) == CROSSVAL_SYSTEMS
    assert list(found["differences"]) == CROSSVAL_SYSTEMS[1:]
    measured = {"nDCG@10", "nDCG@10 (exponential gain)", "P@5", "AP", "RR", "Judged@10"}
    assert all(set(by_measure) == measured for by_measure in found["systems"].values())
    run_table = pd.read_parquet(crossval / tables.CROSSVAL_RUN)
    run_table = run_table[run_table["grade"].notna()].sort_values("document_id", ascending=False)
    means = {}
    for system, rows in run_table.groupby("system"):
        values = [
            ndcg_score([query["grade"]], [-query["score"].rank(method="first", ascending=False)], k=10)
            for _, query in rows.groupby(["seed", "query_id"], dropna=False)
        ]
        means[system] = sum(values) / len(values)
    for system, by_measure in found["systems"].items():
        assert by_measure["nDCG@10"]["mean"] == pytest.approx(means[system])
    for system, by_measure in found["differences"].items():
        assert by_measure["nDCG@10"]["mean"] == pytest.approx(means["ranker"] - means[system])
    assert {"13", "14", "spread"} == set(found["seeds"]["ranker"]["nDCG@10"])
    assert found["seeds"]["ranker"]["nDCG@10"]["13"] != found["seeds"]["ranker"]["nDCG@10"]["14"]
    assert [sum(weights.values()) for weights in found["fusion_weights"].values()] == pytest.approx([1, 1, 1])


def test_crossval_fold_zero_is_the_pipelines_own_model(crossval: Path, run: Run) -> None:
    """The same seed and fold by `dvc repro`: scores of the ONNX file against those of the cross-validation."""
    run("dvc repro evaluate", crossval)
    own = pd.read_parquet(crossval / tables.RUN)
    scores = pd.read_parquet(crossval / tables.crossval_scores("ranker", 13, 0))
    both = own.merge(scores, on=["query_id", "document_id"])
    assert len(both) == len(own)
    assert both["score"].to_numpy() == pytest.approx(both["ranker"].to_numpy(), abs=1e-4)


def test_crossval_runs_nothing_twice(crossval: Path, run: Run) -> None:
    assert "Running stage" not in run("dvc repro crossval/dvc.yaml", crossval).stdout
    assert "inner.nDCG@10" in run(command("dvc metrics show results/crossval"), crossval).stdout
    page = (crossval / tables.CROSSVAL_REPORT).read_text()
    assert "Cross-validation" in page
    assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=", page)

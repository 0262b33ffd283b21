"""The real cross-validation and the leaking split, by the README's own commands, with a tiny base model."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import ndcg_score

from ranker.project import paths
from tests.conftest import Run
from tests.readme import command

SYSTEMS = ["ranker", "fusion", "bm25", "base_cosine", "topic_prior", "random", "head_only"]


def test_the_tutorials_split_has_queries_on_both_sides(clean: Path, run: Run) -> None:
    before = json.loads((clean / paths.MEASURES).read_text())
    result = run(command("dvc exp run -S split.by=pair"), clean)
    assert re.findall(r"Running stage '([^']+)'", result.stdout)[0] == "split"
    leakage = json.loads((clean / paths.SPLIT_COUNTS).read_text())["leakage"]
    assert leakage["queries_seen"] == 1
    assert before["topic_prior"]["ROC AUC"] == 0.5
    after = json.loads((clean / paths.MEASURES).read_text())
    assert after["topic_prior"]["ROC AUC"] != 0.5  # it orders pairs of different queries
    refused = run("dvc repro crossval/dvc.yaml", clean, check=False)
    assert "params.yaml: split.by: expected query, for cross-validation holds out queries, found pair" in refused.stderr


@pytest.fixture(scope="module")
def crossval(project: Path, run: Run) -> Path:
    """The project cross-validated: three folds, two seeds."""
    run("git checkout -q . && dvc checkout -q dvc.yaml", project)
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
    folds = pd.read_parquet(crossval / paths.FOLDS).drop_duplicates("query_id").set_index("query_id")["fold"]
    for recipe, seed in (("ranker", 13), ("ranker", 14), ("head_only", 13)):
        for fold in range(3):
            scores = pd.read_parquet(crossval / paths.crossval_scores(recipe, seed, fold))
            assert set(scores["query_id"]) == set(folds[folds == fold].index)
    pairs = pd.read_parquet(crossval / paths.PAIRS)
    scored = pd.read_parquet(crossval / paths.CROSSVAL_RUN)
    judged = scored[scored["grade"].notna()]
    assert set(scored["system"]) == set(SYSTEMS)
    for _, rows in judged.groupby(["system", "seed"], dropna=False):
        assert len(rows) == len(pairs)
        assert rows["query_id"].nunique() == 50
    assert scored["grade"].isna().any()  # candidates that nobody judged


def test_crossval_is_that_of_the_scores(crossval: Path) -> None:
    """nDCG@10 of every system again, by scikit-learn, from the scores; differences and layout."""
    found = json.loads((crossval / paths.CROSSVAL).read_text())
    assert list(found["systems"]) == SYSTEMS
    assert list(found["differences"]) == SYSTEMS[1:]
    measured = {"nDCG@10", "nDCG@10 (exponential gain)", "P@5", "AP", "RR", "Judged@10"}
    assert all(set(by_measure) == measured for by_measure in found["systems"].values())
    run_table = pd.read_parquet(crossval / paths.CROSSVAL_RUN)
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
    own = pd.read_parquet(crossval / paths.RUN)
    scores = pd.read_parquet(crossval / paths.crossval_scores("ranker", 13, 0))
    both = own.merge(scores, on=["query_id", "document_id"])
    assert len(both) == len(own)
    assert both["score"].to_numpy() == pytest.approx(both["ranker"].to_numpy(), abs=1e-4)


def test_a_head_alone_is_the_pipelines_own_too(crossval: Path, tmp_path: Path, run: Run) -> None:
    """On features, as stage train does it."""
    copy = Path(shutil.copytree(crossval, tmp_path / "copy", symlinks=True))
    params = (copy / "params.yaml").read_text()
    (copy / "params.yaml").write_text(re.sub(r"(?m)^  trainable: \S+", "  trainable: head", params))
    run("dvc repro evaluate && python -m crossval.train ranker 13 0", copy)
    both = pd.read_parquet(copy / paths.RUN).merge(
        pd.read_parquet(copy / paths.crossval_scores("ranker", 13, 0)), on=["query_id", "document_id"]
    )
    assert both["score"].to_numpy() == pytest.approx(both["ranker"].to_numpy(), abs=5e-3)  # features are half precise


def test_crossval_runs_nothing_twice(crossval: Path, run: Run) -> None:
    assert "Running stage" not in run("dvc repro crossval/dvc.yaml", crossval).stdout
    assert "inner.nDCG@10" in run(command("dvc metrics show results/crossval"), crossval).stdout
    run(command("dvc plots show results/crossval"), crossval)
    drawn = (crossval / "dvc_plots/index.html").read_text()
    assert len(re.findall(r'"gain": "?-?[0-9.]+', drawn)) >= 50
    page = (crossval / paths.CROSSVAL_REPORT).read_text()
    assert "Cross-validation" in page
    assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=", page)

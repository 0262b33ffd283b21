"""The real cross-validation and the leaking split, by the commands of Makefile and docs/, with a tiny base model."""

import json
import re
import shutil
from itertools import combinations
from math import log2
from pathlib import Path

import pandas as pd
import pytest
import yaml
from sklearn.metrics import ndcg_score

from crossval.compare import hits_of, pool
from crossval.train import recipe_params
from ranker.common.table import read_table
from ranker.metrics.ranking import MEASURES
from ranker.metrics.systems import RECIPES
from ranker.model.cross_encoder import load_checkpoint
from ranker.model.dataset import load_pairs
from ranker.model.predict import score
from ranker.project import paths, tables
from ranker.project.params import Params, load_params
from ranker.project.sides import held_out_rows
from tests.browser import Browser, marks
from tests.factories import PARAMS, ROOT, Run, run_module, set_params
from tests.pipeline import check_declared, ran, recorded
from tests.readme import command, recipe

FOLDS, SEEDS = [0, 1], [13, 14]
ONCE = ("bi_encoder", "tutorial", "head_only")
SYSTEMS = ["cross_encoder", "bm25", "base_cosine", *ONCE, "random"]
STAGES = yaml.safe_load((ROOT / "crossval/dvc.yaml").read_text())["stages"]


def test_crossval_has_no_stage_where_its_lists_are_empty(clean: Path, run: Run) -> None:
    assert run("dvc stage list crossval/dvc.yaml", clean).stdout == ""
    assert ran(run("dvc repro crossval/dvc.yaml", clean).stdout) == []
    run("dvc status -q", clean)  # 1 if a stage would run


def test_split_by_pair_has_queries_on_both_sides(clean: Path, run: Run) -> None:
    """The tutorial splits so. Its command runs the whole pipeline; here it stops at the count of leaks."""
    before = json.loads((clean / paths.SPLIT_COUNTS).read_text())["leakage"]
    result = run(f"{command('dvc exp run -S split.by=pair')} split", clean)
    assert ran(result.stdout) == ["split"]
    after = json.loads((clean / paths.SPLIT_COUNTS).read_text())["leakage"]
    assert (before["queries_seen"], after["queries_seen"]) == (0, 1)


@pytest.fixture(scope="module")
def crossval(project: Path, run: Run) -> Path:
    """The project cross-validated by the commands of `make crossval`, with fewer folds and seeds."""
    run("git checkout -q . && dvc checkout -q dvc.yaml", project)
    (line,) = recipe("crossval")
    asked = line.replace("[0,1,2,3,4]", json.dumps(FOLDS)).replace("[13,14,15]", json.dumps(SEEDS))
    assert asked == (
        "dvc exp run -S 'crossval.folds=[0, 1]' -S 'crossval.seeds=[13, 14]' -S 'crossval.compare=[all]' "
        "crossval/dvc.yaml"
    )
    recording = {"PYTHONPATH": str(ROOT / "tests/record"), "RECORDED": f"{project}.params"}
    result = run(asked, project, **recording)
    models = [f"cross_encoder@{seed}-{fold}" for seed in SEEDS for fold in FOLDS]
    models += [f"{name}@{fold}" for name in ONCE for fold in FOLDS]
    assert sorted(ran(result.stdout)) == sorted([*models, "compare@all", "report@all"])  # the texts were encoded before
    run("git add -A && git commit -qm crossval", project)
    return project


def test_crossval_scores_every_query_by_models_that_have_not_seen_it(crossval: Path) -> None:
    folds = pd.read_parquet(crossval / paths.SPLIT_PAIRS).drop_duplicates("query_id").set_index("query_id")["fold"]
    scored = pd.read_parquet(crossval / paths.CROSSVAL_RUN)
    for name, seeds in {"cross_encoder": SEEDS, **dict.fromkeys(ONCE, SEEDS[:1])}.items():
        for seed in seeds:
            for fold in FOLDS:
                scores = pd.read_parquet(crossval / paths.crossval_scores(name, seed, fold))
                assert set(scores["query_id"]) == set(folds[folds == fold].index)
                assert not scores.duplicated(["query_id", "document_id"]).any()
                pooled = scored[(scored["system"] == name) & ((name != "cross_encoder") | (scored["seed"] == seed))]
                both = pooled.merge(scores, on=["query_id", "document_id"])
                assert len(both) == (pooled["query_id"].map(folds) == fold).sum()
                assert (both["score_x"] == both["score_y"]).all()
    pairs = pd.read_parquet(crossval / paths.PAIRS)
    assert set(scored["system"]) == set(SYSTEMS) - {"random"}
    assert scored.groupby("system")["seed"].nunique().to_dict() == {
        name: 2 if name == "cross_encoder" else 0 for name in SYSTEMS[:-1]
    }
    for _, rows in scored.groupby(["system", "seed"], dropna=False):
        assert len(rows) == len(pairs)
        assert set(rows["query_id"]) == set(pairs["query_id"])


def test_crossval_json_is_of_the_scores(crossval: Path) -> None:
    """scikit-learn computes nDCG@10 of every system from the scores; differences and layout are checked too."""
    found = json.loads((crossval / paths.CROSSVAL).read_text())
    assert list(found["systems"]) == [name for name in SYSTEMS if name not in found["left_out"]]
    assert list(found["differences"]) == list(found["systems"])[1:]
    assert all(list(by_measure) == list(MEASURES) for by_measure in found["systems"].values())
    run_table = pd.read_parquet(crossval / paths.CROSSVAL_RUN).sort_values("document_id", ascending=False)
    means = {}
    for system, rows in run_table.groupby("system"):
        values = [
            ndcg_score([query["grade"]], [-query["score"].rank(method="first", ascending=False)], k=10)
            for _, query in rows.groupby(["seed", "query_id"], dropna=False)
            if query["relevant"].any()
        ]
        means[system] = sum(values) / len(values)
    for system in set(found["systems"]) - {"random"}:
        assert found["systems"][system]["nDCG@10"]["mean"] == pytest.approx(means[system])
        metrics = json.loads((crossval / paths.CROSSVAL_METRICS / f"{system}.json").read_text())
        assert metrics["nDCG@10"] == pytest.approx(means[system])
    for system, by_measure in found["differences"].items():
        theirs = found["systems"][system]["nDCG@10"]["mean"]
        assert by_measure["nDCG@10"]["mean"] == pytest.approx(means["cross_encoder"] - theirs)
    spread = found["seeds"]["cross_encoder"]["nDCG@10"]
    assert list(spread) == ["13", "14", "spread"]
    assert spread["13"] != spread["14"]
    assert found["unseen_documents"]["pairs"] < found["pairs"]


def test_crossval_measures_reranked_hits_too(crossval: Path) -> None:
    """Plain sums compute nDCG@10 of the hits in the cross-encoder's order, over seeds and queries."""
    found = json.loads((crossval / paths.CROSSVAL).read_text())
    assert list(found["reranked"]["systems"]) == ["cross_encoder", *ONCE, "base_cosine", "first_stage"]
    hits = pd.read_parquet(crossval / paths.HITS)
    pairs = pd.read_parquet(crossval / paths.SPLIT_PAIRS)
    pairs = pairs[pairs.groupby("query_id")["relevant"].transform("any")]
    count, values = PARAMS.order.depth, []
    for seed in SEEDS:
        files = [crossval / paths.crossval_scores("cross_encoder", seed, fold) for fold in FOLDS]
        scores = pd.concat(map(pd.read_parquet, files))
        ranked = hits[hits["rank"] <= count].merge(scores, on=["query_id", "document_id"], suffixes=("_bm25", ""))
        assert len(ranked) == (hits["rank"] <= count).sum()
        ranked = ranked.sort_values(["score", "document_id"], ascending=False)
        for query_id, judged in pairs.groupby("query_id"):
            grades = judged.set_index("document_id")["grade"]
            top = ranked.loc[ranked["query_id"] == query_id, "document_id"].head(10)
            gains = [grades.get(name, 0) for name in top] + [0] * 10
            ideal = sorted(grades, reverse=True)[:10]
            ideal += [0] * (10 - len(ideal))
            values.append(
                sum(gains[i] / log2(i + 2) for i in range(10)) / sum(ideal[i] / log2(i + 2) for i in range(10))
            )
    own = found["reranked"]["systems"]["cross_encoder"]["nDCG@10"]["mean"]
    assert own == pytest.approx(sum(values) / len(values), abs=1e-9)
    metrics = json.loads((crossval / paths.CROSSVAL_RERANKED_METRICS / "cross_encoder.json").read_text())
    assert metrics["nDCG@10"] == pytest.approx(own)
    curve = pd.read_csv(crossval / paths.CROSSVAL_DEPTH_CURVE)
    served = curve.loc[curve["depth"] == curve["depth"].max(), "cross_encoder"].item()
    assert found["reranked"]["count"] < curve["depth"].max() or served == pytest.approx(own)
    assert set(found["decides"]) == {"table", "system", "judged", "rows"}


def test_crossval_lists_what_to_judge(crossval: Path) -> None:
    listed = pd.DataFrame([row for _, row in read_table(crossval / paths.CROSSVAL_TO_JUDGE, spreadsheet=True)])
    pairs, hits = pd.read_parquet(crossval / paths.SPLIT_PAIRS), pd.read_parquet(crossval / paths.HITS)
    ids = [
        set(table[["query_id", "document_id"]].itertuples(index=False, name=None)) for table in (listed, pairs, hits)
    ]
    assert ids[0]
    assert ids[0] <= ids[2]
    assert not ids[0] & ids[1]


def test_crossval_fold_zero_is_the_pipelines_own_model(crossval: Path) -> None:
    """Compare the ONNX file that `dvc repro` makes with this seed and fold against the cross-validation's scores."""
    own = pd.read_parquet(crossval / paths.RUN)
    scores = pd.read_parquet(crossval / paths.crossval_scores("cross_encoder", 13, 0))
    both = own.merge(scores, on=["query_id", "document_id"])
    assert len(both) == len(own)
    assert both["score"].to_numpy() == pytest.approx(both["cross_encoder"].to_numpy(), abs=1e-4)


def test_crossval_recipes_are_systems_of_their_own(crossval: Path) -> None:
    """Each recipe separates pairs; the converged head orders them differently from the head after a few steps."""
    scored = pd.read_parquet(crossval / paths.CROSSVAL_RUN)
    scored = scored[scored["seed"].isna() | (scored["seed"] == 13)]
    wide = scored.pivot(index=["query_id", "document_id"], columns="system", values="score")
    trained = wide[["cross_encoder", *ONCE]]
    assert (trained.nunique() > len(trained) / 2).all()
    for one, other in combinations(trained, 2):
        assert (trained[one] - trained[other]).abs().max() > 1e-3, (one, other)
    assert trained.corr(method="spearman")["head_only"].drop("head_only").max() < 0.9


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_crossval_head_is_the_pipelines_own(
    crossval: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """A head trained in either precision scores in fp32, like the exported model (test_onnx.py)."""
    left_behind = shutil.ignore_patterns(".dvc", ".git")
    copy = Path(shutil.copytree(crossval, tmp_path / "copy", symlinks=True, ignore=left_behind))
    set_params(
        copy, train__head="classifier", train__trainable="head", train__precision=precision, train__learning_rate=0.005
    )
    monkeypatch.chdir(copy)
    for module in ("stages.features", "stages.train"):
        assert run_module(module) == 0
    assert run_module("crossval.train", "cross_encoder", "13", "0") == 0
    pairs, encoded = load_pairs(load_params())
    _, held_out = held_out_rows(pairs, 0)
    model = load_checkpoint(paths.CHECKPOINT)
    own = pairs.iloc[held_out].assign(own=score(model, encoded.take(held_out), 2048, "fp32"))
    both = own.merge(pd.read_parquet(paths.crossval_scores("cross_encoder", 13, 0)), on=["query_id", "document_id"])
    assert len(both) == len(own)
    assert both["score"].to_numpy() == pytest.approx(both["own"].to_numpy(), abs=5e-3)  # features are half precise


def test_compare_refuses_a_hit_without_a_score(crossval: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be a hit in the last place."""
    monkeypatch.chdir(crossval)
    hits, params = tables.read_table(paths.HITS), load_params()
    run = pool(params)
    assert len(hits_of(run, params)) == len(hits)
    tables.write_table(paths.HITS, pd.concat([hits, hits[-1:].assign(document_id="unscored")]))
    with pytest.raises(ValueError, match=r"expected a score of \w+ for each pair, found 1 without one"):
        hits_of(run, params)
    tables.write_table(paths.HITS, hits)


def overridden(recipe: str) -> set[str]:
    """Params for which a recipe has its own values, independent of params.yaml."""
    found = set()
    for name in PARAMS.train.model_dump():
        changed = PARAMS.train.model_copy(update={name: "changed"})
        made = recipe_params(PARAMS.model_copy(update={"train": changed}), recipe, 13)
        if getattr(made.train, name) != "changed":
            found.add(f"train.{name}")
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_crossval_params_declare_what_a_stage_reads(crossval: Path, stage: str) -> None:
    used = recorded(Path(f"{crossval}.params"))[f"crossval/{stage}"]
    if stage in RECIPES:  # the command gives the seed, and the check for all folds reads them
        check_declared(STAGES[stage], used - overridden(stage), ("train.seed", "split.folds"))
    elif stage == "report":  # its page lists all params of the model
        check_declared(STAGES[stage], used | (set(Params.model_fields) - {"export", "vespa"}))
    else:
        check_declared(STAGES[stage], used)


def test_crossval_runs_nothing_twice(crossval: Path, run: Run) -> None:
    assert ran(run("dvc repro crossval/dvc.yaml", crossval).stdout) == []


def test_crossval_is_shown(crossval: Path, run: Run, chromium: Browser) -> None:
    metrics = run(command("dvc metrics show results/crossval"), crossval).stdout
    assert "metrics/head_only.json" in metrics
    assert "reranked/perfect.json" in metrics
    run(command("dvc plots show results/crossval"), crossval)
    drawn = (crossval / "dvc_plots/index.html").read_text()
    queries = json.loads((crossval / paths.CROSSVAL).read_text())["queries"]
    assert len(re.findall(r'"gain": "?-?[0-9.]+', drawn)) >= queries
    for width in (1280, 400):
        shown = marks(chromium, crossval / paths.CROSSVAL_REPORT, width)
        assert len(shown) == 5
        assert all(shown.values()), shown
    page = (crossval / paths.CROSSVAL_REPORT).read_text()
    assert f"{PARAMS.export.name} {PARAMS.export.version} on " in page
    assert ", cross-validated: " in page
    assert "head only" in page
    assert "Served rankings" in page
    assert "How many hits to reorder" in page

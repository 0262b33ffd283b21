"""The real cross-validation and the leaking split, by the commands of Makefile and docs/, with a tiny base model."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sentence_transformers import SentenceTransformer
from sklearn.metrics import ndcg_score

from crossval.compare import hits_of, pool
from crossval.train import recipe_params
from ranker.common.files import read_json
from ranker.common.table import read_table
from ranker.metrics.ranking import MEASURES
from ranker.model.cross_encoder import load_checkpoint
from ranker.model.dataset import load_pairs
from ranker.model.predict import score
from ranker.project import paths, tables
from ranker.project.params import Params, load_params
from ranker.project.sides import held_out_rows
from tests.browser import Browser, marks
from tests.factories import PARAMS, ROOT, Run, run_module, set_params
from tests.pipeline import check_declared, ran, recorded
from tests.plain import Row, best_first, inside, measured, scores_by
from tests.readme import command, recipe

FOLDS, SEEDS, SHARE = [0, 1], [13, 14], 0.5
SEEDED, ONCE = ("cross_encoder", "retriever"), ("tutorial", "head_only")
SYSTEMS = [*SEEDED, "bm25", "base_cosine", *ONCE, "random"]
LISTS = ("bm25", "dense", "base", "run")
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
    asked = line.replace("[0,1,2,3,4]", json.dumps(FOLDS)).replace("$(SEEDS)", json.dumps(SEEDS))
    asked = asked.replace("$(SHARES)", json.dumps([SHARE]))
    assert asked == (
        "dvc exp run -S 'crossval.folds=[0, 1]' -S 'crossval.seeds=[13, 14]' -S 'crossval.shares=[0.5]' "
        "-S 'crossval.compare=[all]' crossval/dvc.yaml"
    )
    recording = {"PYTHONPATH": str(ROOT / "tests/record"), "RECORDED": f"{project}.params"}
    result = run(asked, project, **recording)
    Path(f"{project}.log").write_text(result.stdout)
    models = [f"{name}@{seed}-{fold}" for name in SEEDED for seed in SEEDS for fold in FOLDS]
    models += [f"once@{name}-{fold}" for name in ONCE for fold in FOLDS]
    models += [f"fewer@{SHARE}-{fold}" for fold in FOLDS]
    assert sorted(ran(result.stdout)) == sorted([*models, "compare@all", "report@all"])  # the texts were encoded before
    run("git add -A && git commit -qm crossval", project)
    return project


def read_scores(folder: Path, name: str, seed: int, fold: int) -> pd.DataFrame:
    """query_id, document_id and score by one model; the retriever's table has its hits, and then the judged pairs."""
    table = pd.read_parquet(folder / paths.crossval_scores(name, seed, fold))
    return table.rename(columns={"retriever": "score"})[["query_id", "document_id", "score"]]


def test_crossval_scores_every_query_by_models_that_have_not_seen_it(crossval: Path) -> None:
    folds = pd.read_parquet(crossval / paths.SPLIT_PAIRS).drop_duplicates("query_id").set_index("query_id")["fold"]
    scored = pd.read_parquet(crossval / paths.CROSSVAL_RUN)
    for name, seeds in {**dict.fromkeys(SEEDED, SEEDS), **dict.fromkeys(ONCE, SEEDS[:1])}.items():
        for seed in seeds:
            for fold in FOLDS:
                scores = read_scores(crossval, name, seed, fold)
                assert set(scores["query_id"]) == set(folds[folds == fold].index)
                assert not scores.duplicated(["query_id", "document_id"]).any()
                pooled = scored[(scored["system"] == name) & ((name in ONCE) | (scored["seed"] == seed))]
                both = pooled.merge(scores, on=["query_id", "document_id"])
                assert len(both) == (pooled["query_id"].map(folds) == fold).sum()
                assert (both["score_x"] == both["score_y"]).all()
    pairs = pd.read_parquet(crossval / paths.PAIRS)
    assert set(scored["system"]) == set(SYSTEMS) - {"random"}
    assert scored.groupby("system")["seed"].nunique().to_dict() == {
        name: 2 if name in SEEDED else 0 for name in SYSTEMS[:-1]
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
    for name in SEEDED:
        spread = found["seeds"][name]["nDCG@10"]
        assert list(spread) == ["13", "14", "spread"]
        assert spread["13"] != spread["14"]
    assert found["unseen_documents"]["pairs"] < found["pairs"]


def test_crossval_searches_by_a_retriever_that_has_not_seen_the_query(crossval: Path) -> None:
    """Fold 0 and seed 13 find what the pipeline's own model finds in fp32; every other model finds other hits.

    Each list of a model is ordered by its cosines, and no document outside it has a higher one.
    """
    own = pd.read_parquet(crossval / paths.HITS)
    found = {
        (seed, fold): pd.read_parquet(crossval / paths.crossval_scores("retriever", seed, fold))
        for seed in SEEDS
        for fold in FOLDS
    }
    queries, documents = (pd.read_parquet(crossval / path) for path in (paths.QUERIES, paths.DOCUMENTS))
    model = SentenceTransformer(str(crossval / paths.RETRIEVER), device="cpu")
    of_queries, of_documents = (model.encode(texts.tolist()) for texts in (queries["query"], documents["title"]))
    cosines = pd.DataFrame(of_queries @ of_documents.T, queries["query_id"], documents["document_id"])
    for (seed, fold), hits in found.items():
        again = np.array([cosines.at[ids] for ids in hits[["query_id", "document_id"]].itertuples(index=False)])
        same = np.abs(again - hits["retriever"].to_numpy()).max()
        assert (same < 1e-4) == ((seed, fold) == (13, 0)), (seed, fold, same)
        dense = hits.dropna(subset="dense_rank").sort_values(["query_id", "dense_rank"])
        assert (dense.groupby("query_id").size() == min(200, len(documents))).all()
        assert (dense.groupby("query_id")["retriever"].diff().dropna() <= 1e-6).all()
        last = dense.groupby("query_id")["retriever"].min()
        others = hits[hits["dense_rank"].isna()]
        assert (others["retriever"] <= others["query_id"].map(last) + 1e-6).all()
        for name in ("bm25", "base"):  # which no training changes
            lists = [table.dropna(subset=f"{name}_rank") for table in (own, hits)]
            ids = [set(rows[["query_id", "document_id", f"{name}_rank"]].itertuples(index=False)) for rows in lists]
            assert ids[1] == {row for row in ids[0] if row[0] in set(hits["query_id"])}
    best = cosines.loc[found[13, 0]["query_id"].unique()].apply(lambda row: row.nlargest(200).min(), axis=1)
    mine = found[13, 0].dropna(subset="dense_rank").groupby("query_id")["retriever"].min()
    assert mine.to_numpy() == pytest.approx(best[mine.index].to_numpy(), abs=1e-4)


def hits_with_scores(folder: Path, seed: int) -> dict[str, list[Row]]:
    """Each query's hits by the retriever and the cross-encoder of a seed and its fold."""
    tables = []
    for fold in FOLDS:
        hits = pd.read_parquet(folder / paths.crossval_scores("retriever", seed, fold))
        scores = read_scores(folder, "cross_encoder", seed, fold).rename(columns={"score": "cross_encoder"})
        tables.append(hits.merge(scores, on=["query_id", "document_id"], validate="one_to_one"))
        assert len(tables[-1]) == len(hits)
    return rows_of(pd.concat(tables))


def rows_of(hits: pd.DataFrame) -> dict[str, list[Row]]:
    """Each query's hits as plain dicts; a list that lacks one has NaN as its rank."""
    hits = hits.astype({f"{name}_rank": float for name in LISTS})
    found = {str(query_id): rows.to_dict("records") for query_id, rows in hits.groupby("query_id")}
    return {
        query_id: [{str(name): value for name, value in row.items()} for row in rows]
        for query_id, rows in found.items()
    }


def ndcg(stack: Row, hits: list[Row], grades: dict[str, int]) -> float:
    """nDCG@10 of one query's hits in a stack's order."""
    rows = inside(hits, stack, stack["depth"])
    return measured(best_first(rows, scores_by(rows, stack)), grades, set(grades), 10)["nDCG@10"]


def judged_grades(folder: Path) -> dict[str, dict[str, int]]:
    """Grades of the judged documents of each query with a relevant one."""
    pairs = pd.read_parquet(folder / paths.SPLIT_PAIRS)
    pairs = pairs[pairs.groupby("query_id")["relevant"].transform("any") & pairs["judged"]]
    return {
        str(name): dict(zip(rows["document_id"], rows["grade"], strict=True))
        for name, rows in pairs.groupby("query_id")
    }


def test_crossval_measures_the_stacks_by_plain_sums(crossval: Path) -> None:
    """nDCG@10 of every row but the fitted ones, over seeds and queries; the reranked table has the cross-encoder's."""
    found = read_json(crossval / paths.CROSSVAL)
    table, grades, values = found["stacks"], judged_grades(crossval), defaultdict(list)
    rows = {name: row for name, row in table["rows"].items() if not row["reference"] and "fitted" not in name}
    assert {"bm25", "base", "dense", "hybrid", "bm25+cross_encoder", "hybrid+fused"} <= set(rows)
    assert set(table["rows"]) - set(rows) == {"hybrid, fitted", "hybrid+fused, fitted", "tutorial", "perfect"}
    for seed in SEEDS:
        for query_id, hits in hits_with_scores(crossval, seed).items():
            for name, stack in rows.items() if query_id in grades else ():
                values[name].append(ndcg(stack, hits, grades[query_id]))
    for name, row in rows.items():
        assert len(values[name]) == len(SEEDS) * len(grades)
        assert row["measures"]["nDCG@10"]["mean"] == pytest.approx(np.mean(values[name]), abs=1e-9), name
        told = read_json(crossval / paths.CROSSVAL_STACK_METRICS / f"{name}.json")
        assert told["nDCG@10"] == pytest.approx(np.mean(values[name]), abs=1e-9)
    assert list(found["reranked"]["systems"]) == [*SEEDED, *ONCE, "base_cosine", "first_stage"]
    own = found["reranked"]["systems"]["cross_encoder"]["nDCG@10"]["mean"]
    assert own == pytest.approx(np.mean(values["hybrid+cross_encoder"]), abs=1e-9)
    metrics = read_json(crossval / paths.CROSSVAL_RERANKED_METRICS / "cross_encoder.json")
    assert metrics["nDCG@10"] == pytest.approx(own)
    assert set(found["decides"]) == {"table", "system", "judged", "rows"}


@pytest.mark.parametrize("name", ["hybrid", "hybrid+fused"])
def test_crossval_fits_a_folds_weights_on_the_others(crossval: Path, name: str) -> None:
    """The weights of each fold are the simplest within one standard error of the best on the other one's queries."""
    row = read_json(crossval / paths.CROSSVAL)["stacks"]["rows"][f"{name}, fitted"]
    grades, hits = judged_grades(crossval), [hits_with_scores(crossval, seed) for seed in SEEDS]
    folds = pd.read_parquet(crossval / paths.SPLIT_PAIRS).drop_duplicates("query_id").set_index("query_id")["fold"]
    own = (0.0, 0.25, 0.5, 1.0, 2.0) if name == "hybrid+fused" else (0.0,)
    grid = [{"cross_encoder": a, "cosine": 1.0, "bm25": b} for a in own for b in (0.0, 0.125, 0.25, 0.5, 1.0)]
    order = "as_found" if name == "hybrid" else "fused"
    stacks = [{"first_stage": "hybrid", "order": order, "depth": row["depth"], "weights": weights} for weights in grid]
    values: list[dict[str, float]] = []
    for stack in stacks:
        of = {name: [ndcg(stack, each[name], known) for each in hits] for name, known in grades.items()}
        values.append({query_id: float(np.mean(found)) for query_id, found in of.items()})

    def simplest(query_ids: list[str]) -> int:
        best = max(values, key=lambda of: sum(of[query_id] for query_id in query_ids))
        near = []
        for place, of in enumerate(values):
            differences = [best[query_id] - of[query_id] for query_id in query_ids]
            if np.mean(differences) <= np.std(differences, ddof=1) / len(differences) ** 0.5 + 1e-12:
                near.append(place)
        parts = {place: (grid[place]["cross_encoder"] > 0, grid[place]["bm25"] > 0) for place in near}
        return min(near, key=lambda place: (parts[place], -sum(values[place][query_id] for query_id in query_ids)))

    chosen = {fold: simplest([query_id for query_id in grades if folds[query_id] != fold]) for fold in FOLDS}
    expected = np.mean([values[chosen[folds[query_id]]][query_id] for query_id in grades])
    assert row["measures"]["nDCG@10"]["mean"] == pytest.approx(expected, abs=1e-9)
    assert row["weights"] == grid[simplest(list(grades))]


def test_crossval_draws_the_curve_over_judgements(crossval: Path) -> None:
    """Half of the training queries and all of them, by plain sums; the sentence is of the paired difference."""
    more, grades = read_json(crossval / paths.CROSSVAL)["stacks"]["judgements"], judged_grades(crossval)
    table = read_json(crossval / paths.CROSSVAL)["stacks"]
    queries = pd.read_parquet(crossval / paths.SPLIT_PAIRS)["query_id"].nunique()
    few = pd.concat([pd.read_parquet(crossval / paths.crossval_fewer(SHARE, fold)) for fold in FOLDS])
    hits = {
        SHARE: rows_of(few),
        1.0: hits_with_scores(crossval, SEEDS[0]),
    }
    assert set(hits[SHARE]) == set(hits[1.0])
    values: dict[str, dict[float, np.ndarray]] = defaultdict(dict)
    for name in ("dense", "hybrid", "hybrid+fused"):
        stack = table["rows"][name]
        for share, by_query in hits.items():
            of = [ndcg(stack, by_query[query_id], known) for query_id, known in grades.items()]
            values[name][share] = np.array(of)
    expected = [
        (name, queries / 2 * share, pytest.approx(values[name][share].mean())) for name in values for share in hits
    ]
    assert [(point["stack"], point["queries"], point["mean"]) for point in more["curve"]] == expected
    best = max(values, key=lambda name: values[name][1.0].mean())
    assert (more["stack"], more["from"], more["to"]) == (best, queries / 4, queries / 2)
    assert more["mean"] == pytest.approx((values[best][1.0] - values[best][SHARE]).mean())
    assert more["low"] <= more["mean"] <= more["high"]


def test_crossval_ends_with_the_stack_to_deploy(crossval: Path) -> None:
    log = Path(f"{crossval}.log").read_text()
    table = read_json(crossval / paths.CROSSVAL)["stacks"]
    deploy = re.search(r"crossval: (Deploy .*|No stack to deploy yet, .*)", log)
    assert deploy is not None
    assert deploy[1].startswith("Deploy") == (table["recommended"] is not None)
    if table["recommended"]:
        row = table["rows"][table["recommended"]]
        assert f"`dvc exp run -S first_stage.retriever={row['first_stage']} -S order.by={row['order']} " in deploy[1]
    assert "More judging is" in log


def test_crossval_lists_what_to_judge(crossval: Path) -> None:
    listed = pd.DataFrame([row for _, row in read_table(crossval / paths.CROSSVAL_TO_JUDGE, spreadsheet=True)])
    pairs = pd.read_parquet(crossval / paths.SPLIT_PAIRS)
    hits = pd.concat([read_scores(crossval, "retriever", seed, fold) for seed in SEEDS for fold in FOLDS])
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
    trained = wide[[*SEEDED, *ONCE]]
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
    params, file = load_params(), paths.crossval_scores("retriever", 13, 0)
    run, hits = pool(params), tables.read_table(file, tables.HIT)
    ranked = [tables.read_table(paths.crossval_scores("retriever", 13, fold), tables.HIT) for fold in FOLDS]
    count = sum(rows[[f"{name}_rank" for name in LISTS]].notna().any(axis=1).sum() for rows in ranked)
    assert len(hits_of(run, 13, params)) == count
    found = hits[hits["dense_rank"].notna()][-1:].assign(document_id="unscored")
    tables.write_table(file, pd.concat([hits, found]), tables.HIT)
    with pytest.raises(ValueError, match=r"expected a score of cross_encoder for each pair, found 1 without one"):
        hits_of(run, 13, params)
    tables.write_table(file, hits, tables.HIT)


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
    read = recorded(Path(f"{crossval}.params"))
    used: set[str] = set().union(*(read[f"crossval/{name}"] for name in (ONCE if stage == "once" else (stage,))))
    if stage in ("cross_encoder", "once"):  # the command gives the seed, and the check for all folds reads them
        used -= overridden("tutorial" if stage == "once" else stage)
        check_declared(STAGES[stage], used, ("train.seed", "split.folds"))
    elif stage in ("retriever", "fewer"):
        given = {"retriever.seed"} if stage == "retriever" else set()
        check_declared(STAGES[stage], used - given, ("split.folds",))
    elif stage == "report":  # its page lists all params of the model; it reads vespa's only beside a release
        check_declared(STAGES[stage], used | (set(Params.model_fields) - {"export", "vespa"}), ("vespa",))
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
        assert len(shown) == 7
        assert all(shown.values()), shown
    page = (crossval / paths.CROSSVAL_REPORT).read_text()
    assert f"{PARAMS.export.name} {PARAMS.export.version} on " in page
    assert ", cross-validated: " in page
    assert "head only" in page
    assert "Served rankings" in page
    assert "How many hits to reorder" in page


@pytest.fixture(scope="module")
def released(crossval: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """The cross-validated project with a release, and a second one that is trained on all queries by other weights."""
    folder = tmp_path_factory.mktemp("released") / "copy"
    shutil.copytree(crossval, folder, symlinks=True)
    run("git checkout -q HEAD params.yaml && dvc checkout -q dvc.yaml", folder)
    set_params(folder, crossval__folds="[]", crossval__seeds="[]", crossval__shares="[]", crossval__compare="[]")
    release(folder, run, REASON="the first")
    set_params(folder, split__held_out="none", export__version="0.2.0", order__depth=50)
    set_params(folder, evaluate__against="cord19-ranker@v0.1.0")
    run("dvc repro", folder)
    return folder


def release(folder: Path, run: Run, check: bool = True, **environment: str) -> "subprocess.CompletedProcess[str]":
    (line,) = recipe("release")
    return run(line.replace("$(SEEDS)", "[13]"), folder, check, **environment)


def test_release_of_a_model_trained_on_all_compares_both_recipes_on_todays_data(released: Path, run: Run) -> None:
    refused = release(released, run, check=False)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == (
        "release: cord19-ranker 0.2.0 is refused: 20 queries compare it with the best search that costs nothing, and a "
        "release needs 25; 20 queries compare it with cord19-ranker@v0.1.0, and a release needs 25"
    )
    assert "release: cross-validating release-as-0-1-0 with order.depth 100" in refused.stdout
    # The second recipe's models are the first one's: only the stacks are compared again.
    then = refused.stdout.partition("release: cross-validating release-as-0-1-0 with")[2]
    assert ran(then) == ["compare@all", "report@all"]
    means = {}
    for name in ("release-today", "release-as-0-1-0"):
        found = json.loads(
            run(
                f"git show $(git for-each-ref --format='%(refname)' 'refs/exps/**/{name}'):{paths.CROSSVAL}", released
            ).stdout
        )
        means[name] = found["stacks"]["rows"][found["stacks"]["shipped"]]["measures"]["nDCG@10"]["mean"]
    said = re.search(
        r"Against cord19-ranker@v0\.1\.0, [a-z ]+: (\S+) nDCG@10 .*\n.*: 20 queries decide", refused.stdout
    )
    assert said is not None
    assert float(said[1].replace("\N{MINUS SIGN}", "-").removeprefix("±")) == pytest.approx(
        means["release-today"] - means["release-as-0-1-0"], abs=6e-4
    )
    assert run("git status --porcelain -- releases", released).stdout == ""


def test_reason_registers_retriever_and_ranker_and_stands_in_manifest_and_notes(released: Path, run: Run) -> None:
    why = 'judged by hand; it\'s "good" & cheap'
    (released / ".venv").symlink_to(sys.prefix)
    said = run(f"make -o .venv/installed release SEEDS=[13] REASON={shlex.quote(why)}", released)
    tags = run("git tag --points-at HEAD", released).stdout.split()
    assert tags == [f"cord19-ranker{part}@v0.2.0" for part in ("-hub", "-retriever", "")]
    manifest = read_json(released / "releases/0.2.0.json")
    assert manifest["reason"] == why
    assert manifest["cross_validated"] is True
    notes = (released / "releases/0.2.0.md").read_text()
    assert f"**Registered against the verdict**, because: {why}" in notes
    assert "was registered against its verdict, because: the first" in notes
    assert "| `order.depth` | 100 | 50 |" in notes
    assert "milliseconds a query" in notes
    assert "no DVC remote" in said.stdout
    assert run("git status --porcelain --untracked-files=no", released).stdout == ""


@pytest.mark.parametrize(
    ("params", "line"),
    [
        ({}, "params.yaml: export.version: expected one above 0.2.0, found 0.2.0"),
        ({"export__version": "0.1.9"}, "params.yaml: export.version: expected one above 0.2.0, found 0.1.9"),
        (
            {"export__version": "0.3.0"},
            "params.yaml: evaluate.against: expected cord19-ranker@v0.2.0, the last release of cord19-ranker, found "
            "'cord19-ranker@v0.1.0'",
        ),
        (
            {"export__version": "0.3.0", "evaluate__against": "cord19-ranker@v0.2.0"},
            "dvc.yaml: expected outputs of today's params, data and code, found ",
        ),
    ],
)
def test_release_refuses_used_versions_and_old_outputs_whatever_the_reason(
    released: Path, run: Run, params: dict[str, object], line: str
) -> None:
    set_params(released, **params)
    refused = release(released, run, check=False, REASON="because")
    run("git checkout -q params.yaml", released)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"release: {line}")
    assert refused.stderr.count("\n") <= 2  # the second names the changed params

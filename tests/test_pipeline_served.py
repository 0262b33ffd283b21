"""Reranking in the scratch clone: measured again by plain Python, first stages by brute force, every grade kept."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sentence_transformers import SentenceTransformer

from ranker.common.files import read_json
from ranker.contract.folder import served_model
from ranker.project import paths
from ranker.project.params import load_params
from ranker.serving.retriever import Retriever
from ranker.stack.bm25 import Bm25
from tests.factories import Run, run_module, run_stages, set_params
from tests.plain import Row, best_first, inside, means, measured, scores_by
from tests.readme import command

SYSTEMS = ["cross_encoder", "retriever", "base_cosine", "first_stage"]


def reranked(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / paths.COMPARISON).read_text())["reranked"])


def queries_of(folder: Path) -> list[tuple[dict[str, int], set[str], list[Row]]]:
    """Grades, relevant documents and scored hits of each held-out query with a relevant document."""
    pairs = pd.read_parquet(folder / "data/joined/pairs.parquet")
    held_out = pd.read_parquet(folder / "data/scored/pairs.parquet")["query_id"].unique()
    hits = pd.read_parquet(folder / "data/scored/hits.parquet")
    hits = hits.astype({f"{name}_rank": float for name in ("bm25", "dense", "base", "run")})  # NaN is in no list
    found = []
    for query_id in held_out:
        mine = pairs[pairs["query_id"] == query_id]
        relevant = set(mine.loc[mine["relevant"], "document_id"])
        grades = dict(zip(mine["document_id"], mine["grade"].tolist(), strict=True))
        if relevant:
            found.append((grades, relevant, hits[hits["query_id"] == query_id].to_dict("records")))
    return found


def test_stacks_are_measured_again(repository: Path) -> None:
    """Each row of the table, from the hits' ranks and scores; the shipped one is stage package's."""
    table, shipped = read_json(repository / paths.COMPARISON)["stacks"], read_json(repository / paths.STACK)
    rows, queries = {name: row for name, row in table["rows"].items() if not row["reference"]}, queries_of(repository)
    assert list(rows) == [
        *("bm25", "base", "base_hybrid", "dense", "hybrid", "bm25+cross_encoder", "base_hybrid+fused"),
        *("dense+cross_encoder", "dense+fused", "hybrid+cross_encoder", "hybrid+fused"),
    ]
    assert table["shipped"] == "hybrid+fused"
    assert {name: shipped[name] for name in ("first_stage", "order", "depth", "weights")}.items() <= (
        rows["hybrid+fused"].items()
    )
    files = {file.stem: read_json(file) for file in (repository / paths.STACK_METRICS).iterdir()}
    assert set(files) == {*rows, "perfect"}
    for name, stack in rows.items():
        values, many = [], []
        for grades, relevant, hits in queries:
            found = inside(hits, stack, stack["depth"])
            values.append(measured(best_first(found, scores_by(found, stack)), grades, relevant, stack["depth"]))
            many.append(len(found))
        for measure, value in means(values).items():
            assert files[name][measure] == pytest.approx(value), (name, measure)
            assert stack["measures"][measure]["mean"] == pytest.approx(value), (name, measure)
        runs = "cross_encoder" in name or "fused" in name
        assert stack["cross_encoder_runs"] == pytest.approx(np.mean(many) if runs else 0)
    assert files["perfect"]["nDCG@10"] >= files["hybrid+fused"]["nDCG@10"]


def measured_again(folder: Path, depth: float, within: float) -> dict[str, dict[str, float]]:
    """Each system's means, where it reorders the first `depth` of the hits that a list has `within` ranks."""
    found: dict[str, list[dict[str, float]]] = {system: [] for system in SYSTEMS}
    stack = read_json(folder / paths.STACK) | {"order": "as_found"}
    for grades, relevant, hits in queries_of(folder):
        rows = inside(hits, stack, within)
        as_found = sorted(zip(scores_by(rows, stack), [row["document_id"] for row in rows], strict=True), reverse=True)
        names = [name for _, name in as_found]
        for system in SYSTEMS:
            places = {name: -i for i, name in enumerate(names)}
            scores = {row["document_id"]: row.get(system, places[row["document_id"]]) for row in rows}
            first = [row for row in rows if -places[row["document_id"]] < depth]
            ranked = best_first(first, [scores[row["document_id"]] for row in first]) + names[len(first) :]
            found[system].append(measured(ranked, grades, relevant, 100))
    return {system: means(values) for system, values in found.items()}


def test_reranked_hits_are_measured_again(repository: Path) -> None:
    """All hits that either list has within its first hundred; their perfect order must be at least as good."""
    served, again = reranked(repository), measured_again(repository, np.inf, 100)
    assert list(served["systems"]) == SYSTEMS
    files = {file.stem: json.loads(file.read_text()) for file in (repository / paths.RERANKED_METRICS).iterdir()}
    assert set(files) == {*SYSTEMS, "perfect"}
    for system, values in again.items():
        for measure in ("nDCG@10", "R@100", "Judged@10"):
            assert files[system][measure] == pytest.approx(values[measure]), (system, measure)
            assert served["systems"][system][measure]["mean"] == pytest.approx(values[measure])
        assert files["perfect"]["nDCG@10"] >= values["nDCG@10"]
    assert (served["first_stage"], served["count"]) == ("hybrid", 100)
    decides = json.loads((repository / paths.COMPARISON).read_text())["decides"]
    compared = [system for system in SYSTEMS if system != "retriever"]  # whose verdict asks for an untrained opponent
    lowest = min(compared, key=lambda system: again[system]["Judged@10"])
    assert decides["judged"] == pytest.approx(again[lowest]["Judged@10"])
    assert decides["table"] == ("reranked" if decides["judged"] >= 0.9 else "judged")


def test_depth_curve_is_measured_again(repository: Path) -> None:
    curve, stack = pd.read_csv(repository / paths.DEPTH_CURVE), read_json(repository / paths.STACK)
    deepest = max(len(inside(hits, stack, np.inf)) for *_, hits in queries_of(repository))
    assert curve["depth"].tolist() == [0, *(depth for depth in (10, 20, 50, 100, 200) if depth < deepest), deepest]
    for row in curve.to_dict("records"):
        again = measured_again(repository, row["depth"], np.inf)
        assert row["cross_encoder"] == pytest.approx(again["cross_encoder"]["nDCG@10"])
        assert row["gain"] == pytest.approx(row["cross_encoder"] - again["first_stage"]["nDCG@10"])


def type_grades(form: Path, grade: str) -> bytes:
    """Fill in a form's first two rows; return its contents."""
    rows = pd.read_csv(form, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    rows.loc[:1, "grade"] = grade
    rows.to_csv(form, index=False)
    return form.read_bytes()


def test_grades_outlive_dvc_exp_apply_and_every_stage(clean: Path, run: Run) -> None:
    """An experiment resets uncommitted files; the form is outside Git and restores all grades."""
    run("dvc exp run -q -n trial -S vespa.latency_ms=900 package && git checkout -q . && dvc checkout -q", clean)
    run(command("python -m scripts.judge grades.csv --form"), clean)
    form, file = clean / "grades.csv", clean / "data/judged.csv"
    listed = pd.read_csv(clean / paths.TO_JUDGE, dtype=str, keep_default_na=False)
    assert listed.columns.tolist() == ["query_id", "query", "document_id", "title", "found_by", "could_move"]
    typed = type_grades(form, "2")
    before, merge = file.read_bytes(), command("python -m scripts.judge grades.csv")
    assert "judge: 2 new" in run(command("python -m scripts.judge grades.csv --dry-run"), clean).stdout
    assert file.read_bytes() == before
    assert "judge: 2 new judgements (2 relevant" in run(merge, clean).stdout
    judged = file.read_bytes()
    run("dvc exp apply trial", clean)
    assert form.read_bytes() == typed
    assert file.read_bytes() == before
    run(merge, clean)
    assert file.read_bytes() == judged
    assert "0 new judgements (0 relevant, 0 of new queries), 0 revised, 2 unchanged" in run(merge, clean).stdout
    run(command('git commit -m "Judge more" data/judged.csv'), clean)
    run("dvc repro join", clean)
    assert read_json(clean / paths.JOIN_COUNTS)["read"]["own_judgements"] == 2
    assert (form.read_bytes(), file.read_bytes()) == (typed, judged)
    run("git reset -q --hard HEAD~1 && rm grades.csv && dvc checkout -q --force", clean)


def found_by(table: pd.DataFrame, name: str) -> dict[str, list[str]]:
    """Each query's documents in a list, best first; its ranks must be those from 1."""
    table = table.dropna(subset=f"{name}_rank").sort_values(f"{name}_rank")
    ranks = table.groupby("query_id")[f"{name}_rank"].apply(list)
    assert all(found == list(range(1, len(found) + 1)) for found in ranks)
    return {str(query_id): rows["document_id"].tolist() for query_id, rows in table.groupby("query_id", sort=False)}


def test_each_list_has_the_best_of_all_documents(repository: Path) -> None:
    """Brute force over the whole collection: by BM25's scores and by the cosines of both models' vectors.

    Each hit of a list has the scores of all three, whichever list found it.
    """
    hits = pd.read_parquet(repository / paths.HITS)
    queries, documents = (pd.read_parquet(repository / path) for path in (paths.QUERIES, paths.DOCUMENTS))
    asked = load_params(repository / "params.yaml").retriever.model
    retriever = Retriever(repository / paths.RETRIEVER, served_model(repository / paths.RETRIEVER, asked))
    base = SentenceTransformer(str(repository / "data/base_model"), device="cpu")
    index = Bm25(None, [(title,) for title in documents["title"]], "en")
    texts = queries["query"].tolist(), documents["title"].tolist()
    cosines = [embed(texts[0]) @ embed(texts[1]).T for embed in (retriever.embed_documents, normal(base))]
    by = {
        "bm25": ("bm25", np.array([index.scores_of(text) for text in texts[0]])),
        "dense": ("retriever", cosines[0]),
        "base": ("base_cosine", cosines[1]),
    }
    for name, (column, scores) in by.items():
        lists, where = found_by(hits, name), documents["document_id"].tolist()
        assert set(lists) <= set(queries["query_id"])
        for row, query_id in enumerate(queries["query_id"]):
            of = dict(zip(where, scores[row].tolist(), strict=True))
            found, everything = lists.get(query_id, []), sorted(of.values(), reverse=True)
            possible = [score for score in everything if score > 0 or name != "bm25"]
            assert len(found) == min(200, len(possible)), (name, query_id)
            assert [of[document] for document in found] == pytest.approx(everything[: len(found)], abs=1e-5)
            mine = hits[hits["query_id"] == query_id]
            again = [of[document] for document in mine["document_id"]]
            assert mine[column].to_numpy() == pytest.approx(again, abs=1e-5)
    assert hits["run_rank"].isna().all()
    assert not hits.duplicated(["query_id", "document_id"]).any()
    assert hits[["bm25_rank", "dense_rank", "base_rank"]].notna().any(axis=1).all()


def normal(model: SentenceTransformer) -> Callable[[list[str]], np.ndarray]:
    return lambda texts: np.asarray(model.encode(texts, normalize_embeddings=True))


def test_first_stage_by_an_engines_run(
    clean: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a list beside the untrained ones; hits of other queries and documents are left out."""
    monkeypatch.chdir(clean)
    before, known = pd.read_parquet(paths.HITS), pd.read_parquet(paths.DOCUMENTS)["document_id"]
    queries = pd.read_parquet(paths.QUERIES)["query_id"].tolist()
    first, second = queries[:2]
    lines = [(first, known[3], 0.5), (first, known[8], 2.5), (first, "none of these", 9), ("nobody", known[3], 1)]
    rows = [f"{query_id}\tQ0\t{name.replace(' ', '-')}\t1\t{score}\tmine\n" for query_id, name, score in lines]
    (paths.RUNS / "mine.trec").write_text("".join(rows))
    set_params(clean, first_stage__retriever="run", first_stage__run="mine.trec")
    capsys.readouterr()
    run_stages("first_stage")
    hits = pd.read_parquet(paths.HITS)
    assert found_by(hits, "run") == {first: [known[8], known[3]]}
    assert all(found_by(hits, name) == found_by(before, name) for name in ("bm25", "base"))
    assert hits[["dense_rank", "retriever"]].isna().all(axis=None)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == (
        "first_stage: warning: data/runs/mine.trec: 1 hits of other queries and 1 of other documents are left out"
    )
    assert printed[-1].startswith(f"first_stage: warning: {len(queries) - 1} queries have no hit")
    assert set(pd.read_parquet(paths.HIT_DOCUMENTS)["document_id"]) == set(hits["document_id"])
    (paths.RUNS / "mine.trec").write_text("".join(rows) + f"{second} Q0 {known[3]} 1 high mine\n")
    assert run_module("stages.first_stage") == (
        "first_stage: data/runs/mine.trec: line 5: expected a score, found 'high'\n"
        "params.yaml differs from the last commit in first_stage.retriever, first_stage.run "
        "(git checkout params.yaml takes it back)"
    )
    (paths.RUNS / "mine.trec").unlink()


@pytest.mark.parametrize(("first_stage", "order"), [("bm25", "cross_encoder"), ("base", "as_found"), ("run", "fused")])
def test_an_untrained_first_stage_goes_through_all_stages(
    clean: Path, monkeypatch: pytest.MonkeyPatch, first_stage: str, order: str
) -> None:
    """No retriever is trained, exported, measured or served, and the shipped stack is measured."""
    monkeypatch.chdir(clean)
    queries, documents = (pd.read_parquet(path).iloc[:, 0] for path in (paths.QUERIES, paths.DOCUMENTS))
    rows = [f"{name} Q0 {documents[(i + j) % 50]} {j} 0 m" for i, name in enumerate(queries) for j in range(20)]
    (paths.RUNS / "mine.trec").write_text("\n".join(rows))
    set_params(clean, first_stage__retriever=first_stage, first_stage__run="mine.trec", order__by=order)
    run_stages("retriever", "export_retriever", "first_stage", "negatives")
    if first_stage == "bm25":  # the cross-encoder is the same by each
        run_stages("features", "train", "export")
    run_stages("package", "score", "evaluate", "report")
    (paths.RUNS / "mine.trec").unlink()
    for folder in (paths.RETRIEVER_CHECKPOINT, paths.RETRIEVER):
        assert [file.name for file in folder.iterdir()] == ["idle.json"]
    assert not (paths.METRICS / "retriever.json").exists()
    table = read_json(paths.COMPARISON)["stacks"]
    assert table["shipped"] == (first_stage if order == "as_found" else f"{first_stage}+{order}")
    assert {"bm25", "base", "base_hybrid", "bm25+cross_encoder", table["shipped"]} <= set(table["rows"])
    assert not {row["first_stage"] for row in table["rows"].values()} & {"dense", "hybrid"}
    assert ("run" in table["rows"]) == (first_stage == "run")
    stack, values = table["rows"][table["shipped"]], []
    for grades, relevant, hits in queries_of(clean):
        found = inside(hits, stack, stack["depth"])
        values.append(measured(best_first(found, scores_by(found, stack)), grades, relevant, stack["depth"]))
    assert stack["measures"]["nDCG@10"]["mean"] == pytest.approx(means(values)["nDCG@10"])
    assert read_json(paths.STACK)["first_stage"] == first_stage


def test_stages_go_on_where_an_engine_found_nothing_for_any_held_out_query(
    clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every served system then scores 0, and no hit of theirs lacks a judgement: the list is of the other stacks."""
    monkeypatch.chdir(clean)
    held_out = set(pd.read_parquet(paths.SCORED_PAIRS)["query_id"])
    (trained_on, *_) = sorted(set(pd.read_parquet(paths.QUERIES)["query_id"]) - held_out)
    document = pd.read_parquet(paths.DOCUMENTS)["document_id"][0]
    (paths.RUNS / "mine.trec").write_text(f"{trained_on} Q0 {document} 1 1.0 mine\n")
    set_params(clean, first_stage__retriever="run", first_stage__run="mine.trec")
    run_stages("first_stage", "score", "evaluate", "report")
    (paths.RUNS / "mine.trec").unlink()
    assert {values["nDCG@10"]["mean"] for values in reranked(clean)["systems"].values()} == {0}
    decides, listed = json.loads(paths.COMPARISON.read_text())["decides"], pd.read_csv(paths.TO_JUDGE)
    assert 0 < decides.pop("rows") <= len(listed)
    assert decides == {"table": "reranked", "system": "cross_encoder", "judged": 1.0}
    assert not {*"; ".join(listed["found_by"]).split("; ")} & {*SYSTEMS, "run"}
    assert "No depth has a significant gain over the first stage" in paths.REPORT.read_text()

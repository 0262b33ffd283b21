"""Reranking in the scratch clone: measured again by plain Python, first stages by brute force, every grade kept."""

import json
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ranker.common.files import read_json
from ranker.project import paths, tables
from ranker.retrieval.hits import fuse
from tests.factories import Run, run_module, run_stages, set_params
from tests.readme import command

SYSTEMS = ["cross_encoder", "base_cosine", "first_stage"]


def reranked(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / paths.COMPARISON).read_text())["reranked"])


def measured_again(folder: Path, depth: int) -> dict[str, dict[str, float]]:
    """nDCG@10, R@depth and Judged@10 of each system, from the scored hits and the judged pairs, in plain Python."""
    pairs = pd.read_parquet(folder / "data/joined/pairs.parquet")
    held_out = pd.read_parquet(folder / "data/scored/pairs.parquet")["query_id"].unique()
    hits = pd.read_parquet(folder / "data/scored/hits.parquet").assign(first_stage=lambda table: -table["rank"])
    found: dict[str, list[tuple[float, float, float]]] = {system: [] for system in SYSTEMS}
    for query_id in held_out:
        mine = pairs[pairs["query_id"] == query_id]
        if not mine["relevant"].any():
            continue
        grades = dict(zip(mine["document_id"], mine["grade"].tolist(), strict=True))
        relevant = set(mine.loc[mine["relevant"], "document_id"])
        rows = hits[hits["query_id"] == query_id].sort_values("rank")
        ideal = sum(grade / log2(i + 2) for i, grade in enumerate(sorted(grades.values(), reverse=True)[:10]))
        for system in SYSTEMS:
            listed = rows[[system, "document_id"]].to_numpy().tolist()
            names = [name for _, name in sorted(listed[:depth], reverse=True) + listed[depth:]]
            gain = sum(grades.get(name, 0) / log2(i + 2) for i, name in enumerate(names[:10]))
            judged = sum(name in grades for name in names[:10]) / len(names[:10]) if names else float("nan")
            found[system].append((gain / ideal, len(relevant & set(names[:depth])) / len(relevant), judged))
    measures = ("nDCG@10", f"R@{depth}", "Judged@10")
    return {
        system: dict(zip(measures, np.nanmean(values, axis=0).tolist(), strict=True))
        for system, values in found.items()
    }


def test_reranked_hits_are_measured_again(repository: Path) -> None:
    """The perfect order of the same hits must be at least as good as every other."""
    served, again = reranked(repository), measured_again(repository, 100)
    assert list(served["systems"]) == SYSTEMS
    files = {file.stem: json.loads(file.read_text()) for file in (repository / paths.RERANKED_METRICS).iterdir()}
    assert set(files) == {*SYSTEMS, "perfect"}
    for system, values in again.items():
        for measure, value in values.items():
            assert files[system][measure] == pytest.approx(value), (system, measure)
            assert served["systems"][system][measure]["mean"] == pytest.approx(value)
            assert files["perfect"]["nDCG@10"] >= value or measure != "nDCG@10"
    assert len({round(values["R@100"], 9) for values in files.values()}) == 1
    assert (served["first_stage"], served["count"]) == ("bm25", 100)
    decides = json.loads((repository / paths.COMPARISON).read_text())["decides"]
    lowest = min(again, key=lambda system: again[system]["Judged@10"])
    assert decides["judged"] == pytest.approx(again[lowest]["Judged@10"])
    assert decides["table"] == ("reranked" if decides["judged"] >= 0.9 else "judged")


def test_depth_curve_is_measured_again(repository: Path) -> None:
    curve = pd.read_csv(repository / paths.DEPTH_CURVE)
    deepest = pd.read_parquet(repository / paths.SCORED_HITS)["rank"].max()
    assert curve["depth"].tolist() == [0, *(depth for depth in (10, 20, 50, 100) if depth < deepest), deepest]
    for row in curve.to_dict("records"):
        again = measured_again(repository, int(row["depth"]))
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


def hits_of(folder: Path) -> dict[str, list[str]]:
    """Each query's documents, best first."""
    table = pd.read_parquet(folder / paths.HITS).sort_values("rank")
    assert table.groupby("query_id")["rank"].apply(lambda ranks: ranks.tolist() == list(range(1, len(ranks) + 1))).all()
    return {str(query_id): rows["document_id"].tolist() for query_id, rows in table.groupby("query_id", sort=False)}


def vectors(path: Path) -> dict[str, np.ndarray]:
    table = pd.read_parquet(path)
    return {name: np.array(values) for name, values in zip(table.iloc[:, 0], table.iloc[:, 1], strict=True)}


def test_first_stage_by_each_of_its_ways(
    clean: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Brute force over stage embed's output for the base model's cosine; its fusion with BM25; an engine's run."""
    monkeypatch.chdir(clean)
    hits, found = {"bm25": tables.read_table(paths.HITS)}, {}
    for by in ("cosine", "fusion"):
        set_params(clean, first_stage__retriever=by)
        run_stages("first_stage")
        hits[by] = tables.read_table(paths.HITS)
        found[by] = hits_of(clean)
    queries, documents = vectors(paths.EMBEDDED_QUERIES), vectors(paths.EMBEDDED_DOCUMENTS)
    names, matrix = list(documents), np.array(list(documents.values()))
    known = pd.read_parquet(paths.DOCUMENTS)["document_id"]
    assert set(found["cosine"]) == set(queries)
    for query_id, best in found["cosine"].items():
        assert len(best) == min(200, len(known))
        cosines = dict(zip(names, (matrix @ queries[query_id]).tolist(), strict=True))
        of_pairs = [cosines[name] for name in best if name in cosines]
        assert of_pairs == pytest.approx(sorted(cosines.values(), reverse=True)[: len(of_pairs)], abs=1e-5)
    fused = fuse([hits["bm25"], hits["cosine"]], 200)[["query_id", "document_id", "rank"]]
    assert hits["fusion"][list(fused)].to_numpy().tolist() == fused.to_numpy().tolist()
    table = pd.read_parquet(paths.HITS)
    table = table[table["document_id"].isin(documents)]
    cosines_again = [
        float(documents[name] @ queries[query_id])
        for query_id, name in zip(table["query_id"], table["document_id"], strict=True)
    ]
    assert table["base_cosine"].tolist() == pytest.approx(cosines_again, abs=1e-5)

    first, second = list(queries)[:2]
    lines = [(first, known[3], 0.5), (first, known[8], 2.5), (first, "none of these", 9), ("nobody", known[3], 1)]
    rows = [f"{query_id}\tQ0\t{name.replace(' ', '-')}\t1\t{score}\tmine\n" for query_id, name, score in lines]
    (paths.RUNS / "mine.trec").write_text("".join(rows))
    set_params(clean, first_stage__retriever="run", first_stage__run="mine.trec")
    capsys.readouterr()
    run_stages("first_stage")
    assert hits_of(clean) == {first: [known[8], known[3]]}
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == (
        "first_stage: warning: data/runs/mine.trec: 1 hits of other queries and 1 of other documents are left out"
    )
    assert printed[-1].startswith(f"first_stage: warning: {len(queries) - 1} queries have no hit")
    assert set(pd.read_parquet(paths.HIT_DOCUMENTS)["document_id"]) == {known[3], known[8]}
    (paths.RUNS / "mine.trec").write_text("".join(rows) + f"{second} Q0 {known[3]} 1 high mine\n")
    assert run_module("stages.first_stage") == (
        "first_stage: data/runs/mine.trec: line 5: expected a score, found 'high'\n"
        "params.yaml differs from the last commit in first_stage.retriever, first_stage.run "
        "(git checkout params.yaml takes it back)"
    )
    (paths.RUNS / "mine.trec").unlink()


def test_stages_go_on_where_an_engine_found_nothing_for_any_held_out_query(
    clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every system then scores 0, and no hit lacks a judgement."""
    monkeypatch.chdir(clean)
    held_out = set(pd.read_parquet(paths.SCORED_PAIRS)["query_id"])
    (trained_on, *_) = sorted(set(pd.read_parquet(paths.QUERIES)["query_id"]) - held_out)
    document = pd.read_parquet(paths.DOCUMENTS)["document_id"][0]
    (paths.RUNS / "mine.trec").write_text(f"{trained_on} Q0 {document} 1 1.0 mine\n")
    set_params(clean, first_stage__retriever="run", first_stage__run="mine.trec")
    run_stages("first_stage", "score", "evaluate", "report")
    (paths.RUNS / "mine.trec").unlink()
    assert {values["nDCG@10"]["mean"] for values in reranked(clean)["systems"].values()} == {0}
    assert json.loads(paths.COMPARISON.read_text())["decides"] == {
        "table": "reranked",
        "system": "cross_encoder",
        "judged": 1.0,
        "rows": 0,
    }
    assert pd.read_csv(paths.TO_JUDGE).empty
    assert "No depth has a significant gain over the first stage" in paths.REPORT.read_text()

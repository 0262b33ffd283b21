"""Cross-validation: what is held out, candidates, and the spread over seeds; test_pipeline.py runs it all."""

import numpy as np
import pandas as pd
import pytest

from crossval.compare import fit_fusion, inner_run, long_run, measure_unseen
from crossval.report import wide
from crossval.train import held_out_folds
from ranker.evaluation.baselines import BASELINES, with_candidates
from ranker.evaluation.significance import seed_means, seed_spread
from ranker.metrics.ranking import judged_share
from ranker.project import paths, tables
from ranker.project.params import load_params
from tests.conftest import ROOT

PARAMS = load_params(ROOT / "params.yaml")


def test_inner_models_hold_out_the_next_fold_too() -> None:
    assert [held_out_folds("inner", fold, 5) for fold in range(5)] == [[0, 1], [1, 2], [2, 3], [3, 4], [4, 0]]
    assert held_out_folds("ranker", 3, 5) == held_out_folds("head_only", 3, 5) == [3]


def test_fusion_of_a_fold_is_fitted_without_it(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that weights are fitted on, fold by fold: their fold, and the models that scored them."""
    monkeypatch.chdir(tmp_path_factory.mktemp("inner"))
    run = pd.DataFrame({"query_id": [f"q{fold}" for fold in range(5)], "document_id": "d", "fold": range(5)})
    for model in range(5):
        rows = run[run["fold"].isin(held_out_folds("inner", model, 5))][["query_id", "document_id"]]
        path = paths.crossval_scores("inner", PARAMS.crossval.seeds[0], model)
        tables.write_table(path, rows.assign(score=float(model)), tables.SCORES)
    fitted: list[set[tuple[int, int]]] = []

    def record(rows: pd.DataFrame, relevant_from: int) -> np.ndarray:
        fitted.append(set(zip(rows["model"].tolist(), rows["fold"].tolist(), strict=True)))
        return np.array([1.0, 0, 0])

    monkeypatch.setattr("crossval.compare.fit_weights", record)
    assert list(fit_fusion(inner_run(run, PARAMS), PARAMS)) == [0, 1, 2, 3, 4]
    for fold, scored in enumerate(fitted):
        assert {found for _, found in scored} == {(fold - 1) % 5, (fold + 1) % 5}
        assert all(fold in held_out_folds("inner", model, 5) for model, _ in scored)  # no model was trained on it
        assert all(found in held_out_folds("inner", model, 5) for model, found in scored)


def test_candidates_are_bm25s_best_that_nobody_judged() -> None:
    queries = pd.DataFrame({"query_id": ["1", "2"], "query": ["bats", "masks"]})
    titles = ["Bats", "Bats in caves at night", "Masks", "Bats and more bats", "Vaccines"]
    documents = pd.DataFrame({"document_id": list("abcde"), "title": titles})
    pairs = pd.DataFrame({"query_id": ["1", "2"], "document_id": ["b", "e"], "grade": [2, 1], "label": [1, 1]})
    found = with_candidates(pairs, (queries, documents), 100)
    assert found[found["judged"]][["query_id", "document_id", "grade"]].to_numpy().tolist() == [
        ["1", "b", 2],
        ["2", "e", 1],
    ]
    added = found[~found["judged"]]
    assert {(row.query_id, row.document_id) for row in added.itertuples()} == {("1", "a"), ("1", "d"), ("2", "c")}
    assert added["grade"].eq(0).all()
    one = with_candidates(pairs, (queries, documents), 1)
    assert one.loc[~one["judged"], "query_id"].tolist() == ["1", "2"]
    assert len(with_candidates(pairs, (queries, documents), 0)) == 2


def test_judged_at_ten_by_hand() -> None:
    """Twelve documents of query 1, of which ranks 1 to 3 and 12 were judged; query 2 has but two documents."""
    run = pd.DataFrame(
        {
            "query_id": ["1"] * 12 + ["2"] * 2,
            "document_id": [f"d{i}" for i in range(14)],
            "judged": [True] * 3 + [False] * 8 + [True] * 3,
        }
    )
    found = judged_share(run, -np.arange(14.0)).set_index("query_id")["Judged@10"]
    assert found.to_dict() == pytest.approx({"1": 3 / 10, "2": 1})


def test_seeds_are_averaged_query_by_query_and_spread_is_theirs() -> None:
    by_seed = {
        13: pd.DataFrame({"query_id": ["1", "2"], "AP": [0.2, 0.4]}),
        14: pd.DataFrame({"query_id": ["2", "1"], "AP": [0.8, 0.4]}),
    }
    assert seed_means(by_seed.values()).set_index("query_id")["AP"].to_dict() == pytest.approx({"1": 0.3, "2": 0.6})
    assert seed_spread(by_seed)["AP"] == pytest.approx({"13": 0.3, "14": 0.6, "spread": 0.3 / np.sqrt(2)})
    assert seed_spread({13: by_seed[13]})["AP"]["spread"] == 0


def test_the_long_run_can_be_read_back_wide() -> None:
    run = pd.DataFrame(
        {
            "query_id": ["1", "1"],
            "document_id": ["a", "b"],
            "grade": [2, 0],
            "judged": [True, False],
            "bm25": [3.0, 4.0],
        }
        | {name: [0.0, 0.0] for name in ("base_cosine", "topic_prior", "random", "head_only")}
    )
    seeds = {seed: run.assign(ranker=[seed, 0.0], fusion=[-seed, 0.0]) for seed in (13, 14)}
    table = long_run(run, seeds)
    assert len(table) == 2 * (5 + 2 * 2)
    (row,) = wide(table, 14).to_dict("records")  # the pair that nobody judged is left out
    assert (row["query_id"], row["document_id"], row["grade"]) == ("1", "a", 2)
    assert (row["ranker"], row["fusion"], row["bm25"]) == (14, -14, 3)


def make_run(unseen: list[bool]) -> pd.DataFrame:
    """Two judged pairs of each of queries 1 and 2, and a candidate."""
    run = pd.DataFrame(
        {
            "query_id": ["1", "1", "2", "2", "2"],
            "document_id": list("abcde"),
            "grade": [0, 2, 1, 0, 0],
            "label": [0, 1, 1, 0, 0],
            "judged": [True, True, True, True, False],
            "unseen": unseen,
        }
    )
    return run.assign(**{name: [1.0, 2, 3, 4, 5] for name in (*BASELINES, "head_only", "ranker", "fusion")})


def test_the_unseen_slice_keeps_queries_that_have_a_relevant_pair_in_it() -> None:
    run = make_run([True, False, True, True, True])
    found = measure_unseen(run, {13: run, 14: run}, 1)
    assert (found["queries"], found["pairs"]) == (1, 2)  # of query 1, the relevant document was seen
    assert found["ranker"]["RR"] == found["bm25"]["RR"] == 1 / 2
    assert "Judged@10" not in found["ranker"]


def test_no_unseen_document_is_no_error() -> None:
    run = make_run([False] * 5)
    assert measure_unseen(run, {13: run}, 1) == {"queries": 0, "pairs": 0}

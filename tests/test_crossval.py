"""crossval/, and ranker.evaluation.compare over seeds; test_pipeline_crossval.py runs it all."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from transformers import BertForSequenceClassification

from crossval.compare import hits_of, long_run, pool, seed_runs
from crossval.report import curves, wide
from crossval.train import TUTORIAL, recipe_params, start, to_score, train_and_score
from ranker.evaluation.compare import compare_slice, evaluate, rerank
from ranker.evaluation.significance import compare_systems, seed_spread
from ranker.metrics.ranking import ranking_measures, relevant_queries
from ranker.metrics.systems import RECIPES, opponents
from ranker.metrics.verdict import deciding_table
from ranker.model.cross_encoder import initial_model
from ranker.model.features import features
from ranker.model.predict import score
from ranker.model.segment_cosine import BertForBiEncoder, BertForSegmentCosine
from ranker.project import paths, tables
from ranker.project.documents import write_documents
from ranker.project.params import Params
from ranker.training.head import converged_head_scores
from ranker.training.trainer import fine_tune
from tests.factories import PARAMS, TRAIN, make_data

ONCE = {
    "bm25": [1.0, 2, 3, 4, 5],
    "base_cosine": [5.0, 4, 3, 2, 1],
    "bi_encoder": [1.0, 0, 0, 1, 1],
    "tutorial": [0.0, 1, 0, 1, 0],
    "head_only": [0.0, 1, 1, 0, 0],
}

TRAINED_ONCE = ("bi_encoder", "tutorial", "head_only")


def make_run(unseen: tuple[bool, ...] = (True,) * 5) -> pd.DataFrame:
    """Three queries, the last without a relevant document."""
    return pd.DataFrame(
        {
            "query_id": ["1", "1", "2", "2", "3"],
            "document_id": list("abcde"),
            "grade": [0, 2, 1, 0, 0],
            "relevant": [False, True, True, False, False],
            "judged": True,
            "unseen": unseen,
        }
        | ONCE
    )


def make_seeds(run: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """The first seed's models rank all relevant documents first; the second seed's rank query 1's last."""
    first = run.assign(cross_encoder=[1.0, 2, 2, 1, 0])
    return {13: first, 14: run.assign(cross_encoder=[2.0, 1, 2, 1, 0])}


def test_evaluate_over_seeds_is_the_comparison_of_queries_with_a_relevant_document() -> None:
    seeds = make_seeds(make_run())
    found = evaluate(seeds, {}, PARAMS)
    comparison = found.comparison
    assert (found.judged["query_id"].nunique(), len(found.judged), comparison["left_out"]) == (2, 4, {})
    tables = found.measures.tables
    assert list(tables) == ["cross_encoder", *ONCE, "random"]
    for seed, rows in seeds.items():
        expected = ranking_measures(rows[:4], rows["cross_encoder"][:4].to_numpy())
        pd.testing.assert_frame_equal(tables["cross_encoder"][seed], expected)
    expected_comparison = compare_systems(tables, opponents("judged"), PARAMS.split.seed)
    assert {name: comparison[name] for name in expected_comparison} == expected_comparison  # type: ignore[literal-required]
    spread = seed_spread(tables["cross_encoder"])["RR@10"]
    assert spread == pytest.approx({"13": 1, "14": 3 / 4, "spread": 1 / 4 / 2**0.5})


def test_compare_slice_keeps_queries_that_have_a_relevant_document_in_it() -> None:
    """Training saw the relevant document of query 1; query 4 is query 2 again."""
    run = pd.concat([rows := make_run((True, False, True, True, True)), rows[2:4].replace("2", "4")])
    seeds = {seed: run.join(rows["cross_encoder"]) for seed, rows in make_seeds(rows).items()}
    found = compare_slice({seed: rows[rows["unseen"]].reset_index(drop=True) for seed, rows in seeds.items()}, 1)
    assert (found["queries"], found["pairs"]) == (2, 4)
    assert found["systems"]["bm25"]["RR@10"]["mean"] == 1 / 2
    assert found["systems"]["cross_encoder"]["RR@10"]["mean"] == 1


def test_evaluate_gives_no_verdict_where_nobody_judged_a_negative() -> None:
    run = make_run().assign(judged=[False, True, True, True, True])
    assert evaluate(make_seeds(run), {}, PARAMS).comparison["headline"]["verdict"] == "no verdict"


@pytest.fixture
def scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """A project of four queries in two folds, scored by their models; a score encodes recipe, seed and row."""
    monkeypatch.chdir(tmp_path)
    ids = ["1", "2", "3", "4"]
    pairs = pd.DataFrame([(query, document, int(query in "13"), query in "13") for query in ids for document in "ab"])
    pairs.columns = ["query_id", "document_id", "grade", "relevant"]
    pairs["relevant"] ^= pairs["document_id"] == "b"
    pairs["grade"] = pairs["relevant"].astype(int)
    pairs = pairs.assign(
        fold=np.repeat([1, 0, 0, 1], 2), unseen=False, judged=True
    )  # both documents are judged in both folds
    tables.write_table(paths.SPLIT_PAIRS, pairs)
    tables.write_table(paths.MINED_PAIRS, pairs[:0])
    queries = pd.DataFrame({"query_id": ids, "query": ["masks", "bats", "masks", "bats"]})
    tables.write_texts(paths.SPLIT_QUERIES, queries, tables.pack(ids, [[5], [6], [5], [6]]))
    documents = pd.DataFrame({"document_id": ["a", "b"], "title": ["Masks", "Bats"], "text": ["Masks", "Bats"]})
    tables.write_texts(paths.SPLIT_DOCUMENTS, documents, tables.pack("ab", [[5], [6]]))
    write_documents(paths.DOCUMENTS, [("a", ["Masks"]), ("b", ["Bats"])], ["title"])
    vectors = [[1.0, 0.0], [0.0, 1.0]]
    embedded = pd.DataFrame({"query_id": ids, "embedding": vectors * 2})
    tables.write_table(paths.EMBEDDED_QUERIES, embedded)
    tables.write_table(paths.EMBEDDED_DOCUMENTS, pd.DataFrame({"document_id": ["a", "b"], "embedding": vectors}))
    folds = pairs[["query_id", "document_id", "fold"]]
    seeds = {"cross_encoder": (21, 22)} | dict.fromkeys(TRAINED_ONCE, (PARAMS.train.seed,))
    for place, (recipe, of_recipe) in enumerate(seeds.items()):
        for seed in of_recipe:
            for fold in (0, 1):
                rows = folds[folds["fold"] == fold]
                found = rows[["query_id", "document_id"]].assign(score=100.0 * place + seed + rows.index / 100)
                tables.write_table(paths.crossval_scores(recipe, seed, fold), found[::-1], tables.SCORES)
    crossval = PARAMS.crossval.model_copy(update={"folds": [0, 1], "seeds": [21, 22], "compare": ["all"]})
    return PARAMS.model_copy(update={"crossval": crossval})


def test_pool_has_every_pair_once_with_the_scores_of_models_that_have_not_seen_it(scored: Params) -> None:
    run = pool(scored)
    assert len(run) == 8
    assert run.set_index("query_id")["fold"].to_dict() == {"2": 0, "3": 0, "1": 1, "4": 1}
    for row in run.to_dict("records"):
        place = "1234".index(row["query_id"]) * 2 + "ab".index(row["document_id"])
        for of_recipe, recipe in enumerate(TRAINED_ONCE, start=1):
            assert row[recipe] == pytest.approx(100 * of_recipe + PARAMS.train.seed + place / 100, abs=1e-4)
        own = (row["query_id"] in "13") == (row["document_id"] == "a")
        assert row["base_cosine"] == own
        assert (row["bm25"] > 0) == own
    for seed, rows in seed_runs(run, scored).items():
        assert (rows["cross_encoder"] - rows["tutorial"]).round(2).unique().tolist() == [seed - 200 - PARAMS.train.seed]
    assert list(seed_runs(run, scored)) == [21, 22]


def test_wide_reads_back_what_long_run_wrote(tmp_path: Path) -> None:
    run = make_run()
    table = long_run(make_seeds(run))
    assert len(table) == 5 * (len(ONCE) + 2)
    tables.write_table(tmp_path / "run.parquet", table, tables.SCHEMAS[paths.CROSSVAL_RUN])
    read = tables.read_table(tmp_path / "run.parquet", tables.SCHEMAS[paths.CROSSVAL_RUN])
    for seed, rows in make_seeds(run).items():
        found = wide(read, seed).set_index("document_id").loc[list("abcde")]
        assert found["relevant"].tolist() == run["relevant"].tolist()
        for system in (*ONCE, "cross_encoder"):
            assert found[system].tolist() == rows[system].tolist()


def test_curves_are_of_one_seed_over_all_pairs() -> None:
    run = make_run()
    found = curves(wide(long_run(make_seeds(run)), 13))
    assert list(found["roc"]) == ["false_positive_rate", "cross_encoder", "bm25", "base_cosine"]
    assert list(found["precision_recall"]) == ["recall", "cross_encoder", "bm25", "base_cosine"]
    assert found["roc"]["cross_encoder"].iloc[0] == 1  # both relevant pairs are before all others
    assert found["reliability"]["pairs"].sum() == 5


def test_recipe_params_of_the_cross_encoder_are_the_pipelines_own() -> None:
    found = recipe_params(PARAMS, "cross_encoder", 21)
    assert found.train.seed == 21
    assert found.model_copy(update={"train": PARAMS.train}) == PARAMS
    assert recipe_params(PARAMS, "cross_encoder", PARAMS.train.seed) == PARAMS


@pytest.mark.parametrize("recipe", ["tutorial", "head_only"])
def test_recipe_params_of_the_tutorial_do_not_depend_on_train(recipe: str) -> None:
    """Except for its seed and its precision."""
    other = TRAIN.model_copy(update={"precision": "bf16"})
    found = recipe_params(PARAMS.model_copy(update={"train": other}), recipe, 21)
    assert found.train.model_dump() == TUTORIAL | {
        "launcher": "python",
        "seed": 21,
        "precision": "bf16",
    }
    assert (TUTORIAL["trainable"], TUTORIAL["epochs"], TUTORIAL["warmup_steps"]) == ("head", 3, 500)
    assert recipe in RECIPES


def tiny(**changes: object) -> Params:
    return PARAMS.model_copy(update={"train": TRAIN.model_copy(update=changes)})


def tiny_classifier(params: Params) -> BertForSequenceClassification:
    model = initial_model(params)
    assert isinstance(model, BertForSequenceClassification)
    return model


@pytest.mark.usefixtures("bare")
def test_train_and_score_of_head_only_is_the_converged_head() -> None:
    (pairs, encoded), held_out = make_data(20), make_data(6, seed=1)
    found = train_and_score(tiny(trainable="head"), "head_only", ((pairs, encoded), held_out), "")
    model = tiny_classifier(tiny(trainable="head"))
    pooled, others = (features(model, side, "fp32") for side in (encoded, held_out[1]))
    expected = converged_head_scores(pooled, pairs["relevant"].to_numpy(), pairs["query_id"].to_numpy(), others)
    assert found.tolist() == expected.tolist()


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("recipe", "head", "kind"),
    [
        ("cross_encoder", "cosine", BertForSegmentCosine),
        ("bi_encoder", "cosine", BertForBiEncoder),
        ("bi_encoder", "classifier", BertForBiEncoder),
    ],
)
def test_train_and_score_is_fine_tune(recipe: str, head: str, kind: type[BertForSegmentCosine]) -> None:
    training, held_out = make_data(20), make_data(6, seed=1)
    params = tiny(head=head, trainable="layers")
    found = train_and_score(params, recipe, (training, held_out), "")
    model = start(params, recipe)
    assert type(model) is kind
    untrained = score(model, held_out[1])
    fine_tune(model, training[1], params.train)
    assert found.tolist() == score(model, held_out[1]).tolist() != untrained.tolist()


@pytest.mark.usefixtures("bare")
def test_to_score_is_the_held_out_pairs_and_the_hits_of_their_queries_once() -> None:
    write_texts(paths.SPLIT_DOCUMENTS, "ab")
    write_texts(paths.HIT_DOCUMENTS, "bc")
    queries = pd.DataFrame({"query_id": ["1", "2"], "query": ["masks", "bats"]})
    tables.write_texts(paths.SPLIT_QUERIES, queries, tables.pack("12", [[5], [6]]))
    write_hits([("1", "c"), ("1", "b"), ("2", "a")])
    held_out = pd.DataFrame([("1", "a"), ("1", "b")], columns=tables.IDS)
    pairs, encoded = to_score(PARAMS, held_out)
    assert pairs[tables.IDS].to_numpy().tolist() == [["1", "a"], ["1", "b"], ["1", "c"]]
    assert [list(encoded[row][1]) for row in range(3)] == [[97], [98], [99]]
    assert {tuple(encoded[row][0]) for row in range(3)} == {(5,)}


def write_texts(path: Path, ids: str) -> None:
    """Documents of one token each: the number of their letter."""
    texts = pd.DataFrame({"document_id": list(ids), "title": list(ids), "text": list(ids)})
    tables.write_texts(path, texts, tables.pack(ids, [[ord(name)] for name in ids]))


def write_hits(hits: list[tuple[str, str]]) -> None:
    table = pd.DataFrame(hits, columns=tables.IDS).assign(score=1.0, base_cosine=0.5)
    table["rank"] = table.groupby("query_id").cumcount() + 1
    tables.write_table(paths.HITS, table)


def test_rerank_over_seeds_is_what_is_served_out_of_fold(scored: Params) -> None:
    """For query 1, the first hit is unjudged, the second (b) not relevant, the third (a) relevant."""
    write_hits([("1", "new"), ("1", "b"), ("1", "a"), ("2", "b"), ("3", "a"), ("4", "b")])
    scores = {"new": 3.0, "b": 1.0, "a": 2.0}
    seeds = {"cross_encoder": (21, 22)} | dict.fromkeys(TRAINED_ONCE, (PARAMS.train.seed,))
    for recipe, of_recipe in seeds.items():
        for seed in of_recipe:
            table = pd.DataFrame([("1", name, score) for name, score in scores.items()], columns=tables.SCORES.names)
            if seed == 22:  # another order: a, b, new
                table["score"] = [1.0, 2.0, 3.0]
            own = paths.crossval_scores(recipe, seed, 1)
            judged = tables.read_table(own, tables.SCORES)
            added = pd.concat([judged, table]).drop_duplicates(tables.IDS, keep="last")
            tables.write_table(own, added, tables.SCORES)
    run = relevant_queries(pool(scored))
    hits = hits_of(run, scored)
    found = rerank(run, seed_runs(hits, scored), scored)
    of_one = {name: table.set_index("query_id").loc["1"] for name, table in found.means.items()}
    assert of_one["first_stage"]["RR@10"] == pytest.approx(1 / 3)
    assert of_one["bi_encoder"]["RR@10"] == pytest.approx(1 / 2)
    assert of_one["cross_encoder"]["RR@10"] == pytest.approx((1 / 2 + 1) / 2)
    assert of_one["perfect"]["RR@10"] == 1
    assert of_one["cross_encoder"]["Judged@10"] == pytest.approx(2 / 3)
    reranked = found.comparison
    assert list(reranked["systems"]) == ["cross_encoder", *TRAINED_ONCE, "base_cosine", "first_stage"]
    assert reranked["systems"]["cross_encoder"]["RR@10"]["mean"] == pytest.approx((3 / 4 + 3) / 4)
    assert deciding_table(reranked) == {
        "table": "reranked",
        "system": "cross_encoder",
        "judged": pytest.approx((2 / 3 + 3) / 4),
    }
    assert found.curve["depth"].tolist() == [0, 3]


def test_a_hit_without_a_score_is_no_last_place(scored: Params) -> None:
    write_hits([("1", "new"), ("1", "a")])
    with pytest.raises(ValueError, match="expected a score of bi_encoder for each pair, found 1 without one"):
        hits_of(pool(scored), scored)

"""crossval/, and ranker.evaluation.compare over seeds; test_pipeline_crossval.py runs it all."""

from pathlib import Path

import pandas as pd
import pytest
from transformers import BertForSequenceClassification

from crossval.compare import long_run
from crossval.report import curves, wide
from crossval.train import TUTORIAL, recipe_params, start, to_score, train_and_score
from ranker.evaluation.compare import compare_slice, evaluate
from ranker.metrics.ranking import ranking_measures
from ranker.metrics.significance import compare_systems, seed_spread
from ranker.metrics.systems import RECIPES, opponents
from ranker.model.cross_encoder import initial_model
from ranker.model.features import features
from ranker.model.predict import score
from ranker.model.segment_cosine import BertForBiEncoder, BertForSegmentCosine
from ranker.project import paths, tables
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
    assert found.train.model_dump() == TUTORIAL | {"launcher": "python", "seed": 21, "precision": "bf16"}
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

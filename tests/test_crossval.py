"""crossval/, and ranker.evaluation.compare over seeds; test_pipeline_crossval.py runs it all."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from transformers import BertForSequenceClassification

from crossval.compare import long_run, with_scores
from crossval.fewer import some_queries
from crossval.report import curves, wide
from crossval.train import RECIPES, TUTORIAL, recipe_params, to_score, train_and_score
from ranker.contract.stacks import LISTS
from ranker.evaluation.compare import compare_slice, evaluate
from ranker.metrics import systems
from ranker.metrics.ranking import ranking_measures
from ranker.metrics.significance import compare_systems, seed_spread
from ranker.metrics.systems import SEEDED, opponents
from ranker.model.cross_encoder import initial_model
from ranker.model.features import features
from ranker.model.predict import score
from ranker.model.segment_cosine import BertForSegmentCosine
from ranker.project import paths, tables
from ranker.project.documents import write_documents
from ranker.project.params import Params
from ranker.training.head import converged_head_scores
from ranker.training.trainer import fine_tune
from tests.factories import PARAMS, TRAIN, make_data

ONCE = {
    "bm25": [1.0, 2, 3, 4, 5],
    "base_cosine": [5.0, 4, 3, 2, 1],
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
    right, wrong = [1.0, 2, 2, 1, 0], [2.0, 1, 2, 1, 0]
    return {13: run.assign(**dict.fromkeys(SEEDED, right)), 14: run.assign(**dict.fromkeys(SEEDED, wrong))}


def test_evaluate_over_seeds_is_the_comparison_of_queries_with_a_relevant_document() -> None:
    seeds = make_seeds(make_run())
    found = evaluate(seeds, {}, PARAMS)
    comparison = found.comparison
    assert (found.judged["query_id"].nunique(), len(found.judged), comparison["left_out"]) == (2, 4, {})
    tables = found.measures.tables
    assert list(tables) == ["cross_encoder", "retriever", *ONCE, "random"]
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
    seeds = {seed: run.join(rows[[*SEEDED]]) for seed, rows in make_seeds(rows).items()}
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
    assert len(table) == 5 * (len(ONCE) + 2 * len(SEEDED))
    tables.write_table(tmp_path / "run.parquet", table, tables.SCHEMAS[paths.CROSSVAL_RUN])
    read = tables.read_table(tmp_path / "run.parquet", tables.SCHEMAS[paths.CROSSVAL_RUN])
    for seed, rows in make_seeds(run).items():
        found = wide(read, seed).set_index("document_id").loc[list("abcde")]
        assert found["relevant"].tolist() == run["relevant"].tolist()
        for system in (*ONCE, *SEEDED):
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
    assert {*RECIPES, "retriever"} == set(systems.RECIPES)


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
def test_train_and_score_is_fine_tune() -> None:
    training, held_out = make_data(20), make_data(6, seed=1)
    params = tiny(head="cosine", trainable="layers")
    found = train_and_score(params, "cross_encoder", (training, held_out), "")
    model = initial_model(params)
    assert type(model) is BertForSegmentCosine
    untrained = score(model, held_out[1])
    fine_tune(model, training[1], params.train)
    assert found.tolist() == score(model, held_out[1]).tolist() != untrained.tolist()


HELD_OUT = pd.DataFrame([("1", "a"), ("1", "b")], columns=tables.IDS)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("recipe", "expected"),
    [("tutorial", ["a", "b", "c"]), ("head_only", ["a", "b", "c"]), ("cross_encoder", ["a", "b", "d"])],
)
def test_to_score_is_the_held_out_pairs_and_the_hits_of_their_queries_once(recipe: str, expected: str) -> None:
    """For the cross-encoder, the hits are those with its seed's and fold's own retriever."""
    write_collection()
    write_hits(paths.HITS, [("1", "c"), ("1", "b"), ("2", "a")])
    write_hits(paths.crossval_scores("retriever", 14, 2), [("1", "b"), ("1", "d")])
    pairs, encoded = to_score(PARAMS, HELD_OUT, recipe, 14, 2)
    assert pairs[tables.IDS].to_numpy().tolist() == [["1", name] for name in expected]
    assert [list(encoded[row][1]) for row in range(3)] == [[ord(name)] for name in expected]
    assert {tuple(encoded[row][0]) for row in range(3)} == {(5,)}


def write_collection() -> None:
    """Queries, and documents of one token each: the number of their letter."""
    tables.write_tokens(paths.ENCODED_QUERIES, [(tables.pack("12", [[5], [6]]), [])])
    write_documents(paths.DOCUMENTS, ((name, [name]) for name in "abcd"), ["title"])
    documents = tables.pack("abcd", [[ord(name)] for name in "abcd"])
    tables.write_tokens(paths.ENCODED_DOCUMENTS, [(documents, [pa.array([True] * 4)])])


def write_hits(path: Path, hits: list[tuple[str, str]]) -> None:
    found = pd.DataFrame(hits, columns=tables.IDS).reindex(columns=tables.HIT.names).assign(bm25_rank=1)
    tables.write_table(path, found.astype({f"{name}_rank": "Int32" for name in LISTS}), tables.HIT)


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 1.0])
def test_some_queries_are_part_of_more_and_stay_when_others_come(share: float) -> None:
    """At least two, because training needs them; the order is that of hashes, so it is no prefix of the ids."""
    ids = pd.Series([str(number) for number in range(20)] * 3)
    found = some_queries(ids, share)
    assert len(found) == max(2, round(share * 20))
    assert found <= some_queries(ids, 1.0) == set(ids)
    assert found <= some_queries(ids, min(1.0, share * 2))
    assert found == some_queries(ids[::-1], share)
    assert share > 0.5 or found != set(ids[: len(found)])


def test_a_missing_score_is_refused() -> None:
    scores = HELD_OUT.assign(score=[0.5, 0.25])
    assert with_scores(HELD_OUT, "tutorial", scores)["tutorial"].tolist() == [0.5, 0.25]
    with pytest.raises(ValueError, match="expected a score of tutorial for each pair, found 1 without one"):
        with_scores(HELD_OUT, "tutorial", scores[1:])

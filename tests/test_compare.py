"""ranker.evaluation.compare: what is left out, what is undefined, what a slice has."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from ranker.common.errors import InputError
from ranker.evaluation.compare import NO_ORDER, compare_slice, evaluate, measure_pairs, undefined
from ranker.metrics.ranking import expected_measures, ranking_measures, relevant_queries
from tests.factories import PARAMS

WHOLE = pd.DataFrame(
    {
        "query_id": ["1", "1", "2", "2", "3"],
        "document_id": list("abcde"),
        "grade": [2, 0, 0, 1, 0],
        "relevant": [True, False, False, True, False],
        "cross_encoder": [2.0, 1, 0, 1, 5],
        "bm25": [0.0, 0, 0, 0, 7],  # with an order only where nothing is relevant
        "base_cosine": [0.5, 0.5, 0.1, 0.9, 0],
    }
)
RUN = relevant_queries(WHOLE)


def test_measure_pairs_leaves_out_what_has_no_order_and_says_why() -> None:
    measures = measure_pairs({13: RUN})
    assert measures.left_out == {"bm25": NO_ORDER}
    assert list(measures.means) == ["cross_encoder", "base_cosine", "random"]
    for name in ("cross_encoder", "base_cosine"):
        pd.testing.assert_frame_equal(measures.means[name], ranking_measures(RUN, RUN[name].to_numpy()))
    pd.testing.assert_frame_equal(measures.means["random"], expected_measures(RUN))


def test_undefined_by_hand() -> None:
    whole = WHOLE.assign(judged=[True, True, True, False, False])
    found = undefined(whole, RUN, measure_pairs({13: RUN}))
    assert (found["queries"], found["queries_without_a_relevant_pair"], found["queries_with_stand_ins"]) == (2, 1, 1)
    assert found["left_out"] == {"bm25": NO_ORDER}


def test_measure_pairs_asks_every_seed_for_the_cross_encoder_alone() -> None:
    """The second seed's models have query 1 the other way round, and order where the first's has none."""
    other = RUN.assign(cross_encoder=[1.0, 2, 0, 1], base_cosine=0.0)
    measures = measure_pairs({13: RUN, 14: other})
    assert list(measures.tables["cross_encoder"]) == [13, 14]
    assert list(measures.tables["base_cosine"]) == list(measures.tables["random"]) == [13]
    assert measures.means["cross_encoder"]["RR@10"].tolist() == [3 / 4, 1]
    flat = RUN.assign(cross_encoder=0.0)
    assert "cross_encoder" in measure_pairs({13: flat, 14: RUN}).tables
    assert measure_pairs({13: flat, 14: flat}).left_out["cross_encoder"] == NO_ORDER


def test_evaluate_of_a_model_without_an_order_is_one_line() -> None:
    run = WHOLE.assign(judged=True, unseen=True, cross_encoder=0.0)
    with pytest.raises(InputError, match="cross_encoder: expected scores that order documents, found equal ones"):
        evaluate({13: run}, {}, PARAMS)


def test_evaluate_of_one_split_without_hits_is_of_judged_pairs() -> None:
    found = evaluate({13: WHOLE.assign(judged=True, unseen=False)}, {}, PARAMS)
    assert found.served is None
    assert found.comparison["decides"] == {"table": "judged", "system": None, "judged": None}
    assert found.comparison["unseen_documents"] == {"queries": 0, "pairs": 0}
    assert "reranked" not in found.comparison


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        ([0, 3], {"queries": 2, "pairs": 2}),  # one document a query: there is no order to measure
        ([0, 1], {"queries": 1, "pairs": 2}),  # one query tells nothing of others
        ([], {"queries": 0, "pairs": 0}),
    ],
)
def test_compare_slice_is_counts_alone_where_nothing_can_be_told(rows: list[int], counts: dict[str, int]) -> None:
    assert compare_slice({13: WHOLE.iloc[rows].assign(judged=True)}, 13) == counts


def as_hits(run: pd.DataFrame, dense: tuple[int, int] = (1, 2)) -> pd.DataFrame:
    """Each query's two documents as hits of BM25, in this order, and of the retriever, at ranks `dense`."""
    count = len(run) // 2
    ranks = {"bm25_rank": [1, 2] * count, "dense_rank": [*dense] * count} | dict.fromkeys(("base_rank", "run_rank"))
    scores = {"bm25": [2.0, 1.0] * count, "retriever": [1.0 / rank for rank in dense] * count}
    return (
        run[["query_id", "document_id", "cross_encoder", "base_cosine"]]
        .assign(**ranks, **scores)
        .astype(dict.fromkeys(ranks, "Int32"))
    )


def twelve() -> pd.DataFrame:
    """Judged pairs of twelve queries, of whose two documents the second is relevant."""
    one = WHOLE.iloc[2:4].assign(judged=True, unseen=True)
    return pd.concat([one.assign(query_id=f"q{number:02}") for number in range(12)], ignore_index=True)


FIRST, SECOND = 1.0, 1 / np.log2(3)  # nDCG@10 of a query with its relevant document there


def test_each_seed_has_its_own_hits_where_a_retriever_finds_them() -> None:
    """The second seed's retriever ranks the relevant documents first; the first one's, second."""
    run, dense = twelve(), PARAMS.first_stage.model_copy(update={"retriever": "dense"})
    hits = {13: as_hits(run), 14: as_hits(run, dense=(2, 1))}
    served = evaluate({13: run, 14: run}, hits, PARAMS.model_copy(update={"first_stage": dense})).served
    assert served is not None
    means = {name: by["nDCG@10"]["mean"] for name, by in served.comparison["systems"].items()}
    half = (FIRST + SECOND) / 2
    assert means == pytest.approx(
        {"cross_encoder": FIRST, "retriever": half, "base_cosine": FIRST, "first_stage": half}
    )
    assert served.curve[["depth", "gain"]].to_numpy().tolist() == [[0, 0], [2, pytest.approx(FIRST - half)]]
    assert [set(each.tables) for each in served.stacks] == [{13, 14}] * len(served.stacks)
    compared = ["cross_encoder", "first_stage", "base_cosine", *(each.name for each in served.stacks[:-1])]
    firsts = served.firsts.groupby(["name", "seed"], sort=False)["document_id"].agg("".join)
    assert firsts.index.tolist() == list(product(compared, (13, 14)))
    assert firsts["dense", 13] == "cd" * 12
    assert firsts["dense", 14] == "dc" * 12


def test_the_table_of_stacks_has_fitted_weights_where_there_are_folds_and_references_last() -> None:
    run = twelve()
    hits = {13: as_hits(run).assign(tutorial=0.0)}
    plain, folded = (
        evaluate({13: run}, hits, PARAMS, folds).served for folds in (None, {f"q{i:02}": i % 3 for i in range(12)})
    )
    assert plain is not None
    assert folded is not None
    rows = [
        *("bm25", "dense", "hybrid", "bm25+cross_encoder", "dense+cross_encoder", "dense+fused"),
        *("hybrid+cross_encoder", "hybrid+fused"),
    ]
    assert [each.name for each in plain.stacks] == [*rows, "tutorial", "perfect"]
    fitted = ["hybrid, fitted", "hybrid+fused, fitted"]
    assert [each.name for each in folded.stacks] == [*rows, *fitted, "tutorial", "perfect"]
    assert [each.name for each in folded.stacks if each.reference] == ["tutorial", "perfect"]


def test_evaluate_leaves_out_queries_with_stand_ins() -> None:
    """Two of twelve: judged pairs and unseen ones are those of the ten; the served rankings keep all twelve."""
    run = twelve()
    run.loc[[0, 2], "judged"] = False  # of q00 and q01
    found, ten = evaluate({13: run}, {13: as_hits(run)}, PARAMS), evaluate({13: run[4:]}, {}, PARAMS)
    for name in ("systems", "differences", "headline", "unseen_documents"):
        assert found.comparison[name] == ten.comparison[name]
    assert found.comparison["headline"]["verdict"] != "no verdict"
    assert (found.comparison["queries_left_out"], ten.comparison["queries_left_out"]) == (2, 0)
    assert found.judged["query_id"].nunique() == 10
    assert found.served is not None
    assert len(found.served.means["cross_encoder"]) == 12
    nine = evaluate({13: run[:-2]}, {}, PARAMS).comparison
    assert (nine["headline"]["verdict"], nine["queries_left_out"]) == ("no verdict", 0)

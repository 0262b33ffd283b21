"""ranker.evaluation.systems: what is left out, what is undefined."""

import pandas as pd

from ranker.evaluation.systems import NO_ORDER, measure_systems, undefined, withheld
from ranker.metrics.ranking import expected_measures, ranking_measures, relevant_queries

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
SYSTEMS = ("cross_encoder", "bm25", "base_cosine")


def test_measure_systems_leaves_out_what_has_no_order_and_says_why() -> None:
    measured = measure_systems(RUN, SYSTEMS)
    assert measured.left_out == {"bm25": NO_ORDER}
    assert list(measured.systems) == ["cross_encoder", "base_cosine", "random"]
    for name in ("cross_encoder", "base_cosine"):
        pd.testing.assert_frame_equal(measured.systems[name], ranking_measures(RUN, RUN[name].to_numpy()))
    pd.testing.assert_frame_equal(measured.systems["random"], expected_measures(RUN))


def test_undefined_by_hand() -> None:
    found = undefined(WHOLE, RUN, measure_systems(RUN, SYSTEMS))
    assert (found["queries"], found["queries_without_a_relevant_pair"]) == (2, 1)
    assert found["left_out"] == {"bm25": NO_ORDER}


def test_withheld_counts_queries_that_have_stand_ins() -> None:
    assert withheld(WHOLE.assign(judged=True)) == {}
    found = withheld(WHOLE.assign(judged=[True, False, False, False, True]))
    assert found["verdict"] == "no verdict"
    assert found["why"] == "random unjudged documents stand in for the negatives of 2 queries"

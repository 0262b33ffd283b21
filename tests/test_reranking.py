"""ranker.evaluation.reranking: reranked hits, by hand and by plain sorting."""

from math import log2
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.evaluation.reranking import compare_hits, depth_curve, measure_hits, reordered, smallest_depth
from ranker.metrics.ranking import mean_measures
from ranker.metrics.verdict import deciding_table

SYSTEMS = ["cross_encoder", "base_cosine", "first_stage", "perfect"]


def make_hits(
    names: dict[str, str], cross_encoder: list[float], base_cosine: list[float] | None = None
) -> pd.DataFrame:
    """The hits of each query, best first; each letter is a document."""
    rows = [(query_id, name, rank) for query_id, found in names.items() for rank, name in enumerate(found, 1)]
    hits = pd.DataFrame(rows, columns=["query_id", "document_id", "rank"]).astype({"rank": np.int32})
    return hits.assign(cross_encoder=cross_encoder, base_cosine=base_cosine or cross_encoder)


def make_judged(grades: dict[str, dict[str, int]]) -> pd.DataFrame:
    rows = [(query_id, name, grade) for query_id, of_query in grades.items() for name, grade in of_query.items()]
    judged = pd.DataFrame(rows, columns=["query_id", "document_id", "grade"])
    return judged.assign(relevant=judged["grade"] > 0, judged=True)


def by_sorting(hits: pd.DataFrame, scores: np.ndarray, depth: int) -> list[list[str]]:
    """Each query's documents in the served order, by Python's own sorts."""
    found = []
    for _, rows in hits.assign(score=scores.astype(np.float32)).groupby("query_id"):
        listed = rows.sort_values("rank")[["document_id", "score"]].to_numpy().tolist()
        head = sorted(listed[:depth], key=lambda row: (row[1], row[0]), reverse=True)
        found.append([name for name, _ in head + listed[depth:]])
    return found


def by_places(hits: pd.DataFrame, places: np.ndarray) -> list[list[str]]:
    ordered = hits.assign(place=places).sort_values("place", ascending=False)
    return [rows["document_id"].tolist() for _, rows in ordered.groupby("query_id")]


@given(
    st.lists(st.lists(st.integers(-2, 2), min_size=1, max_size=8), min_size=1, max_size=3),
    st.integers(0, 9),
    st.randoms(use_true_random=False),
)
def test_reordered_is_what_plain_sorting_gives(queries: list[list[int]], depth: int, random: Any) -> None:
    """Rows in no order, ties, and differences below single precision."""
    rows = [
        (f"q{number}", f"d{(rank * 5) % 8}", rank, score + rank * 1e-12)
        for number, scores in enumerate(queries)
        for rank, score in enumerate(scores, 1)
    ]
    random.shuffle(rows)
    hits = pd.DataFrame(rows, columns=["query_id", "document_id", "rank", "score"])
    scores = hits["score"].to_numpy()
    places = reordered(hits, scores, depth)
    assert by_places(hits, places) == by_sorting(hits, scores, depth)
    assert not pd.DataFrame({"query_id": hits["query_id"], "place": places}).duplicated().any()


def test_both_sides_are_capped_by_the_same_recall() -> None:
    """One of two positives was retrieved; every order, even the perfect one, lacks the other."""
    judged = make_judged({"1": {"p": 1, "lost": 1, "n": 0}})
    best = make_hits({"1": "pnx"}, [3.0, 2.0, 1.0])
    worst = make_hits({"1": "xnp"}, [1.0, 2.0, 3.0])
    capped = {"nDCG@10": 1 / (1 + 1 / log2(3)), "RR@10": 1, "AP": 0.5, "P@5": 0.2, "R@100": 0.5, "Judged@10": 2 / 3}
    assert capped["nDCG@10"] == pytest.approx(0.613, abs=5e-4)
    for hits, perfect in ((best, ["first_stage", "perfect", "cross_encoder"]), (worst, ["perfect", "cross_encoder"])):
        measured = measure_hits(judged, hits, 100)
        assert list(measured) == SYSTEMS
        for system in perfect:
            assert mean_measures(measured[system]) == pytest.approx(capped), system
        assert {table["R@100"].item() for table in measured.values()} == {0.5}
    assert mean_measures(measured["first_stage"]) == pytest.approx(
        capped | {"nDCG@10": 1 / log2(4) / (1 + 1 / log2(3)), "RR@10": 1 / 3, "AP": 1 / 3 / 2}
    )


def test_a_query_without_a_hit_counts_as_nothing() -> None:
    judged = make_judged({"2": {"p": 1}, "1": {"p": 2, "n": 0}})
    measured = measure_hits(judged, make_hits({"1": "pn"}, [2.0, 1.0]), 100)
    for table in measured.values():
        assert table["query_id"].tolist() == ["2", "1"]
        assert table.iloc[0].drop(["query_id", "Judged@10"]).tolist() == [0] * 5
        assert table.iloc[1]["nDCG@10"] == 1
        assert mean_measures(table)["nDCG@10"] == 0.5


def test_judged_at_10_is_the_share_of_the_first_ten() -> None:
    """Twelve hits, of which a, k and l are judged, k and l below the tenth; with two hits, the share is of two."""
    judged = make_judged({"1": {"a": 1, "k": 0, "l": 0}, "2": {"a": 1}})
    hits = make_hits({"1": "abcdefghijkl", "2": "ab"}, [*range(12), 2.0, 1.0])
    shares = {name: table["Judged@10"].tolist() for name, table in measure_hits(judged, hits, 100).items()}
    assert shares["first_stage"] == [0.1, 0.5]
    assert shares["cross_encoder"] == [0.2, 0.5]  # l and k


TEN = "abcdefghij"


def test_judged_is_a_share_of_what_was_found() -> None:
    """Two of ten queries have no hit: they score 0 and have no judged share, so the reranked hits decide."""
    judged = make_judged({f"q{number}": {name: int(name == "b") for name in TEN} for number in range(10)})
    found = make_hits({f"q{number}": TEN for number in range(8)}, [float(place) for place in range(80)])
    measured = measure_hits(judged, found, 100)
    assert measured["first_stage"]["Judged@10"].isna().tolist() == [False] * 8 + [True] * 2
    compared = compare_hits({name: {13: table} for name, table in measured.items()}, 13)
    decides = deciding_table(compared)
    assert (decides["table"], decides["judged"]) == ("reranked", 1.0)
    assert compared["systems"]["first_stage"]["nDCG@10"]["mean"] == pytest.approx(0.8 / log2(3))
    assert mean_measures(measured["first_stage"])["Judged@10"] == 1.0


def test_compare_hits_leaves_the_ceiling_out() -> None:
    """The perfect order cannot be deployed, so it is compared with no system."""
    judged = make_judged({str(query): {"a": 0, "b": 1, "lost": 1} for query in range(9)})
    hits = make_hits({str(query): "ab" for query in range(9)}, [1.0, 2.0] * 9, [2.0, 1.0] * 9)
    measured = measure_hits(judged, hits, 100)
    found = compare_hits({name: {13: table} for name, table in measured.items()}, seed=1)
    assert list(found["systems"]) == ["cross_encoder", "base_cosine", "first_stage"]
    assert list(found["differences"]) == ["base_cosine", "first_stage"]
    assert mean_measures(measured["perfect"])["nDCG@10"] == pytest.approx(1 / (1 + 1 / log2(3)))
    assert found["headline"]["verdict"] == "helps"
    assert found["headline"]["strongest"] in ("base_cosine", "first_stage")


def test_depth_curve_by_hand() -> None:
    """Two queries have their relevant document at ranks 2 and 12; the ranker puts it first within the depth."""
    names = "abcdefghijkl"
    judged = make_judged({"1": {"b": 1}, "2": {"l": 1}})
    scores = [float(name == "b") for name in names] + [float(name == "l") for name in names]
    hits = make_hits({"1": names, "2": names}, scores, [-float(rank) for rank in range(12)] * 2)
    curve = depth_curve(judged, [hits])
    assert list(curve) == ["depth", "cross_encoder", "base_cosine", "perfect", "gain", "gain_low", "gain_high"]
    start = 1 / log2(3) / 2
    expected = {"depth": [0, 10, 12], "cross_encoder": [start, 0.5, 1.0], "base_cosine": [start] * 3}
    assert curve[list(expected)].to_dict("list") == {name: pytest.approx(values) for name, values in expected.items()}
    assert curve["perfect"].tolist() == pytest.approx(curve["cross_encoder"].tolist())
    assert curve["gain"].tolist() == pytest.approx([0, 0.5 - start, 1 - start])
    assert (curve["gain_low"] <= curve["gain"]).all()
    assert (curve["gain_high"] >= curve["gain"]).all()
    assert curve[["gain_low", "gain_high"]].to_numpy()[0].tolist() == [0, 0]


def test_depth_curve_of_two_seeds_is_their_mean_and_less_sure() -> None:
    """One seed's models put each query's relevant document first; the other seed's leave it second."""
    judged = make_judged({"1": {"b": 1}, "2": {"b": 1}})
    runs = [make_hits({"1": "ab", "2": "ab"}, scores) for scores in ([1.0, 2.0] * 2, [2.0, 1.0] * 2)]
    curves = [depth_curve(judged, [run]) for run in runs]
    both = depth_curve(judged, runs)
    for column in ("cross_encoder", "gain"):
        assert both[column].tolist() == pytest.approx(((curves[0][column] + curves[1][column]) / 2).tolist())
    assert both["perfect"].tolist() == curves[0]["perfect"].tolist() == curves[1]["perfect"].tolist()
    width = [(curve["gain_high"] - curve["gain_low"]).iloc[-1] for curve in (*curves, both)]
    assert width[:2] == [0, 0]
    assert width[2] > 0


def test_orders_has_every_system_that_scored_the_hits() -> None:
    judged, hits = make_judged({"1": {"b": 1}}), make_hits({"1": "ab"}, [2.0, 1.0])
    found = measure_hits(judged, hits.assign(retriever=[1.0, 2.0]), 2)
    assert list(found) == ["cross_encoder", "retriever", "base_cosine", "first_stage", "perfect"]
    assert [found[name]["RR@10"].item() for name in ("cross_encoder", "retriever")] == [0.5, 1.0]


def gains(*values: float, low: float = 0.01) -> pd.DataFrame:
    """Gains, each with an interval that lies above 0 if the gain is larger than `low`."""
    curve = pd.DataFrame({"depth": [0, 10, 20, 50][: len(values)], "gain": values})
    return curve.assign(gain_low=curve["gain"] - low, gain_high=curve["gain"] + low)


@pytest.mark.parametrize(
    ("curve", "depth"),
    [
        (gains(0.0, 0.19, 0.2, 0.1), 10),  # exactly 95% of the best
        (gains(0.0, 0.18, 0.1, 0.2), 50),
        (gains(0.0, 0.2, 0.0, -0.1), 10),
        (gains(0.0, -0.1, -0.2), None),
        (gains(0.0), None),
        (gains(0.0, 0.007, 0.006, low=0.049), None),  # an interval of -0.042 to +0.056 advises no depth
        (gains(0.0, 0.96, 1.0, low=0.98), 20),
    ],
)
def test_smallest_depth_has_most_of_the_best_gain(curve: pd.DataFrame, depth: int | None) -> None:
    found = smallest_depth(curve)
    assert (found and found["depth"]) == depth
    if found:
        assert list(found) == ["depth", "gain", "gain_low", "gain_high"]

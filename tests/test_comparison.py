"""Intervals and tests, against what is known of them."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from ranker.evaluation.significance import compare, difference, interval


def test_interval_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(1).normal(0.4, 0.2, size=400)
    found = interval(values, seed=13, lowest=0)
    half = norm.ppf(0.975) * values.std() / 20
    assert found["mean"] == pytest.approx(values.mean())
    assert (found["low"], found["high"]) == pytest.approx((values.mean() - half, values.mean() + half), abs=half / 20)


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    found = [interval(random.beta(1, 2, size=50), seed=13, lowest=0) for _ in range(200)]
    assert 0.90 <= np.mean([each["low"] <= 1 / 3 <= each["high"] for each in found]) <= 0.98


def test_p_is_the_share_of_sign_changes_at_least_as_far_from_zero() -> None:
    """All 2^8 sign changes, by hand."""
    values = np.array([0.3, 0.1, -0.05, 0.2, 0.25, -0.1, 0.15, 0.4])
    means = [abs(np.mean(values * signs)) for signs in product([1, -1], repeat=8)]
    expected = np.mean([mean >= abs(values.mean()) - 1e-12 for mean in means])
    assert difference(values, seed=13)["p"] == pytest.approx(expected)


def test_chance_alone_is_told_apart_one_time_in_twenty() -> None:
    random = np.random.default_rng(2)
    verdicts = [difference(random.normal(0, 0.2, size=50), seed=13)["verdict"] for _ in range(200)]
    assert 0.01 <= np.mean([verdict != "not told apart" for verdict in verdicts]) <= 0.10


@pytest.mark.parametrize(("shift", "verdict"), [(0.2, "better"), (-0.2, "worse"), (0.001, "not told apart")])
def test_verdicts(shift: float, verdict: str) -> None:
    values = np.random.default_rng(3).permutation(np.linspace(-0.2, 0.2, 51)) + shift
    found = difference(values, seed=13)
    assert found["verdict"] == verdict
    assert found["mean"] == pytest.approx(shift)
    assert (found["low"] <= 0 <= found["high"]) == (verdict == "not told apart")


def test_equal_systems_are_not_told_apart() -> None:
    zero = {"mean": 0, "low": 0, "high": 0, "p": 1, "verdict": "not told apart"}
    assert difference(np.zeros(50), seed=13) == zero


def test_one_query_tells_nothing() -> None:
    assert interval(np.array([0.7]), seed=13, lowest=0) == {"mean": 0.7, "low": 0, "high": 1}
    found = difference(np.array([0.7]), seed=13)
    assert found == {"mean": 0.7, "low": -1, "high": 1, "p": 1, "verdict": "not told apart"}


def test_compare_pairs_queries_whatever_their_order() -> None:
    ranker = pd.DataFrame({"query_id": ["1", "2", "3"], "AP": [0.5, 0.6, 0.7]})
    bm25 = pd.DataFrame({"query_id": ["3", "1", "2"], "AP": [0.6, 0.4, 0.5]})
    found = compare({"ranker": ranker, "bm25": bm25}, seed=13)
    assert list(found) == ["systems", "differences"]
    assert found["systems"]["bm25"]["AP"]["mean"] == pytest.approx(0.5)
    assert list(found["differences"]) == ["bm25"]
    assert found["differences"]["bm25"]["AP"]["low"] == pytest.approx(0.1)  # each query is 0.1 better
    assert compare({"ranker": ranker, "bm25": bm25}, seed=13) == found

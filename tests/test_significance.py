"""ranker.metrics.significance, by hand, against scipy, and by known properties of intervals and tests."""

from itertools import product
from math import sqrt

import numpy as np
import pandas as pd
import pytest
from scipy.stats import sem, t

from ranker.metrics.interval import Interval, interval
from ranker.metrics.significance import Tables, compare_systems, differences, holm, p_value, seed_spread
from ranker.metrics.systems import opponents
from ranker.metrics.verdict import BETTER, NO_DIFFERENCE, WORSE


def test_interval_is_scipys_t() -> None:
    for seed, count in ((1, 2), (2, 10), (3, 400)):
        values = np.random.default_rng(seed).normal(0.4, 0.02, size=count)
        found = interval(values, lowest=0)
        low, high = t.interval(0.95, count - 1, loc=values.mean(), scale=sem(values))
        assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high))


def test_interval_adds_the_variance_over_queries_to_that_over_seeds() -> None:
    """Two seeds of three queries, by hand: means by query 2, 4, 9 over a hundred; by seed 4 and 6."""
    values = np.array([[1.0, 3, 8], [3, 5, 10]]) / 100
    queries, seeds = 0.0013 / 3, 0.0002 / 2  # 0.0013: (9 + 1 + 16) / 2 / 100^2; 0.0002: (1 + 1) / 1 / 100^2
    freedom = (queries + seeds) ** 2 / (queries**2 / 2 + seeds**2 / 1)
    half = t.ppf(0.975, freedom) * sqrt(queries + seeds)
    found = interval(values, lowest=-1)
    assert (found.mean, found.low, found.high) == pytest.approx((0.05, 0.05 - half, 0.05 + half))
    one = interval(values[:1], lowest=-1)
    assert one == interval(values[0], lowest=-1)


@pytest.mark.parametrize(
    ("values", "lowest", "expected"),
    [
        (np.full(10, 0.25), 0, (0.25, 0.25, 0.25)),
        (np.full((2, 10), 0.25), 0, (0.25, 0.25, 0.25)),
        (np.array([0.7]), 0, (0.7, 0, 1)),  # one query tells nothing
        (np.array([[0.5], [0.75]]), -1, (0.625, -1, 1)),
        (np.array([0.0, 0, 1]), 0, (1 / 3, 0, 1)),  # cut to the possible
    ],
)
def test_interval_at_its_ends(values: np.ndarray, lowest: float, expected: tuple[float, float, float]) -> None:
    assert interval(values, lowest) == Interval(*expected)


def test_interval_over_seeds_too_holds_the_truth_as_often_as_it_says() -> None:
    """Three seeds of ten queries, each with its own effect: the true mean is over all queries and all seeds.

    Of one seed, and of skewed measures, it does too; a percentile bootstrap covers nine in ten.
    """
    random, held = np.random.default_rng(1), 0
    laws = {"normal": (random.normal(0.1, 0.2, size=(1000, 10)), 0.1), "skew": (random.beta(2, 4, (1000, 10)), 1 / 3)}
    for law, (samples, truth) in laws.items():
        found = [interval(values, lowest=-1) for values in samples]
        assert 0.92 <= np.mean([each.low <= truth <= each.high for each in found]) <= 0.98, law
    for _ in range(500):
        queries, seeds, rest = (random.normal(0, spread, shape) for spread, shape in EFFECTS)
        each = interval(0.1 + queries + seeds + rest, lowest=-1)
        held += each.low <= 0.1 <= each.high
    assert 0.92 <= held / 500 <= 0.99


EFFECTS: tuple[tuple[float, tuple[int, int]], ...] = ((0.2, (1, 10)), (0.05, (3, 1)), (0.05, (3, 10)))


def test_p_value_is_the_share_of_sign_changes_at_least_as_far_from_zero() -> None:
    """All 2^8 sign changes, by hand."""
    values = np.array([0.3, 0.1, -0.05, 0.2, 0.25, -0.1, 0.15, 0.4])
    means = [abs(np.mean(values * signs)) for signs in product([1, -1], repeat=8)]
    expected = np.mean([mean >= abs(values.mean()) - 1e-12 for mean in means])
    assert p_value(values, seed=13) == pytest.approx(expected)
    assert p_value(-values, seed=14) == pytest.approx(expected)


def test_p_value_by_chance_alone_is_below_five_hundredths_one_time_in_twenty() -> None:
    random = np.random.default_rng(2)
    found = [p_value(random.normal(0, 0.2, size=50), seed=13) for _ in range(100)]
    assert 0.01 <= np.mean([p < 0.05 for p in found]) <= 0.10


@pytest.mark.parametrize("values", [np.zeros(50), np.array([0.7]), np.array([])])
def test_p_value_where_nothing_can_be_told_is_one(values: np.ndarray) -> None:
    assert p_value(values, seed=13) == 1


def test_p_value_follows_its_seed() -> None:
    values = np.random.default_rng(3).normal(0.05, 0.2, size=50)  # too many queries for all sign changes
    assert p_value(values, seed=13) == p_value(values, seed=13) != p_value(values, seed=14)


@pytest.mark.parametrize(
    ("given", "corrected"),
    [
        # smallest first: 4 * 0.005, 3 * 0.01, 2 * 0.03, and 0.04, raised to the one before
        ({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}, {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}),
        ({"a": 0.02}, {"a": 0.02}),
        ({"a": 0.4, "b": 0.6}, {"a": 0.8, "b": 0.8}),
        ({"a": 0.9, "b": 0.8, "c": 1.0}, {"a": 1, "b": 1, "c": 1}),
        ({}, {}),
    ],
)
def test_holm_by_hand(given: dict[str, float], corrected: dict[str, float]) -> None:
    assert holm(given) == pytest.approx(corrected)


def table(*values: float, measure: str = "nDCG@10") -> pd.DataFrame:
    return pd.DataFrame({"query_id": [str(i) for i in range(len(values))], measure: values})


def one_seed(**tables: pd.DataFrame) -> dict[str, Tables]:
    return {name: {13: table} for name, table in tables.items()}


def shifted(*shifts: float) -> pd.DataFrame:
    """Twenty queries around 0.5, each moved by one of the shifts in turn."""
    values = np.linspace(0.4, 0.6, 20) + np.resize(shifts, 20)
    return table(*values)


def test_differences_are_corrected_for_all_systems_of_a_measure() -> None:
    """Clearly better than `far`; better than `near` at a p that is below 0.05 before Holm's correction only."""
    own = shifted(0.0)
    near = shifted(*([0.1] * 5 + [-0.1] * 15))  # 15 of 20 are better, each by a tenth: two-sided p 0.041
    systems = one_seed(cross_encoder=own, far=shifted(-0.3), near=near, same=own)
    found = differences(systems, "cross_encoder", seed=13)
    assert list(found) == ["far", "near", "same"]
    far, close, same = (found[name]["nDCG@10"] for name in found)
    assert far.mean == pytest.approx(0.3)
    assert far.verdict == BETTER
    assert far.p_holm == pytest.approx(3 * far.p)
    assert close.p_holm == pytest.approx(2 * close.p)
    assert close.p == pytest.approx(0.041, abs=0.005)
    assert close.verdict == NO_DIFFERENCE
    assert (same.mean, same.low, same.high, same.p, same.p_holm, same.verdict) == (0, 0, 0, 1, 1, NO_DIFFERENCE)
    worse = differences(one_seed(cross_encoder=shifted(-0.3), other=own), "cross_encoder", seed=13)
    assert worse["other"]["nDCG@10"].verdict == WORSE


def test_compare_pairs_queries_whatever_their_order() -> None:
    ranker = pd.DataFrame({"query_id": ["1", "2", "3"], "nDCG@10": [0.5, 0.6, 0.7]})
    bm25 = pd.DataFrame({"query_id": ["3", "1", "2"], "nDCG@10": [0.6, 0.4, 0.5]})
    found = compare_systems(one_seed(cross_encoder=ranker, bm25=bm25), ["bm25"], seed=13)
    assert list(found) == ["systems", "differences", "headline"]
    assert found["systems"]["bm25"]["nDCG@10"]["mean"] == pytest.approx(0.5)
    difference = found["differences"]["bm25"]["nDCG@10"]
    assert (difference["low"], difference["high"]) == pytest.approx((0.1, 0.1))  # each query is 0.1 better
    assert compare_systems(one_seed(cross_encoder=ranker, bm25=bm25), ["bm25"], seed=13) == found


def test_compare_takes_a_table_for_each_seed() -> None:
    """The tables order their queries differently: means by query are 0.3 and 0.6, by seed 0.3 and 0.6."""
    by_seed = {
        13: pd.DataFrame({"query_id": ["1", "2"], "nDCG@10": [0.2, 0.4]}),
        14: pd.DataFrame({"query_id": ["2", "1"], "nDCG@10": [0.8, 0.4]}),
    }
    bm25 = one_seed(bm25=table(0.1, 0.1).assign(query_id=["2", "1"]))
    found = compare_systems({"cross_encoder": by_seed, **bm25}, opponents("judged"), seed=13)
    own = found["systems"]["cross_encoder"]["nDCG@10"]
    expected = interval(np.array([[0.2, 0.4], [0.4, 0.8]]), lowest=0)
    assert own == pytest.approx({"mean": 0.45, "low": expected.low, "high": expected.high})
    difference = found["differences"]["bm25"]["nDCG@10"]
    expected = interval(np.array([[0.1, 0.3], [0.3, 0.7]]), lowest=-1)
    assert (difference["mean"], difference["low"], difference["high"]) == pytest.approx(
        (0.35, expected.low, expected.high)
    )
    assert difference["p"] == p_value(np.array([0.2, 0.5]), seed=13) == 0.5  # of the means over seeds
    assert found["headline"] == {"verdict": NO_DIFFERENCE, "strongest": "bm25", "from": ["bm25"]}


def test_compare_passes_over_untrained_systems_that_are_not_there() -> None:
    assert "random" in opponents("judged")
    systems = one_seed(cross_encoder=shifted(0.0), bm25=shifted(-0.3), tutorial=shifted(0.3))
    found = compare_systems(systems, opponents("judged"), 13)
    assert found["headline"] == {"verdict": "helps", "strongest": "bm25", "from": ["bm25"]}
    assert found["differences"]["tutorial"]["nDCG@10"]["verdict"] == WORSE  # trained, so not in the verdict


def test_seed_spread_is_the_deviation_of_the_seeds_means() -> None:
    by_seed = {13: table(0.2, 0.4, measure="AP"), 14: table(0.8, 0.4, measure="AP")}
    assert seed_spread(by_seed) == {"AP": pytest.approx({"13": 0.3, "14": 0.6, "spread": 0.3 / sqrt(2)})}
    assert seed_spread({13: by_seed[13]}) == {"AP": pytest.approx({"13": 0.3, "spread": 0})}

"""ranker.metrics.verdict: its rule, the table that gives it, and what withholds it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import nct, t

from ranker.metrics.comparison import Headline
from ranker.metrics.interval import Interval
from ranker.metrics.verdict import (
    BETTER,
    NO_DIFFERENCE,
    WORSE,
    Difference,
    deciding_table,
    fully_judged,
    headline,
    queries_needed,
    verdict,
    without_stand_ins,
)


@pytest.mark.parametrize(
    ("mean", "p", "called"),
    [(0.1, 0.049, BETTER), (-0.1, 0.049, WORSE), (0.1, 0.05, NO_DIFFERENCE), (-0.1, 1, NO_DIFFERENCE)],
)
def test_verdict(mean: float, p: float, called: str) -> None:
    assert verdict(mean, p) == called


def decide(**found: tuple[float, float, float]) -> Headline:
    """The headline, of each untrained system's mean, and the cross-encoder's difference from it and its p."""
    systems = {name: {"nDCG@10": Interval(mean, 0, 1)} for name, (mean, _, _) in found.items()}
    gaps = {
        name: {"nDCG@10": Difference(gap, -1, 1, p=p, p_holm=1.0, verdict="")} for name, (_, gap, p) in found.items()
    }
    return headline(systems, gaps, found)


def test_headline_helps_only_where_it_is_better_than_each() -> None:
    found = decide(bm25=(0.3, 0.2, 0.01), base_cosine=(0.4, 0.1, 0.04), random=(0.2, 0.3, 0.001))
    assert found == {"verdict": "helps", "strongest": "base_cosine", "from": ["base_cosine", "bm25", "random"]}


def test_headline_names_those_that_it_is_not_better_than_strongest_first() -> None:
    found = decide(bm25=(0.3, 0.2, 0.06), base_cosine=(0.45, 0.05, 0.01), random=(0.2, 0.3, 0.2))
    assert found == {"verdict": NO_DIFFERENCE, "strongest": "base_cosine", "from": ["bm25", "random"]}
    found = decide(bm25=(0.3, 0.2, 0.01), base_cosine=(0.45, -0.05, 0.3), random=(0.2, 0.3, 0.001))
    assert found == {"verdict": NO_DIFFERENCE, "strongest": "base_cosine", "from": ["base_cosine"]}


def test_headline_hurts_at_any_significant_loss() -> None:
    found = decide(bm25=(0.3, 0.2, 0.01), base_cosine=(0.6, -0.1, 0.04), random=(0.2, 0.3, 0.2))
    assert found == {"verdict": "hurts", "strongest": "base_cosine", "from": ["base_cosine"]}
    found = decide(bm25=(0.6, -0.1, 0.04), base_cosine=(0.7, -0.2, 0.01), random=(0.2, 0.3, 0.001))
    assert found == {"verdict": "hurts", "strongest": "base_cosine", "from": ["base_cosine", "bm25"]}


def test_headline_is_by_the_p_of_a_single_test() -> None:
    """An intersection-union test needs no correction: p_holm, which is 1 in `decide`, does not tell."""
    assert decide(bm25=(0.3, 0.2, 0.049))["verdict"] == "helps"
    assert decide(bm25=(0.3, 0.2, 0.05))["verdict"] == NO_DIFFERENCE


@pytest.mark.parametrize(
    ("share", "table"), [(0.9, "reranked"), (np.nextafter(0.9, 0), "judged"), (0.95, "reranked"), (0.5, "judged")]
)
def test_deciding_table_is_of_the_system_with_the_fewest_judged(share: float, table: str) -> None:
    shares = {"cross_encoder": share, "base_cosine": 1.0, "first_stage": 0.96}
    shares["bi_encoder"] = 0.1  # a row of the cross-validation's, which no verdict is against
    reranked: Any = {"systems": {name: {"Judged@10": {"mean": value}} for name, value in shares.items()}}
    assert deciding_table(reranked) == {"table": table, "system": "cross_encoder", "judged": share}


def run_of(judged: int, stand_ins: int) -> pd.DataFrame:
    """Queries of two documents each; those with a stand-in come first."""
    count = judged + stand_ins
    run = pd.DataFrame({"query_id": np.repeat([f"q{number}" for number in range(count)], 2)})
    return run.assign(judged=(run.index % 2 == 0) | (run.index >= 2 * stand_ins))


FOUND: Headline = {"verdict": "helps", "strongest": "bm25", "from": ["bm25"]}


@pytest.mark.parametrize("stand_ins", [0, 1, 11])
def test_a_verdict_is_of_the_queries_without_stand_ins(stand_ins: int) -> None:
    run = run_of(10, stand_ins)
    left = fully_judged(run)
    assert left["query_id"].tolist() == run["query_id"].tolist()[2 * stand_ins :]
    assert without_stand_ins(FOUND, left) == FOUND


def test_no_verdict_where_too_few_queries_are_without_stand_ins() -> None:
    """All are ranked and counted then; the rest of the headline stays."""
    run = run_of(9, 2)
    assert fully_judged(run) is run
    assert without_stand_ins(FOUND, run) == {
        **FOUND,
        "verdict": "no verdict",
        "why": "random unjudged documents stand in for the negatives of 2 of 11 queries, and a verdict on the others "
        "needs 10",
    }
    assert without_stand_ins(FOUND, run_of(9, 0)) == FOUND


@pytest.mark.parametrize(("spread", "needed"), [(0.02, 10), (0.04, 34), (0.1, 199), (0.2, 787)])
def test_queries_needed_are_those_of_the_power_of_a_paired_t_test(spread: float, needed: int) -> None:
    """The literals for effects of 1, 0.5 and 0.2 are also those of G*Power; the exact power is just above 0.8."""
    assert queries_needed(spread, 0.02) == needed
    for queries, enough in ((needed, True), (needed - 1, False)):
        critical, noncentral = t.ppf(0.975, queries - 1), 0.02 / spread * queries**0.5
        power = nct.sf(critical, queries - 1, noncentral) + nct.cdf(-critical, queries - 1, noncentral)
        assert (power >= 0.8) == enough

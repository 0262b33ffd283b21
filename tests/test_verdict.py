"""ranker.metrics.verdict: its rule, the table that gives it, and what withholds it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ranker.metrics.comparison import Headline
from ranker.metrics.interval import Interval
from ranker.metrics.verdict import (
    BETTER,
    NO_DIFFERENCE,
    WORSE,
    Difference,
    deciding_table,
    headline,
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


def test_no_verdict_where_stand_ins_are_ranked() -> None:
    """Their queries are counted; the rest of the headline stays."""
    run = pd.DataFrame({"query_id": ["1", "1", "2", "2", "3"]})
    found: Headline = {"verdict": "helps", "strongest": "bm25", "from": ["bm25"]}
    assert without_stand_ins(found, run.assign(judged=True)) == found
    assert without_stand_ins(found, run.assign(judged=[True, False, False, False, True])) == {
        **found,
        "verdict": "no verdict",
        "why": "random unjudged documents stand in for the negatives of 2 queries",
    }

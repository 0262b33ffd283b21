"""Fusion: standard scores by hand, and weights that have to earn their place."""

import numpy as np
import pandas as pd
import pytest

from ranker.evaluation.fusion import ALONE, fit_weights, fuse, standardise


def make_run(queries: int, seed: int = 0, **noise: float) -> pd.DataFrame:
    """Forty pairs a query; each system's score is the grade and noise of its own."""
    random = np.random.default_rng(seed)
    run = pd.DataFrame(
        {
            "query_id": np.repeat([f"q{i}" for i in range(queries)], 40),
            "document_id": [f"d{i}" for i in range(40 * queries)],
            "grade": random.choice([0, 0, 0, 1, 2], size=40 * queries),
            "judged": True,
        }
    )
    return run.assign(**{name: run["grade"] + random.normal(0, sigma, len(run)) for name, sigma in noise.items()})


def test_scores_are_standardised_query_by_query() -> None:
    run = pd.DataFrame(
        {
            "query_id": ["1", "2", "1", "2"],
            "ranker": [1.0, 5.0, 3.0, 5.0],  # equal scores of query 2
            "bm25": [0.0, 10.0, 4.0, 30.0],
            "base_cosine": [0.1, 0.2, 0.3, 0.6],
        }
    )
    assert standardise(run) == pytest.approx(np.array([[-1, -1, -1], [0, -1, -1], [1, 1, 1], [0, 1, 1]]))
    assert fuse(run, np.array([0.5, 0.25, 0.25])) == pytest.approx([-1, -0.5, 1, 0.5])


def test_a_system_that_adds_something_is_weighed_in() -> None:
    run = make_run(30, ranker=1.5, bm25=1.5, base_cosine=30.0)
    weights = fit_weights(run, 1)
    assert weights.sum() == pytest.approx(1)
    assert weights[:2] == pytest.approx([0.5, 0.5], abs=0.2)
    assert weights[2] <= 0.2


def test_the_better_system_alone_is_found() -> None:
    assert fit_weights(make_run(30, ranker=30.0, bm25=0.3, base_cosine=30.0), 1)[1] >= 0.8


def test_luck_does_not_move_the_ranker() -> None:
    """BM25 and cosine that add nothing; the best of 66 weights would still be better on ten queries."""
    found = [fit_weights(make_run(10, seed, ranker=1.0, bm25=30.0, base_cosine=30.0), 1) for seed in range(5)]
    assert sum(weights.tolist() == ALONE.tolist() for weights in found) >= 4


def test_pairs_that_nobody_judged_are_not_measured() -> None:
    run = make_run(8, ranker=1.5, bm25=1.5, base_cosine=3.0)
    more = run.assign(document_id="x" + run["document_id"], grade=0, judged=False)
    both = pd.concat([run, more], ignore_index=True)  # the same scores again: the standard scores stay
    assert fit_weights(both, 1).tolist() == fit_weights(run, 1).tolist()


def test_of_equally_good_weights_the_ranker_gets_the_most() -> None:
    """A cosine that says nothing, and BM25 that any weight lets decide: the ranker's scores are all equal."""
    run = make_run(8, ranker=0.0, bm25=0.1, base_cosine=0.0).assign(ranker=1.0, base_cosine=1.0)
    assert fit_weights(run, 1) == pytest.approx([0.9, 0.1, 0])


def test_a_few_queries_move_nothing() -> None:
    assert fit_weights(make_run(4, ranker=30.0, bm25=0.1, base_cosine=30.0), 1).tolist() == ALONE.tolist()

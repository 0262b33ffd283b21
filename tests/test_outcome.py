"""ranker.report.outcome: the title, and the next steps of each verdict."""

from dataclasses import replace
from pathlib import PurePath
from typing import Any, get_args

import pandas as pd
import pytest

from ranker.project.params import FirstStage
from ranker.report.outcome import FINDS_MORE, Outcome, next_steps, verdict_lines
from tests.example_report import COMPARISON, RERANKED

PER_QUERY = pd.DataFrame(
    {
        "query_id": list("abcd"),
        "query": "masks",
        "cross_encoder nDCG@10": [0.5, 0.4, 0.6, 0.5],
        "base_cosine nDCG@10": [0.4, 0.4, 0.4, 0.4],  # differences of 0.1, 0, 0.2 and 0.1: spread 0.0816
        "first_stage nDCG@10": [0.5, 0.4, 0.6, 0.5],
        "bm25 nDCG@10": [0.49, 0.4, 0.6, 0.5],  # spread 0.005
        "gain": [0.1, 0, 0.2, 0.1],
    }
)


def outcome(verdict: str, *names: str, table: str = "reranked", crossval: bool = False, **reranked: Any) -> Outcome:
    """An outcome with this verdict of the deciding table."""
    headline = {"verdict": verdict, "strongest": "base_cosine", "from": list(names), "why": "of stand-ins"}
    decides = {"table": table, "system": "bm25", "judged": 0.5, "rows": 181}
    part = RERANKED | reranked | {"headline": headline}
    comparison = COMPARISON | {"headline": headline, "reranked": part, "decides": decides}
    names_of = {"name": "shop-ranker", "version": "1.2.0", "collection": "shop", "scope": "on this split and seed"}
    listed = PurePath("results/crossval/to_judge.csv" if crossval else "results/to_judge.csv")
    return Outcome(**names_of, crossval=crossval, comparison=comparison, per_query=PER_QUERY, to_judge=listed)


NO_DIFFERENCE = "no significant difference"
CROSSVAL = "Cross-validate (`make crossval`): it measures all queries, not 4. "
SPREAD = (
    "To show a difference of 0.02, judge more queries: at this spread between queries (0.082) it takes 133, 129 more."
)
SHIP = "commit, `dvc push` and `gto register shop-ranker --version v1.2.0` (docs/release.md)."


@pytest.mark.parametrize(
    ("found", "step"),
    [
        (outcome("helps", "base_cosine", "first_stage"), f"To ship it, {SHIP}"),
        (
            outcome("helps", "base_cosine", crossval=True),
            f"To ship it, train it on all judgements (`dvc exp run -S split.held_out=none`) and {SHIP}",
        ),
        (outcome(NO_DIFFERENCE, "base_cosine"), CROSSVAL + SPREAD),
        (outcome(NO_DIFFERENCE, "base_cosine", crossval=True), SPREAD),
        (
            outcome(NO_DIFFERENCE, "bm25"),
            f"{CROSSVAL}4 queries are enough to show a difference of 0.02: deploy BM25, which needs no cross-encoder.",
        ),
        (outcome(NO_DIFFERENCE, "first_stage"), CROSSVAL.strip()),  # equal on each query
        (
            outcome("hurts", "first_stage", first_stage="bm25"),
            "Deploy BM25 instead, which needs no cross-encoder: it is rank profile bm25 of `models/vespa`.",
        ),
        (
            outcome("hurts", "first_stage", first_stage="run"),
            "Deploy your own engine instead, which needs no cross-encoder: leave its order as it is.",
        ),
        (
            outcome("hurts", "base_cosine"),
            "Deploy the base model's cosine instead, which needs no cross-encoder: an index of the base model's "
            "vectors serves it, as docs/serving.md says of a bi-encoder.",
        ),
        (
            outcome("hurts", "random"),
            "Check the grades, because a random order ranks better: a higher grade must mean a better document.",
        ),
    ],
)
def test_each_verdict_has_its_next_step(found: Outcome, step: str) -> None:
    assert next_steps(found) == [step]
    assert verdict_lines(found)[-1] == f"next: {step}"


@pytest.mark.parametrize("verdict", ["helps", "hurts", NO_DIFFERENCE, "no verdict"])
def test_where_too_little_is_judged_the_next_step_is_to_judge(verdict: str) -> None:
    found = outcome(verdict, "bm25", table="judged")
    assert next_steps(found) == [
        "For a verdict on the served rankings, judge the first 181 rows of results/to_judge.csv: "
        "`python -m scripts.judge grades.csv --form` makes a file to fill in, `python -m scripts.judge grades.csv` "
        "merges it."
    ]
    (step,) = next_steps(outcome(verdict, "bm25", table="judged", crossval=True))
    assert "`python -m scripts.judge grades.csv --form results/crossval/to_judge.csv` makes" in step
    found.comparison["decides"]["rows"] = None
    assert "judge all rows, and then those of the next run's list of results/to_judge.csv" in next_steps(found)[0]


def test_pairs_that_are_split_over_queries_lead_to_held_out_queries() -> None:
    found = outcome("helps", "bm25", table="judged")
    comparison: Any = COMPARISON | {"decides": {"table": "judged", "system": None, "judged": None}}
    assert next_steps(replace(found, comparison=comparison)) == [
        "For a verdict on new queries, hold queries out: `dvc exp run -S split.by=query`."
    ]


@pytest.mark.parametrize(("perfect", "bounded"), [(0.79, True), (0.8, False)])
@pytest.mark.parametrize("table", ["reranked", "judged"])
def test_a_first_stage_that_bounds_the_ranker_is_a_second_step(perfect: float, bounded: bool, table: str) -> None:
    hits: Any = {"first_stage": "bm25", "perfect": {"nDCG@10": perfect, "R@100": 0.39375}}
    steps = next_steps(outcome("helps", "base_cosine", table=table, **hits))
    assert len(steps) == 1 + bounded
    assert steps[1:] == bounded * [
        "Find more: the best 100 hits by BM25 hold 39% of the relevant documents, and their perfect order has nDCG@10 "
        "0.790. See whether R@100 rises by `dvc exp run -S first_stage.retriever=fusion`."
    ]


def test_every_first_stage_has_another_one_that_finds_more() -> None:
    stages = set(get_args(FirstStage.model_fields["retriever"].annotation))
    assert set(FINDS_MORE) == stages
    assert set(FINDS_MORE.values()) <= stages - {"run"}


@pytest.mark.parametrize(
    ("found", "title"),
    [
        (outcome("helps", "base_cosine"), "shop-ranker 1.2.0 on shop: better than the base model's cosine"),
        (outcome("hurts", "bm25", "random"), "shop-ranker 1.2.0 on shop: worse than BM25"),
        (outcome(NO_DIFFERENCE, "first_stage", first_stage="bm25"), "shop-ranker 1.2.0 on shop: no better than BM25"),
        (
            outcome(NO_DIFFERENCE, "first_stage", first_stage="run"),
            "shop-ranker 1.2.0 on shop: no better than your own engine",
        ),
        (outcome("no verdict", "bm25", table="judged"), "shop-ranker 1.2.0 on shop: no verdict"),
        (
            outcome("hurts", "random", crossval=True),
            "shop-ranker 1.2.0 on shop, cross-validated: worse than a random order",
        ),
    ],
)
def test_the_title_names_model_collection_and_verdict(found: Outcome, title: str) -> None:
    assert found.title == title

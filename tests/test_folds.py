"""ranker.splits.folds: whole queries unless asked otherwise, like shares, the same again."""

from typing import Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.common.errors import InputError
from ranker.splits.folds import assign_folds, fold_shares, held_out_pairs
from ranker.splits.leakage import check_queries


def make_pairs(queries: int, seed: int = 0) -> pd.DataFrame:
    """Queries with 20 to 180 pairs each, 5 to 75% of them relevant, as in TREC-COVID."""
    random = np.random.default_rng(seed)
    rows = []
    for query in range(queries):
        share = random.uniform(0.05, 0.75)
        rows += [(str(query), f"d{i}", random.random() < share) for i in range(random.integers(20, 180))]
    return pd.DataFrame(rows, columns=["query_id", "document_id", "relevant"])


def texts(pairs: pd.DataFrame) -> pd.DataFrame:
    """A text of its own for each query."""
    query_ids = pairs["query_id"].unique()
    return pd.DataFrame({"query_id": query_ids, "query": [f"query {query_id}" for query_id in query_ids]})


def assign(pairs: pd.DataFrame, folds: int, seed: int, by: Literal["query", "pair"] = "query") -> pd.DataFrame:
    return assign_folds(pairs, texts(pairs), folds, seed, by)


@given(st.integers(5, 60), st.integers(2, 5), st.integers(0, 100))
@settings(max_examples=25)
def test_assign_folds_puts_no_query_on_both_sides(queries: int, folds: int, seed: int) -> None:
    pairs = make_pairs(queries, seed)
    assigned = assign(pairs, folds, seed)
    assert assigned[["query_id", "document_id"]].equals(pairs[["query_id", "document_id"]])
    for fold in range(folds):
        check_queries(assigned[assigned["fold"] != fold], assigned[assigned["fold"] == fold], texts(pairs))
        training, held_out = held_out_pairs(pairs, assigned, fold)
        assert not set(training["query_id"]) & set(held_out["query_id"])
        assert len(training) + len(held_out) == len(pairs)


def test_assign_folds_carries_like_shares() -> None:
    pairs = make_pairs(50)
    shares = fold_shares(pairs, assign(pairs, 5, 13))
    spread = shares["relevant_share"].max() - shares["relevant_share"].min()
    random = [
        fold_shares(pairs, pairs[["query_id", "document_id"]].assign(fold=order[pairs["query_id"].astype(int)]))[
            "relevant_share"
        ]
        for order in (np.random.default_rng(seed).permutation(np.arange(50) % 5) for seed in range(20))
    ]
    assert spread < np.median([share.max() - share.min() for share in random]) / 2
    assert shares["pairs"].sum() == len(pairs)


def test_assign_folds_follows_the_seed() -> None:
    pairs = make_pairs(50)
    assert assign(pairs, 5, 13).equals(assign(pairs, 5, 13))
    assert not assign(pairs, 5, 13).equals(assign(pairs, 5, 14))


def test_assign_folds_keeps_queries_that_read_the_same_together() -> None:
    pairs = make_pairs(50)
    queries = texts(pairs)
    queries["query"] = [f"  Query   {int(query_id) % 10} "[int(query_id) % 3 :] for query_id in queries["query_id"]]
    assigned = assign_folds(pairs, queries, 5, 13, "query").merge(queries)
    assert assigned.groupby(assigned["query"].str.strip())["fold"].nunique().eq(1).all()


def test_assign_folds_by_pair_puts_a_query_on_both_sides() -> None:
    pairs = make_pairs(50)
    training, held_out = held_out_pairs(pairs, assign(pairs, 5, 13, "pair"), 0)
    assert set(training["query_id"]) == set(held_out["query_id"])
    assert len(held_out) == pytest.approx(len(pairs) / 5, abs=1)
    assert held_out["relevant"].mean() == pytest.approx(pairs["relevant"].mean(), abs=0.001)


def test_held_out_pairs_of_several_folds() -> None:
    pairs = make_pairs(20)
    assigned = assign(pairs, 5, 13)
    _, both = held_out_pairs(pairs, assigned, 1, 3)
    assert set(both["query_id"]) == set(assigned.loc[assigned["fold"].isin([1, 3]), "query_id"])


def test_assign_folds_refuses_more_folds_than_queries() -> None:
    with pytest.raises(InputError, match="split.folds: expected at most 4, the number of queries, found 5"):
        assign(make_pairs(4), 5, 13)


@pytest.mark.parametrize(("most", "what"), [(True, "other pairs"), (False, "relevant pairs")])
def test_assign_folds_refuses_more_folds_than_pairs_of_a_class(most: bool, what: str) -> None:
    pairs = pd.DataFrame({"query_id": list("12345"), "document_id": list("abcde"), "relevant": [not most] + [most] * 4})
    with pytest.raises(InputError, match=f"split.folds: expected at most 1, the number of {what}, found 3"):
        assign(pairs, 3, 13)


def test_held_out_pairs_refuses_a_side_of_one_class() -> None:
    pairs = pd.DataFrame(
        {"query_id": ["1", "1", "2", "2"], "document_id": list("abcd"), "relevant": [False, True, False, False]}
    )
    assigned = pairs[["query_id", "document_id"]].assign(fold=[0, 0, 1, 1])
    with pytest.raises(InputError, match="on the held-out side, found 0 relevant among 2"):
        held_out_pairs(pairs, assigned, 1)

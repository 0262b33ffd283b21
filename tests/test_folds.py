"""Folds and their sides: whole queries unless params say otherwise; adding data moves no query to another fold."""

import hashlib
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ranker.common.errors import InputError
from ranker.project.sides import NAMED, held_out_pairs, held_out_rows, training_sides
from ranker.splits.folds import assign_folds, fold_shares, named_folds, query_folds
from tests.factories import refusal


def make_pairs(queries: int, seed: int = 0) -> pd.DataFrame:
    """Queries with 20 to 180 pairs each, 5 to 75% of them relevant, as in TREC-COVID."""
    random = np.random.default_rng(seed)
    rows = []
    for query in range(queries):
        share = random.uniform(0.05, 0.75)
        rows += [(str(query), f"d{i}", random.random() < share) for i in range(random.integers(20, 180))]
    return pd.DataFrame(rows, columns=["query_id", "document_id", "relevant"])


def own(pairs: pd.DataFrame, folds: int, seed: int) -> "pd.Series[int]":
    """The folds of queries by id; each query has different tokens."""
    query_ids = pairs["query_id"].unique()
    return pd.Series(query_folds([np.array([int(name)]) for name in query_ids], folds, seed), index=query_ids)


def test_query_folds_are_a_hash_of_the_seed_and_the_tokens() -> None:
    for seed in (13, 14):
        expected = [
            int(hashlib.sha256(f"{seed} {tokens}".encode()).hexdigest()[:16], 16) % 5
            for tokens in ("101", "101 7", "7 101", "1017")
        ]
        found = query_folds([np.array(tokens, np.int32) for tokens in ([101], [101, 7], [7, 101], [1017])], 5, seed)
        assert found.dtype == np.int8
        assert found.tolist() == expected
    assert expected != query_folds([np.array(tokens) for tokens in ([101], [101, 7], [7, 101], [1017])], 5, 13).tolist()


queries = st.lists(st.integers(0, 30), max_size=4).map(tuple)  # few tokens, so that some queries are equal


@given(st.data(), st.lists(queries, max_size=40), st.lists(queries, max_size=200), st.integers(2, 10), st.integers(0))
def test_query_folds_of_any_addition_in_any_order_move_no_query(
    data: st.DataObject, before: list[tuple[int, ...]], more: list[tuple[int, ...]], folds: int, seed: int
) -> None:
    """Additions are new queries, and copies of queries under other ids: equal tokens share a fold."""

    def folds_of(asked: list[tuple[int, ...]]) -> list[tuple[tuple[int, ...], int]]:
        found = query_folds([np.array(tokens, np.int32) for tokens in asked], folds, seed)
        return list(zip(asked, found.tolist(), strict=True))

    grown = data.draw(st.permutations([*before, *more]))
    fold_of = dict(folds_of(grown))
    assert dict(folds_of(before)).items() <= fold_of.items()
    assert all(fold_of[tokens] == fold for tokens, fold in folds_of(grown))
    assert set(fold_of.values()) <= set(range(folds))


def test_query_folds_are_as_uneven_as_params_yaml_says() -> None:
    """Fifty queries in five folds: 3 to 18 in each, except for one draw in forty at either end."""
    sizes = np.array(
        [np.bincount(query_folds([np.array([i]) for i in range(50)], 5, seed), minlength=5) for seed in range(2000)]
    )
    assert np.mean(sizes.min(axis=1) < 3) < 0.025 < np.mean(sizes.min(axis=1) < 4)
    assert np.mean(sizes.max(axis=1) > 18) < 0.025 < np.mean(sizes.max(axis=1) > 16)


SPLITS = pd.DataFrame(
    [("1", "test"), ("2", "dev"), ("3", "train"), ("4", "test"), ("4", "train")], columns=["query_id", "qrels_split"]
)


def test_named_folds_hold_out_a_split_and_nothing_that_reads_like_it_is_trained_on() -> None:
    """4 is in two splits; 3 and 6 read like queries of test; 5 is in no split, as after dropped judgements."""
    queries = pd.DataFrame({"query_id": list("123456"), "tokens": [b"a", b"b", b"a", b"c", b"d", b"c"]})
    found = named_folds(queries, SPLITS, "test")
    assert found.dtype == np.int8
    assert found.to_dict() == {"1": NAMED, "2": 0, "4": NAMED, "5": 0}
    assert named_folds(queries, SPLITS, "dev").to_dict() == {"1": 0, "2": NAMED, "3": 0, "4": 0, "5": 0, "6": 0}


def test_named_folds_refuse_a_split_that_is_not_there() -> None:
    queries = pd.DataFrame({"query_id": ["1"], "tokens": [b"a"]})
    for splits, has in ((SPLITS, "dev, test, train"), (SPLITS[:0], "the judgements have none")):
        message = rf"split.held_out: expected a fold, none or a split's name \({has}\), found tests"
        assert re.search(message, refusal(named_folds, queries, splits, "tests"))


@given(st.integers(5, 60), st.integers(2, 5), st.integers(0, 100))
@settings(max_examples=25)
def test_assign_folds_puts_no_query_on_both_sides(queries: int, folds: int, seed: int) -> None:
    pairs = make_pairs(queries, seed)
    by_query = own(pairs, folds, seed)
    assume(by_query.nunique() == folds)
    pairs["fold"] = assign_folds(pairs, by_query, folds, seed, "query")
    assert pairs.groupby("query_id")["fold"].nunique().eq(1).all()
    for fold in range(folds):
        training, held_out = held_out_pairs(pairs, fold)
        assert not set(training["query_id"]) & set(held_out["query_id"])
        assert len(training) + len(held_out) == len(pairs)


def test_assign_folds_by_pair_puts_a_query_on_both_sides() -> None:
    pairs = make_pairs(50)
    pairs["fold"] = assign_folds(pairs, own(pairs, 5, 13), 5, 13, "pair")
    training, held_out = held_out_pairs(pairs, 0)
    assert set(training["query_id"]) == set(held_out["query_id"])
    assert len(held_out) == pytest.approx(len(pairs) / 5, abs=1)
    assert held_out["relevant"].mean() == pytest.approx(pairs["relevant"].mean(), abs=0.001)
    again, other = (assign_folds(pairs, own(pairs, 5, 13), 5, seed, "pair") for seed in (13, 14))
    assert again.tolist() == pairs["fold"].tolist() != other.tolist()


def test_fold_shares_by_hand() -> None:
    pairs = pd.DataFrame(
        {"query_id": list("1122233"), "fold": [0, 0, 1, 1, 1, 1, 1], "relevant": [1, 0, 1, 0, 0, 0, 0]}
    )
    assert fold_shares(pairs).to_dict("list") == {
        "fold": [0, 1],
        "queries": [1, 2],
        "pairs": [2, 5],
        "relevant_share": [0.5, 0.2],
    }


def test_held_out_rows_of_none_train_on_all() -> None:
    pairs = make_pairs(4)
    pairs["fold"] = assign_folds(pairs, own(pairs, 2, 13), 2, 13, "query")
    training, held_out = held_out_rows(pairs, "none")
    assert training.tolist() == list(range(len(pairs)))
    assert held_out.tolist() == []
    with pytest.raises(InputError, match="split.held_out none: .* on the training side, found 0 relevant among"):
        held_out_rows(pairs.assign(relevant=False), "none")


@pytest.mark.parametrize(("most", "found"), [(True, "4 relevant and 1 other"), (False, "1 relevant and 4 other")])
def test_assign_folds_by_pair_refuses_more_folds_than_pairs_of_a_kind(most: bool, found: str) -> None:
    pairs = pd.DataFrame({"query_id": list("12345"), "document_id": list("abcde"), "relevant": [not most] + [most] * 4})
    with pytest.raises(InputError, match=f"split.folds: expected at least 3 pairs of both kinds, found {found} pairs"):
        assign_folds(pairs, own(pairs, 3, 13), 3, 13, "pair")


def test_training_sides_have_mined_pairs_in_place_of_stand_ins_and_measure_none() -> None:
    """Query 1 is held out, 2 and 3 are not; 3 has judged negatives and was not mined. A letter is the pair's kind."""
    rows = [("1", "p"), ("1", "s"), ("2", "p"), ("2", "s"), ("3", "p"), ("3", "n"), ("1", "m"), ("2", "m")]
    pairs = pd.DataFrame(rows, columns=["query_id", "kind"])
    kind = pairs["kind"]
    pairs = pairs.assign(relevant=kind == "p", judged=kind.isin(["p", "n"]), mined=kind == "m")
    pairs["fold"] = (pairs["query_id"] != "1").astype(int)
    training, held_out = (
        set(map(tuple, pairs.iloc[side][["query_id", "kind"]].to_numpy())) for side in training_sides(pairs, 0)
    )
    assert training == {("2", "p"), ("2", "m"), ("3", "p"), ("3", "n")}
    assert held_out == {("1", "p"), ("1", "s")}
    everything, nothing = training_sides(pairs, "none")
    assert set(pairs["kind"].iloc[everything]) == {"p", "n", "m"}
    assert (len(everything), len(nothing)) == (6, 0)
    bare = pairs[~pairs["mined"]]
    for own, expected in zip(training_sides(bare, 0), held_out_rows(bare, 0), strict=True):
        assert own.tolist() == expected.tolist()

"""ranker.splits.folds: whole groups of queries unless asked otherwise, in places that more data do not move."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ranker.common.errors import InputError
from ranker.splits import folds as folds_module
from ranker.splits.folds import (
    assign_folds,
    fold_shares,
    group_queries,
    held_out_pairs,
    held_out_rows,
    near_pairs,
    query_folds,
    training_sides,
)


def make_pairs(queries: int, seed: int = 0) -> pd.DataFrame:
    """Queries with 20 to 180 pairs each, 5 to 75% of them relevant, as in TREC-COVID."""
    random = np.random.default_rng(seed)
    rows = []
    for query in range(queries):
        share = random.uniform(0.05, 0.75)
        rows += [(str(query), f"d{i}", random.random() < share) for i in range(random.integers(20, 180))]
    return pd.DataFrame(rows, columns=["query_id", "document_id", "relevant"])


def texts(*queries: str) -> pd.DataFrame:
    return pd.DataFrame({"query_id": [f"q{i}" for i in range(len(queries))], "query": queries})


def numbered(pairs: pd.DataFrame) -> pd.DataFrame:
    """A text of its own for each query."""
    query_ids = pairs["query_id"].unique()
    return pd.DataFrame({"query_id": query_ids, "query": [f"query {query_id}" for query_id in query_ids]})


def own(queries: pd.DataFrame, folds: int, seed: int) -> "pd.Series[int]":
    """The folds of queries of which each is a group of its own."""
    return query_folds(queries, np.arange(len(queries)), folds, seed)


# Of length 1: q0 and q1 at a cosine of 0.96, q1 and q2 at 0.8, q0 and q2 at 0.6; q3 is far from all.
VECTORS = np.array([[1, 0, 0], [0.96, 0.28, 0], [0.6, 0.8, 0], [0, 0, 1]])


def test_near_pairs_by_hand() -> None:
    def found(near: float) -> list[tuple[int, int]]:
        return list(zip(*(rows.tolist() for rows in near_pairs(VECTORS, near)), strict=True))

    assert found(0.9) == [(0, 1)]
    assert found(0.79) == [(0, 1), (1, 2)]
    assert found(0.5) == [(0, 1), (0, 2), (1, 2)]
    assert near_pairs(np.zeros((0, 3)), 0.5)[0].tolist() == []


def test_near_pairs_are_found_beyond_the_first_block(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1).normal(size=(50, 4))
    vectors = random / np.linalg.norm(random, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    expected = {(i, j) for i in range(50) for j in range(i + 1, 50) if cosines[i, j] >= 0.8}
    assert len(expected) > 10
    for rows in (1024, 7):
        monkeypatch.setattr(folds_module, "ROWS", rows)
        one, other = near_pairs(vectors, 0.8)
        assert set(zip(one.tolist(), other.tolist(), strict=True)) == expected
        assert len(one) == len(expected)


@pytest.mark.parametrize(
    ("tokens", "near", "groups"),
    [
        ([b"a", b"b", b"c", b"d"], 1.0, [{0}, {1}, {2}, {3}]),
        ([b"a", b"b", b"c", b"a"], 1.0, [{0, 3}, {1}, {2}]),  # equal ids, whatever the vectors
        ([b"a", b"b", b"c", b"d"], 0.9, [{0, 1}, {2}, {3}]),
        ([b"a", b"b", b"c", b"d"], 0.79, [{0, 1, 2}, {3}]),  # q0 and q2 through q1
        ([b"a", b"b", b"c", b"a"], 0.79, [{0, 1, 2, 3}]),
        ([b"a", b"b", b"b", b"a"], 0.97, [{0, 3}, {1, 2}]),
    ],
)
def test_group_queries_by_hand(tokens: list[bytes], near: float, groups: list[set[int]]) -> None:
    found = group_queries(tokens, VECTORS, near)
    by_group = [set(np.flatnonzero(found == group).tolist()) for group in np.unique(found)]
    assert sorted(by_group, key=min) == groups


def test_query_folds_are_parts_in_the_order_of_a_hash() -> None:
    """By sha256 of the seed and the text: seven queries in folds of 3, 2 and 2."""
    queries = texts("bats", "masks", "wards", "vaccines", "schools", "origin", "children")
    for seed in (13, 14):
        order = sorted(queries["query"], key=lambda text: hashlib.sha256(f"{seed}\n{text}".encode()).hexdigest())
        expected = {text: fold for fold, part in enumerate((order[:3], order[3:5], order[5:])) for text in part}
        found = own(queries, 3, seed)
        assert found.dtype == np.int8
        assert found.to_dict() == {row["query_id"]: expected[row["query"]] for row in queries.to_dict("records")}
    assert own(queries, 3, 13).tolist() != own(queries, 3, 14).tolist()


def test_query_folds_are_of_how_a_query_reads() -> None:
    """Case, spaces and the composition of characters move nobody; nor do ids, nor the order of the table."""
    queries = texts("étude of bats", "masks", "wards", "ÉTUDE II", "schools", "origin")
    written = texts("E\u0301TUDE  of\tbats", " Masks", "WARDS", "e\u0301tude ii", "Schools ", "\uff4frigin")
    assert not set(queries["query"]) & set(written["query"])
    assert own(queries, 3, 13).tolist() == own(written, 3, 13).tolist()
    turned = queries[::-1].assign(query_id=list("fedcba"))
    assert own(turned, 3, 13).tolist() == own(queries, 3, 13).tolist()[::-1]


def test_query_folds_keep_a_group_together() -> None:
    queries = texts(*(f"query {i}" for i in range(40)))
    groups = np.arange(40) % 10
    found = query_folds(queries, groups, 5, 13)
    assert found.groupby(groups).nunique().eq(1).all()
    assert found.groupby(found).size().tolist() == [8] * 5  # two groups of four each


words = st.text("abcdefgh ", min_size=1, max_size=12).map(lambda text: " ".join(text.split())).filter(bool)


@given(
    st.lists(words, min_size=3, max_size=40, unique=True), words, st.integers(2, 5), st.integers(0, 50), st.integers(1)
)
@settings(max_examples=200)
def test_query_folds_of_one_query_more_move_one_group_at_most_across_each_border(
    queries: list[str], more: str, folds: int, seed: int, place: int
) -> None:
    """Wherever in the table it is, and whatever of the others are groups."""
    assume(more not in queries)
    groups = np.arange(len(queries)) // 2  # two a group
    assume(groups.max() + 1 >= folds)
    before = dict(zip(queries, query_folds(texts(*queries), groups, folds, seed), strict=True))
    at = place % (len(queries) + 1)
    grown, their_groups = [*queries[:at], more, *queries[at:]], np.insert(groups, at, len(queries))
    after = dict(zip(grown, query_folds(texts(*grown), their_groups, folds, seed), strict=True))
    moved = {(groups[i], before[text], after[text]) for i, text in enumerate(queries) if before[text] != after[text]}
    assert {abs(there - here) for _, here, there in moved} <= {1}
    borders = [min(here, there) for _, here, there in moved]
    assert len(borders) == len(set(borders))


def test_assign_folds_of_one_judgement_more_move_no_query() -> None:
    """Of any query, or of a document that is new: all other pairs stay where they are, whatever the seed."""
    pairs, random = make_pairs(50), np.random.default_rng(1)
    for seed in range(20):
        by_query = own(numbered(pairs), 5, seed)
        more = pd.DataFrame({"query_id": [str(random.integers(50))], "document_id": ["new"], "relevant": [True]})
        before = assign_folds(pairs, by_query, 5, seed, "query")
        grown = pd.concat([more, pairs], ignore_index=True)
        after = assign_folds(grown, own(numbered(grown), 5, seed), 5, seed, "query")
        assert after[1:].tolist() == before.tolist()


@given(st.integers(5, 60), st.integers(2, 5), st.integers(0, 100))
@settings(max_examples=25)
def test_assign_folds_puts_no_query_on_both_sides(queries: int, folds: int, seed: int) -> None:
    pairs = make_pairs(queries, seed)
    pairs["fold"] = assign_folds(pairs, own(numbered(pairs), folds, seed), folds, seed, "query")
    sizes = pairs.groupby("fold")["query_id"].nunique()
    assert sizes.sum() == queries
    assert sizes.max() - sizes.min() <= 1
    for fold in range(folds):
        training, held_out = held_out_pairs(pairs, fold)
        assert not set(training["query_id"]) & set(held_out["query_id"])
        assert len(training) + len(held_out) == len(pairs)


def test_assign_folds_by_pair_puts_a_query_on_both_sides() -> None:
    pairs = make_pairs(50)
    pairs["fold"] = assign_folds(pairs, own(numbered(pairs), 5, 13), 5, 13, "pair")
    training, held_out = held_out_pairs(pairs, 0)
    assert set(training["query_id"]) == set(held_out["query_id"])
    assert len(held_out) == pytest.approx(len(pairs) / 5, abs=1)
    assert held_out["relevant"].mean() == pytest.approx(pairs["relevant"].mean(), abs=0.001)
    again, other = (assign_folds(pairs, own(numbered(pairs), 5, 13), 5, seed, "pair") for seed in (13, 14))
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
    pairs["fold"] = assign_folds(pairs, own(numbered(pairs), 2, 13), 2, 13, "query")
    training, held_out = held_out_rows(pairs, "none")
    assert training.tolist() == list(range(len(pairs)))
    assert held_out.tolist() == []
    with pytest.raises(InputError, match="split.held_out none: .* on the training side, found 0 relevant among"):
        held_out_rows(pairs.assign(relevant=False), "none")


def test_query_folds_refuse_more_folds_than_queries_that_differ() -> None:
    queries = texts("bats", "masks", "BATS")
    with pytest.raises(InputError, match="split.folds: expected at most 2, the number of queries that differ, found 3"):
        query_folds(queries, np.array([0, 1, 0]), 3, 13)


def test_assign_folds_refuses_a_fold_without_pairs() -> None:
    pairs = make_pairs(4)
    by_query = own(numbered(pairs), 4, 13)
    empty = pairs[pairs["query_id"].map(by_query) != 2]
    with pytest.raises(InputError, match="split.folds: expected pairs in each of 4 folds, found none in fold 2"):
        assign_folds(empty, by_query, 4, 13, "query")


@pytest.mark.parametrize(("most", "found"), [(True, "4 relevant and 1 other"), (False, "1 relevant and 4 other")])
def test_assign_folds_by_pair_refuses_more_folds_than_pairs_of_a_kind(most: bool, found: str) -> None:
    pairs = pd.DataFrame({"query_id": list("12345"), "document_id": list("abcde"), "relevant": [not most] + [most] * 4})
    with pytest.raises(InputError, match=f"split.folds: expected at least 3 pairs of both kinds, found {found} pairs"):
        assign_folds(pairs, own(numbered(pairs), 3, 13), 3, 13, "pair")


def test_training_sides_have_mined_pairs_in_place_of_stand_ins_and_measure_none() -> None:
    """Query 1 is held out, 2 and 3 are not; 3 has judged negatives and was not mined. A letter: what the pair is."""
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


def test_held_out_rows_refuse_a_side_of_one_class() -> None:
    pairs = pd.DataFrame({"query_id": list("1122"), "relevant": [False, True, False, False], "fold": [0, 0, 1, 1]})
    for fold, message in ((1, "on the held-out side, found 0 relevant among 2"), (0, "on the training side, found 0")):
        with pytest.raises(InputError, match=message):
            held_out_rows(pairs, fold)

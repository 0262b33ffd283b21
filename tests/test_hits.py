"""ranker.retrieval's hits, lists and vectors against brute force: every document scored, and sorted by Python."""

import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.project.tables import Tokens, pack
from ranker.retrieval import vectors as vectors_module
from ranker.retrieval.hits import Bm25Index, cosine_hits, ordered
from ranker.retrieval.lists import join_lists
from ranker.retrieval.vectors import Vectors, with_time_left
from ranker.stack.bm25 import Bm25

Row = tuple[str, str, float]
QUERIES = pd.DataFrame({"query_id": ["9", "10", "2"], "query": ["masks in wards", "bats", "birds"]})
TEXTS = ["masks", "bats", "masks bats", "ward", "masks ward", "", "masks", "bats bats"]
DEPTH = st.integers(1, 10)


def table(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["query_id", "document_id", "score"])


def brute(rows: list[Row], depth: int) -> list[tuple[str, str, int]]:
    """Query, document and rank of each query's best documents, by Python's own sort."""
    found = []
    for query_id in dict.fromkeys(row[0] for row in rows):
        mine = sorted((score, name) for asked, name, score in rows if asked == query_id)[::-1]
        found += [(query_id, name, rank) for rank, (_, name) in enumerate(mine[:depth], 1)]
    return found


def ranks(hits: pd.DataFrame) -> list[tuple[str, str, int]]:
    return list(hits[["query_id", "document_id", "rank"]].itertuples(index=False, name=None))


def cut(names: list[str], values: list[str], places: list[int]) -> list[tuple[list[str], list[tuple[str]]]]:
    """Ids and documents of one field in parts that begin at these places."""
    bounds = sorted({0, len(names), *(place % (len(names) + 1) for place in places)})
    return [(names[low:high], [(value,) for value in values[low:high]]) for low, high in pairwise(bounds)]


@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=12), st.lists(st.integers(0, 20), max_size=4), DEPTH)
def test_bm25_hits_are_the_best_of_all_documents(texts: list[str], places: list[int], depth: int) -> None:
    """Ties at the cut keep the largest ids, as everywhere; a document without a query word is no hit."""
    names = [f"d{(i * 7) % 12}" for i in range(len(texts))]  # in no order
    index = Bm25(dict(zip(QUERIES["query_id"], QUERIES["query"], strict=True)), [(text,) for text in texts], "en")
    rows = [
        (query_id, name, float(score))
        for query_id in QUERIES["query_id"]
        for name, score in zip(names, index.scores(query_id), strict=True)
        if score > 0
    ]
    found = Bm25Index(QUERIES, cut(names, texts, places), "en").hits(QUERIES["query_id"], depth)
    assert ranks(found) == brute(rows, depth)
    assert found["score"].dtype == np.float32


def test_bm25_hits_may_be_none() -> None:
    found = Bm25Index(QUERIES[2:], cut(list("ab"), ["Bats", "Masks"], []), "en").hits(QUERIES["query_id"][2:], 2)
    assert list(found) == ["query_id", "document_id", "score", "rank"]
    assert found.empty
    mixed = Bm25Index(QUERIES, cut(["a"], ["Bats"], []), "en").hits(QUERIES["query_id"], 2)
    assert ranks(mixed) == [("10", "a", 1)]


@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_bm25_scores_any_pair_as_the_whole_index_does(texts: list[str], random: Any) -> None:
    """Pairs in no order, some of them twice; 0 without a common word."""
    names = [f"d{(i * 7) % 12}" for i in range(len(texts))]
    pairs = [(query_id, name) for query_id in QUERIES["query_id"] for name in names] * 2
    random.shuffle(pairs)
    scores = Bm25(dict(zip(QUERIES["query_id"], QUERIES["query"], strict=True)), [(text,) for text in texts], "en")
    expected = [float(scores.scores(query_id)[names.index(name)]) for query_id, name in pairs]
    index = Bm25Index(QUERIES, cut(names, texts, [1, 3]), "en")
    found = index.scores(pd.DataFrame(pairs, columns=["query_id", "document_id"]))
    assert (found.dtype, found.tolist()) == (np.float32, expected)
    assert all(score == 0 for score, (query_id, _) in zip(expected, pairs, strict=True) if query_id == "2")


VECTORS = st.lists(st.tuples(*[st.integers(-2, 2)] * 3), min_size=1, max_size=10)  # their products are exact


@given(VECTORS, VECTORS, st.lists(st.integers(0, 20), max_size=4), DEPTH)
def test_cosine_hits_are_the_best_with_documents_in_any_parts(
    asked: list[tuple[int, ...]], vectors: list[tuple[int, ...]], places: list[int], depth: int
) -> None:
    """Ties at the cut keep the earlier documents."""
    names = [f"d{(i * 7) % 10}" for i in range(len(vectors))]
    query_ids = pd.Series([f"q{i}" for i in range(len(asked))])
    scores = np.array(asked) @ np.array(vectors).T
    rows: list[Row] = []
    for query_id, of_query in zip(query_ids, scores.tolist(), strict=True):
        best = sorted(range(len(names)), key=lambda i, of_query=of_query: (-of_query[i], i))[:depth]  # type: ignore[misc]
        rows += [(query_id, names[i], of_query[i]) for i in best]
    values = np.array(vectors, np.float32)
    parts = [
        (pa.array(part, pa.string()), values[[names.index(name) for name in part]])
        for part, _ in cut(names, names, places)
    ]
    found = cosine_hits(query_ids, np.array(asked, np.float32), parts, depth)
    assert ranks(found) == brute(rows, depth)
    assert found["score"].dtype == np.float32


@given(st.lists(st.tuples(st.sampled_from("ba"), st.integers(0, 11), st.integers(0, 3)), max_size=24), DEPTH)
def test_ordered_is_by_falling_score_then_id(pairs: list[tuple[str, int, int]], depth: int) -> None:
    """The order uses the scores' own precision: the twelfth digit counts, though stored scores lack it."""
    known = {(query_id, name): 1 + score * 1e-12 for query_id, name, score in pairs}
    rows = [(query_id, f"d{name}", score) for (query_id, name), score in known.items()]
    assert ranks(ordered(table(rows), depth)) == brute(rows, depth)


def ranked(pairs: list[tuple[str, str]]) -> pd.DataFrame:
    return ordered(table([(query_id, name, -float(place)) for place, (query_id, name) in enumerate(pairs)]), 9)


PAIRS = st.lists(st.tuples(st.sampled_from(["9", "10", "2"]), st.sampled_from("abcd")), unique=True, max_size=9)


@given(st.lists(PAIRS, min_size=1, max_size=3))
def test_join_lists_has_each_hit_once_with_its_rank_in_each_list(lists: list[list[tuple[str, str]]]) -> None:
    """Rows are sorted by query, in the order of first appearance, and by document; a list may be empty."""
    names = ["bm25", "dense", "run"][: len(lists)]
    tables = [ranked(pairs) for pairs in lists]
    found = join_lists(dict(zip(names, tables, strict=True)))
    assert found.dtypes[2:].astype(str).tolist() == ["Int32"] * len(lists)
    places = {pair: place for place, pair in reversed([*enumerate(pair[0] for pairs in lists for pair in pairs)])}
    expected = sorted({pair for pairs in lists for pair in pairs}, key=lambda pair: (places[pair[0]], pair[1]))
    assert list(found[["query_id", "document_id"]].itertuples(index=False, name=None)) == expected
    for name, hits in zip(names, tables, strict=True):
        known = {(query_id, document): rank for query_id, document, rank in ranks(hits)}
        shown = [None if pd.isna(rank) else int(rank) for rank in found[f"{name}_rank"]]
        assert shown == [known.get(pair) for pair in expected]


def test_join_lists_of_an_empty_list_by_hand() -> None:
    found = join_lists({"bm25": ranked([]), "dense": ranked([("9", "b"), ("9", "a"), ("10", "a")])})
    assert found.astype(object).where(found.notna(), None).to_numpy().tolist() == [
        ["9", "a", None, 2],
        ["9", "b", None, 1],
        ["10", "a", None, 1],
    ]


def by_number(values: list[tuple[int, ...]]) -> tuple[Tokens, Callable[[Tokens], np.ndarray]]:
    """Texts whose only token is their number, and a function from such texts to their vectors."""
    table = np.array(values, np.float32)
    texts = pack([f"d{(i * 7) % 10}" for i in range(len(values))], [[i] for i in range(len(values))])
    return texts, lambda some: table[[tokens[0] for tokens in some]]


@given(VECTORS, VECTORS, st.lists(st.integers(0, 20), max_size=4), DEPTH, st.integers(1, 4))
def test_vectors_in_a_file_are_searched_exactly(
    asked: list[tuple[int, ...]], values: list[tuple[int, ...]], places: list[int], depth: int, block: int
) -> None:
    """With documents in any parts and blocks, and queries in another order."""
    queries, embed_query = by_number(asked)
    documents, embed = by_number(values)
    bounds = sorted({0, len(values), *(place % (len(values) + 1) for place in places)})
    parts = [pack(documents.ids[low:high], [[i] for i in range(low, high)]) for low, high in pairwise(bounds)]
    names, query_ids = documents.ids.to_pylist(), pd.Series(queries.ids.to_pylist()[::-1])
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(vectors_module, "BLOCK", block)
        found = Vectors(queries, embed_query, parts, embed, Path(folder) / "documents.f32")
        hits = found.hits(query_ids, depth)
        pairs = pd.DataFrame([(query, name) for name in names for query in query_ids], columns=hits.columns[:2])
        cosines = found.cosines(pairs)
    scores = np.array(asked[::-1]) @ np.array(values).T
    pd.testing.assert_frame_equal(
        hits, cosine_hits(query_ids, np.float32(asked[::-1]), [(documents.ids, np.float32(values))], depth)
    )
    assert (cosines.dtype, cosines.tolist()) == (np.float32, scores.T.ravel().tolist())


def test_vectors_of_no_documents_find_nothing(tmp_path: Path) -> None:
    queries, embed = by_number([(1, 0, 0)])
    found = Vectors(queries, embed, [], embed, tmp_path / "documents.f32").hits(pd.Series(["d0"]), 5)
    assert list(found) == ["query_id", "document_id", "score", "rank"]
    assert found.empty


def test_embedding_says_how_long_it_will_take(capsys: pytest.CaptureFixture[str]) -> None:
    parts = [pack(names, [[1]] * len(names)) for names in ("ab", "cd", "e")]
    assert list(with_time_left(parts, 5, "crossval")) == parts
    assert capsys.readouterr().out == (
        "crossval: 2 of 5 documents embedded, 0 min left\ncrossval: 4 of 5 documents embedded, 0 min left\n"
    )

"""ranker.retrieval.hits against brute force: every document scored, and sorted by Python."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.project import paths
from ranker.project.documents import write_documents
from ranker.retrieval.hits import bm25_hits, cosine_hits, fuse, ordered
from ranker.stack.bm25 import Bm25
from stages.first_stage import with_time_left

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
    found = bm25_hits(QUERIES, cut(names, texts, places), "en", depth)
    assert ranks(found) == brute(rows, depth)
    assert found["score"].dtype == np.float32


def test_bm25_hits_may_be_none() -> None:
    found = bm25_hits(QUERIES[2:], cut(list("ab"), ["Bats", "Masks"], []), "en", depth=2)
    assert list(found) == ["query_id", "document_id", "score", "rank"]
    assert found.empty
    mixed = bm25_hits(QUERIES, cut(["a"], ["Bats"], []), "en", depth=2)
    assert ranks(mixed) == [("10", "a", 1)]


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


def test_fuse_adds_reciprocal_ranks() -> None:
    """By hand: b is second and first, a is first in one ranking, c is third and second."""
    first = ordered(table([("1", "a", 9.0), ("1", "b", 8.0), ("1", "c", 7.0)]), 9)
    second = ordered(table([("1", "b", 0.3), ("1", "c", 0.2), ("2", "a", 0.1)]), 9)
    found = fuse([first, second], depth=9)
    assert ranks(found) == [("1", "b", 1), ("1", "c", 2), ("1", "a", 3), ("2", "a", 1)]
    expected = [1 / 62 + 1 / 61, 1 / 63 + 1 / 62, 1 / 61, 1 / 61]
    assert found["score"].tolist() == pytest.approx(expected)
    assert ranks(fuse([first, second], depth=1)) == [("1", "b", 1), ("2", "a", 1)]


def test_fuse_of_equal_ranks_is_by_falling_id() -> None:
    first, second = (ordered(table([("1", name, 1.0)]), 9) for name in "ab")
    assert ranks(fuse([first, second], depth=9)) == [("1", "b", 1), ("1", "a", 2)]


def test_embedding_says_how_long_it_will_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_documents(paths.DOCUMENTS, ((name, ["A title"]) for name in "abcde"), ["title"])
    parts = [(pa.array(names), np.zeros((len(names), 2), np.float32)) for names in (["a", "b"], ["c", "d"], ["e"])]
    assert list(with_time_left(parts)) == parts
    assert capsys.readouterr().out == (
        "first_stage: 2 of 5 documents embedded, 0 min left\nfirst_stage: 4 of 5 documents embedded, 0 min left\n"
    )

"""ranker.data.collection and join: every format is counted alike; unjudged documents and positives alone are kept."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.common.errors import InputError
from ranker.data.collection import Census, Collection, Document, judgements_table
from ranker.data.join import AT_LEAST, PER_POSITIVE, Joined, stand_ins
from ranker.project import paths
from ranker.project.documents import read_documents, read_documents_at, write_documents
from ranker.project.tables import CHUNK, IDS
from tests.factories import join_texts

DOCUMENTS: list[Document] = [
    ("a", ["Masks", "in wards"]),
    ("b", ["", "Bats"]),
    ("c", [" ", ""]),
    ("a", ["Masks", "in wards"]),
    ("a", ["Gloves", "in wards"]),
    ("d", ["Nobody", "judged it"]),
    ("e", ["masks ", "In wards"]),
]
JUDGED: list[tuple[str, str, int | None]] = [
    ("1", "a", 2),
    ("1", "b", 0),
    ("1", "c", 1),
    ("1", "nowhere", 1),
    ("1", "e", 1),
    ("2", "a", -1),
    ("2", "b", None),
    ("3", "a", 1),
    ("1", "a", 2),
]


def joined(judged: list[tuple[str, str, int | None]] = JUDGED) -> tuple[Joined, Census]:
    queries = pd.DataFrame({"query_id": ["1", "2"], "query": ["masks", "bats"]})
    found, _, census = join_texts(Collection(queries, judgements_table(judged), lambda: iter(DOCUMENTS)))
    return found, census


def test_distinct_keeps_the_first_of_an_id_that_has_text() -> None:
    census = Census()
    kept = list(census.distinct(lambda: iter(DOCUMENTS)))
    assert kept == [DOCUMENTS[0], DOCUMENTS[1], DOCUMENTS[5], DOCUMENTS[6]]
    assert (census.read, census.kept, census.empty, census.other_text) == (7, 4, {"c"}, {"a"})
    assert list(census.texts) == ["a"]  # only repeated ids are in memory


class OneHash(str):
    """An id with the same hash as every other."""

    def __hash__(self) -> int:
        return 7


def test_distinct_tells_ids_of_one_hash_apart() -> None:
    rows = [("a", "Masks"), ("b", ""), ("c", "Bats"), ("b", "Pigs"), ("a", "Masks"), ("c", "Birds"), ("d", "")]
    documents = [(OneHash(name), [text]) for name, text in rows]
    census = Census()
    assert list(census.distinct(lambda: iter(documents))) == [documents[0], documents[2], documents[3]]
    assert (census.kept, [*census.empty], [*census.other_text]) == (3, ["d"], ["c"])


def test_join_counts_every_judgement() -> None:
    found, _ = joined()
    assert found.pairs.to_numpy().tolist() == [
        ["1", "a", 2, True, True],
        ["1", "b", 0, False, True],
        ["1", "e", 1, True, True],
    ]
    assert found.counts["read"] == {"queries": 2, "document_rows": 7, "judgements": 9}
    assert found.counts["kept"] == {
        "queries": 1,
        "documents": 4,
        "judged_documents": 3,
        "pairs": 3,
        "relevant_pairs": 2,
    }
    assert found.counts["dropped"] == {
        "judgement_without_document": 1,
        "unknown_query": 1,
        "empty_document": 1,
        "document_without_judgement": 1,
        "conflicting_grades": 0,
        "grade_below_0": 1,
        "query_itself": 0,
        "other_subtopic": 0,
        "duplicate_pair": 1,
        "query_without_pairs": 1,
        "judged_in_another_collection": 0,
        "judged_with_another_text": 0,
    }
    noted = {name: count for name, count in found.counts["noted"].items() if count}
    assert noted == {"document_with_two_texts": 1, "repeated_text": 1, "repeated_text_other_grade": 1}


def test_unjudged_documents_are_kept(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents.parquet", Census().distinct(lambda: iter(DOCUMENTS)), ["title", "text"])
    assert list(read_documents(tmp_path / "documents.parquet")) == [
        (
            ["a", "b", "d", "e"],
            ["Masks", "", "Nobody", "masks "],
            ["Masks in wards", "Bats", "Nobody judged it", "masks  In wards"],
        )
    ]


def test_read_documents_at_keeps_the_order_asked_for_across_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_documents(paths.DOCUMENTS, ((f"d{row}", [str(row), "b"]) for row in range(2 * CHUNK + 1)), ["title", "text"])
    rows = [2 * CHUNK, 0, CHUNK, CHUNK - 1, 0]
    assert read_documents_at(np.array(rows)).to_numpy().tolist() == [[f"d{row}", f"{row} b"] for row in rows]
    assert list(read_documents_at(np.empty(0, np.int64))) == ["document_id", "text"]


def pairs(*rows: tuple[str, str, int], asked: dict[str, int] | None = None) -> pd.DataFrame:
    """Judged pairs; each query reads differently, and documents with the same letters read alike: `a` and `A1`."""
    frame = pd.DataFrame(rows, columns=["query_id", "document_id", "grade"])
    names = frame["query_id"].map(lambda name: (asked or {}).get(name, reading(f"query {name}")))
    frame = frame.assign(relevant=frame["grade"] > 0, judged=True, asked=names)
    return frame.assign(text=frame["document_id"].map(reading))


def reading(name: str) -> int:
    return zlib.crc32(name.rstrip("0123456789").lower().encode() if name.isupper() else name.encode())


def stand(judged: pd.DataFrame, ids: Sequence[str], judgements: pd.DataFrame | None = None) -> pd.DataFrame:
    documents = pd.DataFrame({"document_id": [*ids], "text": [*map(reading, ids)]})
    return stand_ins(judged, judged if judgements is None else judgements, len(ids), documents.iloc.__getitem__)


def test_stand_ins_are_unjudged_documents_of_queries_without_judged_negatives() -> None:
    ids = [f"d{i}" for i in range(300)]
    judged = pairs(*(("few", f"d{i}", 1) for i in range(2)), *(("many", f"d{i}", 2) for i in range(20)))
    judged = pd.concat([judged, pairs(("both", "d1", 1), ("both", "d2", 0))], ignore_index=True)
    drawn = stand(judged, ids)
    assert drawn.groupby("query_id").size().to_dict() == {"few": AT_LEAST, "many": 20 * PER_POSITIVE}
    assert not drawn.duplicated(["query_id", "document_id"]).any()
    assert drawn.merge(judged, on=["query_id", "document_id"]).empty
    assert drawn[["grade", "relevant", "judged"]].drop_duplicates().to_numpy().tolist() == [[0, False, False]]
    alone = stand(judged[judged["query_id"] == "few"], ids)
    assert alone.equals(drawn[drawn["query_id"] == "few"].reset_index(drop=True))  # other queries change nothing


def test_stand_ins_of_fewer_documents_than_are_asked_for() -> None:
    positive = pairs(("1", "a", 1))
    assert sorted(stand(positive, "abc")["document_id"]) == ["b", "c"]
    dropped = pairs(("1", "a", 1), ("1", "b", -1))  # a dropped judgement excludes b, too
    assert stand(positive, "abc", dropped)["document_id"].tolist() == ["c"]
    both = pairs(("1", "a", 1), ("1", "b", 0))
    assert stand(both, "abc").empty


def test_stand_ins_are_for_queries_without_an_irrelevant_document_of_any_grade() -> None:
    low = pairs(("1", "a", 2), ("1", "b", 1)).assign(relevant=[True, False])  # with join.min_relevant_grade: 2
    assert stand(low, "abcd").empty


def test_no_stand_in_reads_like_a_positive_or_a_dropped_judgement() -> None:
    """The query itself is also excluded; a document with the query's id and another text may stand in."""
    ids = ["a", "A1", "A2", "b", "B1", "c", "1", "2"]
    one, two = pairs(("1", "a", 1)).assign(asked=reading("1")), pairs(("2", "a", 1))
    dropped = pairs(("1", "b", -1)).assign(asked=reading("1"))
    drawn = stand(pd.concat([one, two]), ids, pd.concat([one, two, dropped]).drop(columns=["relevant", "judged"]))
    by_query = drawn.groupby("query_id")["document_id"].agg(sorted).to_dict()
    assert by_query == {"1": ["2", "c"], "2": ["1", "2", "B1", "b", "c"]}


def test_no_stand_in_is_relevant_by_another_id_of_the_query() -> None:
    judged = pairs(("7", "a", 1), ("7b", "b", 1), ("8", "c", 1), asked={"7": 5, "7b": 5})
    drawn = stand(judged, ["a", "A1", "b", "B1", "c", "C1", "d"])
    by_query = drawn.groupby("query_id")["document_id"].agg(sorted).to_dict()
    assert by_query == {"7": ["C1", "c", "d"], "7b": ["C1", "c", "d"], "8": ["A1", "B1", "a", "b", "d"]}


def test_census_refuses_a_field_that_no_document_has() -> None:
    census = Census()
    list(census.distinct(lambda: iter([("a", ["Masks", " "]), ("b", ["Bats", ""])])))
    census.check_fields(["title"])
    with pytest.raises(InputError, match=r"^join\.document_fields: expected documents with a txt, found none in 2$"):
        census.check_fields(["title", "txt"])


def test_join_says_which_splits_of_the_qrels_it_read() -> None:
    queries = pd.DataFrame({"query_id": ["1"], "query": ["masks"]})
    judged = [judgements_table([("1", "a", 1)], "dev"), judgements_table([("1", "b", 0), ("9", "b", 0)], "test")]
    documents = [("a", ["Masks"]), ("b", ["Bats"])]
    counts = join_texts(Collection(queries, pd.concat(judged, ignore_index=True), lambda: iter(documents)))[0].counts
    assert counts["qrels_splits"] == {"dev": 1, "test": 2}
    assert "qrels_splits" not in joined()[0].counts  # this format has no splits


def test_join_takes_the_largest_grade_of_a_pairs_subtopics() -> None:
    """The second column of a diversity track's qrels is the subtopic; one conflicting subtopic drops the pair."""
    rows = [
        ("1", "a", 0, "1"), ("1", "a", 2, "2"), ("1", "a", 2, "3"), ("1", "a", -2, "4"), ("1", "a", 2, "2"),
        ("1", "b", 0, "1"), ("1", "b", 1, "2"), ("1", "b", 0, "2"), ("1", "c", 0, "1"), ("2", "a", 1, "1"),
    ]  # fmt: skip
    judged = judgements_table([row[:3] for row in rows], subtopics=[row[3] for row in rows])
    queries = pd.DataFrame({"query_id": ["1", "2"], "query": ["masks", "bats"]})
    documents = [("a", ["Masks"]), ("b", ["Bats"]), ("c", ["Pigs"])]
    found = join_texts(Collection(queries, judged, lambda: iter(documents)))[0]
    assert found.pairs[[*IDS, "grade"]].to_numpy().tolist() == [["1", "a", 2], ["1", "c", 0], ["2", "a", 1]]
    dropped = {name: count for name, count in found.counts["dropped"].items() if count}
    assert dropped == {"conflicting_grades": 3, "grade_below_0": 1, "other_subtopic": 2, "duplicate_pair": 1}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("12"), st.sampled_from("ab"), st.integers(0, 2), st.sampled_from("xyz")),
        min_size=1,
        unique_by=lambda row: (row[0], row[1], row[3]),
    )
)
def test_join_keeps_each_pair_of_any_subtopics_once(rows: list[tuple[str, str, int, str]]) -> None:
    judged = judgements_table([row[:3] for row in rows], subtopics=[row[3] for row in rows])
    queries = pd.DataFrame({"query_id": ["1", "2"], "query": ["masks", "bats"]})
    found = join_texts(Collection(queries, judged, lambda: iter([("a", ["A"]), ("b", ["B"])])))[0]
    largest: dict[tuple[str, str], int] = {}
    for query_id, document_id, grade, _ in rows:
        largest[query_id, document_id] = max(grade, largest.get((query_id, document_id), 0))
    pairs = found.pairs[[*IDS, "grade"]].itertuples(index=False, name=None)
    assert {(query_id, document_id): grade for query_id, document_id, grade in pairs} == largest
    assert found.counts["dropped"]["other_subtopic"] == len(rows) - len(largest) == len(rows) - len(found.pairs)


def test_join_names_ids_that_differ_by_leading_zeros_alone() -> None:
    """If the other query is judged under its own id, both ids stay as they are."""
    queries = pd.DataFrame({"query_id": ["061", "100", "7", "0"], "query": ["masks", "bats", "pigs", "cows"]})
    rows: list[tuple[str, str, int | None]] = [("61", "a", 1), ("100", "a", 1), ("0100", "a", 0), ("007", "a", 0)]
    expected = (
        "judgements: 2 query ids differ from a query's by leading zeros alone: expected equal ids, found 007 and 7"
    )
    with pytest.raises(InputError, match=f"^{expected}$"):
        join_texts(Collection(queries, judgements_table(rows), lambda: iter([("a", ["Masks"])])))
    found = join_texts(Collection(queries, judgements_table(rows[1:3]), lambda: iter([("a", ["Masks"])])))[0]
    assert found.counts["dropped"]["unknown_query"] == 1

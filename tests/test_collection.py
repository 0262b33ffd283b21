"""ranker.data.collection and join: one account for every format, unjudged documents kept, positives alone legal."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.common.errors import InputError
from ranker.data.collection import Census, Collection, Document, judgements_table
from ranker.data.join import AT_LEAST, PER_POSITIVE, Joined, join, stand_ins
from ranker.project import paths
from ranker.project.documents import read_documents, read_ids_at, write_documents
from ranker.project.tables import CHUNK, IDS

DOCUMENTS: list[Document] = [
    ("a", ["Masks", "in wards"]),
    ("b", ["", "Bats"]),
    ("c", [" ", ""]),
    ("a", ["Masks", "in wards"]),
    ("a", ["Gloves", "in wards"]),
    ("d", ["Nobody", "judged it"]),
    ("e", ["masks!", "In wards."]),
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
    census = Census()
    kept = dict(census.distinct(lambda: iter(DOCUMENTS)))
    texts = pd.Series({document_id: " ".join(texts) for document_id, texts in kept.items()}, dtype=str)
    queries = pd.DataFrame({"query_id": ["1", "2"], "query": ["masks", "bats"]})
    return join(Collection(queries, judgements_table(judged), lambda: iter(DOCUMENTS)), census, texts, 1), census


def test_distinct_keeps_the_first_of_an_id_that_has_text() -> None:
    census = Census()
    kept = list(census.distinct(lambda: iter(DOCUMENTS)))
    assert kept == [DOCUMENTS[0], DOCUMENTS[1], DOCUMENTS[5], DOCUMENTS[6]]
    assert (census.read, census.kept, census.empty, census.other_text) == (7, 4, {"c"}, {"a"})
    assert list(census.texts) == ["a"]  # the ids in memory are those that come again


class OneHash(str):
    """An id that shares its hash with every other."""

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
        "other_subtopic": 0,
        "duplicate_pair": 1,
        "query_without_pairs": 1,
    }
    noted = {name: count for name, count in found.counts["noted"].items() if count}
    assert noted == {"document_with_two_texts": 1, "repeated_text": 1, "repeated_text_other_grade": 1}


def test_documents_that_nobody_judged_are_kept(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents.parquet", Census().distinct(lambda: iter(DOCUMENTS)), ["title", "text"])
    assert list(read_documents(tmp_path / "documents.parquet")) == [
        (
            ["a", "b", "d", "e"],
            ["Masks", "", "Nobody", "masks!"],
            ["Masks in wards", "Bats", "Nobody judged it", "masks! In wards."],
        )
    ]


def test_read_ids_at_in_the_order_asked_for_whatever_part_they_are_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_documents(paths.DOCUMENTS, ((f"d{row}", [str(row)]) for row in range(2 * CHUNK + 1)), ["title"])
    rows = [2 * CHUNK, 0, CHUNK, CHUNK - 1, 0]
    assert read_ids_at(np.array(rows)).tolist() == [f"d{row}" for row in rows]
    assert len(read_ids_at(np.empty(0, np.int64))) == 0


def pairs(*rows: tuple[str, str, int]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["query_id", "document_id", "grade"])
    return frame.assign(relevant=frame["grade"] > 0, judged=True)


def test_stand_ins_are_unjudged_documents_of_queries_without_judged_negatives() -> None:
    ids = np.array([f"d{i}" for i in range(300)], dtype=object)
    judged = pairs(*(("few", f"d{i}", 1) for i in range(2)), *(("many", f"d{i}", 2) for i in range(20)))
    judged = pd.concat([judged, pairs(("both", "d1", 1), ("both", "d2", 0))], ignore_index=True)
    drawn = stand_ins(judged, judged, len(ids), ids.__getitem__)
    assert drawn.groupby("query_id").size().to_dict() == {"few": AT_LEAST, "many": 20 * PER_POSITIVE}
    assert not drawn.duplicated(["query_id", "document_id"]).any()
    assert drawn.merge(judged, on=["query_id", "document_id"]).empty
    assert drawn[["grade", "relevant", "judged"]].drop_duplicates().to_numpy().tolist() == [[0, False, False]]
    alone = stand_ins(judged[judged["query_id"] == "few"], judged, len(ids), ids.__getitem__)
    assert alone.equals(drawn[drawn["query_id"] == "few"].reset_index(drop=True))  # other queries change nothing


def test_stand_ins_of_fewer_documents_than_are_asked_for() -> None:
    ids = np.array(["a", "b", "c"], dtype=object)
    positive = pairs(("1", "a", 1))
    assert sorted(stand_ins(positive, positive, len(ids), ids.__getitem__)["document_id"]) == ["b", "c"]
    dropped = pairs(("1", "a", 1), ("1", "b", -1))  # which says more of b than that nobody judged it
    assert stand_ins(positive, dropped, len(ids), ids.__getitem__)["document_id"].tolist() == ["c"]
    both = pairs(("1", "a", 1), ("1", "b", 0))
    assert stand_ins(both, both, len(ids), ids.__getitem__).empty


def test_stand_ins_are_of_queries_without_an_irrelevant_document_whatever_its_grade() -> None:
    ids = np.array(list("abcd"), dtype=object)
    low = pairs(("1", "a", 2), ("1", "b", 1)).assign(relevant=[True, False])  # join.relevant_from: 2
    assert stand_ins(low, low, len(ids), ids.__getitem__).empty


def test_census_refuses_a_field_that_no_document_has() -> None:
    census = Census()
    list(census.distinct(lambda: iter([("a", ["Masks", " "]), ("b", ["Bats", ""])])))
    census.check_fields(["title"])
    with pytest.raises(InputError, match=r"^join\.document_fields: expected documents with a txt, found none in 2$"):
        census.check_fields(["title", "txt"])


def test_join_says_which_splits_of_the_qrels_it_read() -> None:
    queries = pd.DataFrame({"query_id": ["1"], "query": ["masks"]})
    judged = [judgements_table([("1", "a", 1)], "dev"), judgements_table([("1", "b", 0), ("9", "b", 0)], "test")]
    collection = Collection(queries, pd.concat(judged, ignore_index=True), lambda: iter([]))
    counts = join(collection, Census(), pd.Series({"a": "Masks", "b": "Bats"}), 1).counts
    assert counts["qrels_splits"] == {"dev": 1, "test": 2}
    assert "qrels_splits" not in joined()[0].counts  # a format without splits


def test_join_takes_the_largest_grade_of_a_pairs_subtopics() -> None:
    """Of a diversity track, whose second column is the subtopic; a pair that conflicts in one of them is dropped."""
    rows = [
        ("1", "a", 0, "1"), ("1", "a", 2, "2"), ("1", "a", 2, "3"), ("1", "a", -2, "4"), ("1", "a", 2, "2"),
        ("1", "b", 0, "1"), ("1", "b", 1, "2"), ("1", "b", 0, "2"), ("1", "c", 0, "1"), ("2", "a", 1, "1"),
    ]  # fmt: skip
    judged = judgements_table([row[:3] for row in rows], subtopics=[row[3] for row in rows])
    queries = pd.DataFrame({"query_id": ["1", "2"], "query": ["masks", "bats"]})
    texts = pd.Series({"a": "Masks", "b": "Bats", "c": "Pigs"})
    found = join(Collection(queries, judged, lambda: iter([])), Census(), texts, 1)
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
    found = join(Collection(queries, judged, lambda: iter([])), Census(), pd.Series({"a": "A", "b": "B"}), 1)
    largest: dict[tuple[str, str], int] = {}
    for query_id, document_id, grade, _ in rows:
        largest[query_id, document_id] = max(grade, largest.get((query_id, document_id), 0))
    pairs = found.pairs[[*IDS, "grade"]].itertuples(index=False, name=None)
    assert {(query_id, document_id): grade for query_id, document_id, grade in pairs} == largest
    assert found.counts["dropped"]["other_subtopic"] == len(rows) - len(largest) == len(rows) - len(found.pairs)


def test_join_names_ids_that_differ_by_leading_zeros_alone() -> None:
    """Where the other query is judged under its own name, both are what they are."""
    queries = pd.DataFrame({"query_id": ["061", "100", "7", "0"], "query": ["masks", "bats", "pigs", "cows"]})
    rows: list[tuple[str, str, int | None]] = [("61", "a", 1), ("100", "a", 1), ("0100", "a", 0), ("007", "a", 0)]
    texts = pd.Series({"a": "Masks"})
    expected = (
        "judgements: 2 query ids differ from a query's by leading zeros alone: expected equal ids, found 007 and 7"
    )
    with pytest.raises(InputError, match=f"^{expected}$"):
        join(Collection(queries, judgements_table(rows), lambda: iter([])), Census(), texts, 1)
    found = join(Collection(queries, judgements_table(rows[1:3]), lambda: iter([])), Census(), texts, 1)
    assert found.counts["dropped"]["unknown_query"] == 1

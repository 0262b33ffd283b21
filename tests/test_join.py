"""ranker.data.join: which rows are joined, and how the others are counted."""

import json
from pathlib import Path
from typing import Any

import pytest

from ranker.data.join import NOTED, Joined
from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE
from tests.factories import join_tutorial

HEADER = "document_id,query_id,label,title-full\n"


def query(query_id: int | str, text: str, **grades: int) -> dict[str, Any]:
    documents = [{"id": name, "score": grade} for name, grade in grades.items()]
    return {"query_id": query_id, "query": text, "relevant_docs": documents}


QUERIES = [
    query(1, "coronavirus origin", aa=2, bb=0),
    query(2, "masks", aa=0, zz=1),
    query(3, "vaccines"),
]


def joined(tmp_path: Path, rows: str, queries: list[dict[str, Any]] = QUERIES, min_relevant_grade: int = 1) -> Joined:
    (tmp_path / LABELLED_DATA_FILE).write_text(json.dumps(queries))
    (tmp_path / JUDGEMENTS_FILE).write_text(HEADER + rows)
    return join_tutorial(tmp_path, min_relevant_grade)[0]


def found(result: Joined) -> list[tuple[str, ...]]:
    rows = result.findings.fillna("").to_dict("records")
    return sorted(
        (row["finding"], row["query_id"], row["document_id"], "kept" if row["kept"] else "dropped") for row in rows
    )


def test_join_takes_texts_from_the_json_and_all_else_from_the_csv(tmp_path: Path) -> None:
    result = joined(tmp_path, "aa,1,2,From bats\nbb,1,0,On pigs\naa,2,0,From bats\n")
    assert result.queries.to_dict("records") == [
        {"query_id": "1", "query": "coronavirus origin"},
        {"query_id": "2", "query": "masks"},
    ]
    assert result.pairs.values.tolist() == [
        ["1", "aa", 2, True, True],
        ["1", "bb", 0, False, True],
        ["2", "aa", 0, False, True],
    ]
    assert found(result) == [
        ("judgement_without_document", "2", "zz", "dropped"),
        ("query_without_pairs", "3", "", "dropped"),
    ]
    assert result.counts["read"]["judgements"] == result.counts["kept"]["pairs"] == 3
    assert result.counts["read"]["judgements_of_labelled_data"] == 4


@pytest.mark.parametrize(
    ("min_relevant_grade", "relevant"),
    [(1, [False, True, True]), (2, [False, False, True]), (3, [False, False, False])],
)
def test_join_decides_what_is_relevant(tmp_path: Path, min_relevant_grade: int, relevant: list[bool]) -> None:
    result = joined(tmp_path, "a,1,0,A\nb,1,1,B\nc,1,2,C\n", min_relevant_grade=min_relevant_grade)
    assert result.pairs["relevant"].tolist() == relevant
    assert result.pairs["grade"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("rows", "finding", "pairs"),
    [
        ("aa,1,2,A\nbb,1,,B\n", "document_without_judgement", [("aa", 2)]),
        ("aa,1,2,A\nbb,9,0,B\n", "unknown_query", [("aa", 2)]),
        ("aa,1,2,A\nbb,1,0,\n", "empty_document", [("aa", 2)]),
        ('aa,1,2,A\nbb,1,0,"  "\n', "empty_document", [("aa", 2)]),
        ("aa,1,2,A\nbb,1,-1,B\n", "grade_below_0", [("aa", 2)]),
        ("aa,1,2,A\naa,1,2,A\n", "duplicate_pair", [("aa", 2)]),
        ("aa,1,2,A\n1,1,1,Coronavirus  origin\n", "query_itself", [("aa", 2)]),
    ],
)
def test_join_counts_what_it_drops(tmp_path: Path, rows: str, finding: str, pairs: list[tuple[str, int]]) -> None:
    result = joined(tmp_path, rows)
    assert list(result.pairs[["document_id", "grade"]].itertuples(index=False, name=None)) == pairs
    assert result.counts["dropped"][finding] == 1
    assert [row[3] for row in found(result) if row[0] == finding] == ["dropped"]


def test_join_keeps_no_row_of_a_pair_with_conflicting_grades(tmp_path: Path) -> None:
    result = joined(tmp_path, "aa,1,2,A\nbb,1,0,B\naa,1,0,A\nbb,2,1,B\naa,2,-1,A\naa,2,1,A\n")
    assert result.pairs.values.tolist() == [["1", "bb", 0, False, True], ["2", "bb", 1, True, True]]
    assert result.counts["dropped"]["conflicting_grades"] == 4


@pytest.mark.parametrize(
    ("rows", "finding"),
    [
        ("cc,1,1,C\n", "pair_not_in_labelled_data"),
        ("aa,1,1,A\n", "grade_not_that_of_labelled_data"),
        ("aa,1,2,A\naa,2,0,Another A\n", "document_with_two_texts"),
        ("aa,1,2,Bats: a review\nbb,1,2,bats:  A review\n", "repeated_text"),
        ("aa,1,2,A\nbb,1,0,a\n", "repeated_text_other_grade"),
    ],
)
def test_join_counts_what_is_odd_but_kept(tmp_path: Path, rows: str, finding: str) -> None:
    result = joined(tmp_path, rows)
    assert len(result.pairs) == rows.count("\n")
    assert result.counts["noted"][finding] == 1
    assert [row[3] for row in found(result) if row[0] == finding] == ["kept"]


def test_join_counts_a_pair_that_labelled_data_judges_twice(tmp_path: Path) -> None:
    twice = [{"query_id": 1, "query": "q", "relevant_docs": [{"id": "aa", "score": 1}, {"id": "aa", "score": 0}]}]
    assert joined(tmp_path, "aa,1,1,A\n", twice).counts["noted"]["judged_twice_in_labelled_data"] == 1


def test_join_notes_queries_that_read_alike_and_queries_that_are_documents(tmp_path: Path) -> None:
    """Also noted: texts judged under both ids of a query. The id 2 of a query and of a document is no finding."""
    queries = [
        {"query_id": name, "query": text, "relevant_docs": []}
        for name, text in (("7", "Bats in caves"), ("2", "masks"), ("7b", "bats in  caves"), ("aa", "From bats"))
    ]
    rows = "bb,7,1,Caves\nbb,7b,0,Caves\n2,2,1,Pigs\naa,2,1,From Bats\nbb,aa,1,Caves\n"
    result = joined(tmp_path, rows, queries)
    assert [row for row in found(result) if row[0] in NOTED and "labelled" not in row[0]] == [
        ("query_is_a_document", "aa", "aa", "kept"),
        ("query_under_another_id", "7b", "", "kept"),
        ("repeated_text", "7b", "bb", "kept"),
        ("repeated_text_other_grade", "7", "bb", "kept"),
    ]
    assert result.counts["kept"]["pairs"] == 5

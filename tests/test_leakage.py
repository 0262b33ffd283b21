"""ranker.splits.leakage: planted leaks are found, and nothing else is."""

import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import stages.split
from ranker.common.errors import InputError
from ranker.project import paths, tables
from ranker.splits.folds import assign_folds
from ranker.splits.leakage import NEAR, audit, check_queries, near_duplicates, seen_documents, unseen_pairs
from tests.factories import ROOT

QUERIES = pd.DataFrame({"query_id": ["1", "2", "3"], "query": ["bat origin", "masks", "Bat  Origin"]})
DOCUMENTS = pd.DataFrame(
    {
        "document_id": list("abcde"),
        "title": [
            "The origin of SARS-CoV-2 in bats",
            "Masks on wards",
            "The Origin of SARS-CoV-2 in bats.",
            "Vaccines",
            "",
        ],
    }
)


def side(*pairs: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["query_id", "document_id"])


def test_check_queries_refuses_one_on_both_sides() -> None:
    with pytest.raises(InputError, match=r"query 1 \('bat origin'\): expected on one side of the split"):
        check_queries(side(("1", "a"), ("2", "b")), side(("1", "c")), QUERIES)


def test_check_queries_refuses_one_that_reads_the_same_under_another_id() -> None:
    with pytest.raises(InputError, match=r"query 3 .* found held out and, as query 1, in training"):
        check_queries(side(("1", "a"), ("2", "b")), side(("3", "c")), QUERIES)


def test_check_queries_lets_those_of_one_side_pass() -> None:
    check_queries(side(("1", "a"), ("3", "b")), side(("2", "b")), QUERIES)


def test_split_fails_on_a_planted_leak_and_writes_nothing(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage itself, with folds that put one pair of query 7 where it does not belong."""
    root = tmp_path_factory.mktemp("leak")
    monkeypatch.chdir(root)
    source = pd.DataFrame(
        [(str(q), f"d{q}-{i}", i % 3, i % 3 > 0) for q in range(10) for i in range(6)],
        columns=["query_id", "document_id", "grade", "relevant"],
    )
    tables.write_table(paths.PAIRS, source)
    tables.write_table(paths.QUERIES, pd.DataFrame({"query_id": map(str, range(10)), "query": list("abcdefghij")}))
    documents = source[["document_id"]].assign(title=[f"title {i}" for i in range(len(source))])
    tables.write_table(paths.DOCUMENTS, documents)
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    stages.split.main()
    written = (root / paths.SPLIT_COUNTS, root / paths.FOLDS)
    for path in written:
        path.unlink()

    def leaking(*arguments: object) -> pd.DataFrame:
        folds = assign_folds(*arguments)  # type: ignore[arg-type]
        row = folds.index[folds["query_id"] == "7"][0]
        folds.loc[row, "fold"] = (folds.loc[row, "fold"] + 1) % 5
        return folds

    monkeypatch.setattr(stages.split, "assign_folds", leaking)
    with pytest.raises(InputError, match=r"query 7 \('h'\): expected on one side of the split, found held out and"):
        stages.split.main()
    assert not any(path.exists() for path in written)


def test_audit_by_hand() -> None:
    training, held_out = side(("1", "a"), ("1", "b")), side(("2", "b"), ("2", "c"), ("2", "d"), ("2", "e"))
    seen = seen_documents(training, held_out, DOCUMENTS).set_index("document_id")
    assert seen["seen"].to_dict() == {"b": True, "c": False, "d": False, "e": False}
    assert seen["near"].to_dict() == {"b": True, "c": True, "d": False, "e": False}
    assert unseen_pairs(training, held_out, DOCUMENTS).tolist() == [False, False, True, True]
    assert audit(training, held_out, DOCUMENTS) == {
        "queries_seen": 0,
        "documents_seen": 1 / 4,
        "documents_or_near_duplicate_titles_seen": 2 / 4,
        "pairs_of_unseen_documents": 2 / 4,
    }


@given(
    st.lists(st.text("abcde XY-.", max_size=12), max_size=8),
    st.lists(st.text("abcde XY-.", max_size=12), min_size=1, max_size=8),
)
def test_near_duplicates_are_those_of_the_definition(titles: list[str], others: list[str]) -> None:
    def words(title: str) -> set[str]:
        return set(title.lower().replace("-", " ").replace(".", " ").split())

    expected = [
        any(
            words(title) and len(words(title) & words(other)) >= NEAR * len(words(title) | words(other))
            for other in others
        )
        for title in titles
    ]
    assert near_duplicates(titles, others).tolist() == expected


def test_near_duplicates_are_found_beyond_the_first_block() -> None:
    titles = [f"title number {i} of many" for i in range(2500)]
    found = near_duplicates(titles, [titles[0], titles[2400].upper()])
    assert np.flatnonzero(found).tolist() == [0, 2400]

"""ranker.data.grades: count the grades, hold to a named scale, and warn of a largest grade with few judgements."""

import pandas as pd
import pytest

from ranker.data.grades import check_grades, doubts, grade_counts
from tests.factories import refusal


def judgements(*grades: int | None) -> pd.DataFrame:
    rows = [("q", f"d{i}", grade) for i, grade in enumerate(grades)]
    return pd.DataFrame(rows, columns=["query_id", "document_id", "grade"]).astype({"grade": "Int32"})


def test_grade_counts_are_from_the_lowest_grade() -> None:
    assert list(grade_counts(judgements(12, 0, 1, 0, 2)).items()) == [("0", 2), ("1", 1), ("2", 1), ("12", 1)]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"0": 2336, "1": 215, "2": 302, "12": 1}, "grade 12, the largest, has 1 of 518 judgements above 0, and"),
        ({"0": 2336, "1": 215, "2": 303}, ""),  # the sample
        ({"0": 2336, "1": 215, "2": 302, "3": 9}, "grade 3, the largest, has 9 of 526 judgements above 0"),
        ({"0": 2336, "1": 215, "2": 302, "3": 10}, ""),
        ({"0": 9000, "1": 2000, "2": 2000, "3": 40}, "grade 3, the largest, has 40 of 4040 judgements above 0"),
        ({"0": 9000, "1": 2000, "2": 2000, "3": 41}, ""),  # one in a hundred
        ({"0": 900, "1": 200, "2": 200, "9": 300}, "grade 9, the largest, has 300 of 700 judgements"),
        ({"0": 3, "1": 1}, ""),  # the only grade above 0: every target is 0 or 1
        ({"0": 3, "4": 1}, ""),
        ({"0": 3}, ""),
        ({"1": 1, "2": 1}, "grade 2, the largest, has 1 of 2 judgements above 0, and the next one is 1: graded"),
    ],
)  # fmt: skip
def test_doubts_are_of_a_largest_grade_of_few_judgements_or_apart(counts: dict[str, int], said: str) -> None:
    found = doubts(counts, [])
    assert found == [] if not said else found[0].startswith(said)
    assert doubts(counts, [0, 1, 2, 3, 4, 9, 12]) == []  # with a named scale, judgements do not matter


def test_check_grades_refuses_a_grade_outside_a_named_scale() -> None:
    check_grades(judgements(0, 1, 12, None, -1), [])
    check_grades(judgements(0, 1, None, 2), [0, 1, 2])
    found = refusal(check_grades, judgements(0, None, 12, 1, -1), [0, 1, 2])
    assert found == "query q, document d2: expected a grade of join.grades (0, 1, 2), found 12 (and 1 more)"

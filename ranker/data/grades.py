"""The scale of the judgements: counts by grade, and doubts about the largest grade."""

from collections.abc import Sequence

import pandas as pd

from ranker.common.errors import InputError

# A typing error occurs once or a few times. In TREC-COVID and the sample, grade 2 is more than half of the grades above
# 0; the rarest top grade in use, the web tracks' "navigational", is about 1%.
FEW = 10
SMALL_SHARE = 0.01


def grade_counts(pairs: pd.DataFrame) -> dict[str, int]:
    """Number of pairs by grade, from the lowest; `pairs` has grade."""
    return {str(grade): int(count) for grade, count in pairs["grade"].value_counts().sort_index().items()}


def check_grades(judgements: pd.DataFrame, scale: Sequence[int]) -> None:
    """InputError if a grade is not in `scale` (join.grades); an empty scale allows every grade.

    `judgements` has query_id, document_id and grade, which may be missing.
    """
    wrong = (
        judgements[judgements["grade"].notna() & ~judgements["grade"].isin(list(scale))] if scale else judgements[:0]
    )
    if len(wrong):
        first, more = wrong.iloc[0], f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InputError(
            f"query {first['query_id']}, document {first['document_id']}: expected a grade of join.grades "
            f"({', '.join(map(str, scale))}), found {first['grade']}{more}"
        )


def doubts(counts: dict[str, int], scale: Sequence[int]) -> list[str]:
    """A warning if the largest grade is very rare and `scale` is empty, because targets are divided by that grade.

    Also if it is not the next grade after the second largest: a code such as 9 for "not sure" can be frequent. A single
    grade above 0 needs no scale.
    """
    above = {int(grade): count for grade, count in counts.items() if int(grade) > 0}
    if scale or len(above) < 2:
        return []
    second, largest = sorted(above)[-2:]
    count, total = above[largest], sum(above.values())
    if count >= max(FEW, SMALL_SHARE * total) and largest == second + 1:
        return []
    return [
        f"grade {largest}, the largest, has {count} of {total} judgements above 0, and the next one is {second}: "
        "graded targets are divided by it; if it is a mistake, mend it, and name the scale in join.grades"
    ]

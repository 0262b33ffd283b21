"""The scale of the judgements: how often each grade was given, and what speaks against its largest one."""

from collections.abc import Sequence

import pandas as pd

from ranker.common.errors import InputError

# A slip of the finger comes once or a few times. TREC-COVID's and the sample's grade 2 are more than half of what is
# above 0; the rarest top of a scale in use, the web tracks' "navigational", is about a hundredth.
FEW = 10
SMALL_SHARE = 0.01


def grade_counts(pairs: pd.DataFrame) -> dict[str, int]:
    """How many of the pairs have each grade, from the lowest; `pairs` has grade."""
    return {str(grade): int(count) for grade, count in pairs["grade"].value_counts().sort_index().items()}


def check_grades(judgements: pd.DataFrame, scale: Sequence[int]) -> None:
    """InputError where a grade is not of the scale that join.grades names; of an empty one, every grade is.

    `judgements` has query_id, document_id and grade, missing where none was given.
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
    """A line where no scale is named and the largest grade, by which targets are divided, has next to no judgements.

    Or where it stands apart: a code such as 9 for "not sure" can be frequent. A single grade above 0 rescales nothing.
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

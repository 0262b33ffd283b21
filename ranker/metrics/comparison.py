"""The types of comparison.json and crossval.json, which stage evaluate and the cross-validation write."""

from typing import NotRequired, TypedDict

from ranker.metrics.systems import Table


class Mean(TypedDict):
    """A mean over queries and its 95% confidence interval."""

    mean: float
    low: float
    high: float


class Tested(Mean):
    """The cross-encoder's mean difference from another system: see ranker.metrics.verdict.Difference."""

    p: float
    p_holm: float
    verdict: str


Headline = TypedDict(
    "Headline",
    {
        "verdict": str,  # of ranker.metrics.verdict
        "strongest": str,  # the opponent with the highest mean
        "from": list[str],  # the opponents that the verdict names
        "why": NotRequired[str],  # there is no verdict
    },
)


class Compared(TypedDict):
    """One table: {system: {measure: mean}}, {other system: {measure: difference}}, and the verdict."""

    systems: dict[str, dict[str, Mean]]
    differences: dict[str, dict[str, Tested]]
    headline: Headline


class Slice(TypedDict):
    """Some pairs' comparison; their counts alone where the cross-encoder has no order of them."""

    queries: int
    pairs: int
    systems: NotRequired[dict[str, dict[str, Mean]]]
    differences: NotRequired[dict[str, dict[str, Tested]]]
    headline: NotRequired[Headline]


class Reranked(Compared):
    """The comparison of what is served."""

    first_stage: str
    model: NotRequired[str]  # fp32 or int8, and the size of its file: of the exported one
    model_bytes: NotRequired[int]
    count: int  # hits that are reordered
    perfect: dict[str, float]
    smallest_depth: dict[str, float] | None  # of the depth curve: depth, gain, gain_low, gain_high


class Decides(TypedDict):
    """The table that gives the verdict, and its compared system with the fewest judged in the top ten."""

    table: Table
    system: str | None
    judged: float | None


class Undefined(TypedDict):
    """Counts that the tables do not show."""

    queries: int
    queries_without_a_relevant_pair: int
    left_out: dict[str, str]  # {system: reason}


Cut = TypedDict(
    "Cut",
    {
        "queries": int,
        "queries_cut": int,
        "documents_cut": int,
        "pairs_cut": int,
        "nDCG@10": NotRequired[float],  # of the fp32 model, where a pair is cut; and with room for every text
        "nDCG@10_uncut": NotRequired[float],
    },
)
OverAllPairs = dict[str, dict[str, float]]  # {system: {measure: value}}


class Measures(Undefined):
    """What measures.json holds."""

    cut: Cut
    over_all_pairs: OverAllPairs


class Decided(TypedDict):
    """What is served, where queries are held out, and the table that gives the verdict."""

    reranked: NotRequired[Reranked]
    decides: Decides


class Comparison(Compared, Decided):
    """Judged pairs, and beside them what is served."""

    left_out: dict[str, str]  # {system: reason}
    unseen_documents: Slice

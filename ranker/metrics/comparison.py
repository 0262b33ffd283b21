"""The types of comparison.json and crossval.json, which stage evaluate and the cross-validation write."""

from typing import NotRequired, TypedDict

from ranker.metrics.systems import Table


class Mean(TypedDict):
    """A mean over queries and its 95% confidence interval."""

    mean: float
    low: float
    high: float


class Tested(Mean):
    """The cross-encoder's mean difference from another system (ranker.metrics.verdict.Difference)."""

    p: float
    p_holm: float
    verdict: str


Headline = TypedDict(
    "Headline",
    {
        "verdict": str,  # of ranker.metrics.verdict
        "strongest": str,  # the opponent with the highest mean
        "from": list[str],  # the opponents that the verdict names
        "why": NotRequired[str],  # the reason, if there is no verdict
    },
)


class Compared(TypedDict):
    """One table: {system: {measure: mean}}, {other system: {measure: difference}}, and the verdict."""

    systems: dict[str, dict[str, Mean]]
    differences: dict[str, dict[str, Tested]]
    headline: Headline


class Slice(TypedDict):
    """A comparison on some pairs; only their counts, if the cross-encoder gives them no order."""

    queries: int
    pairs: int
    systems: NotRequired[dict[str, dict[str, Mean]]]
    differences: NotRequired[dict[str, dict[str, Tested]]]
    headline: NotRequired[Headline]


class Reranked(Compared):
    """The comparison of the served rankings."""

    first_stage: str
    model: NotRequired[str]  # the exported model: fp32 or int8, and its file's size
    model_bytes: NotRequired[int]
    count: int  # reordered hits
    perfect: dict[str, float]
    smallest_depth: dict[str, float] | None  # from the depth curve: depth, gain, gain_low, gain_high


class StackRow(TypedDict):
    """A row of the table of stacks."""

    first_stage: str
    order: str
    depth: int
    weights: dict[str, float]
    cross_encoder_runs: float  # a query, mean
    reference: bool  # compared with no other row, because it cannot be deployed
    ms: NotRequired[float]  # processor milliseconds a query, where bench has measured this model
    measures: dict[str, Mean]


class Differs(Mean):
    """The mean paired difference of one stack from another one."""

    stack: str
    than: str
    spread: float  # standard deviation over queries
    p: float
    verdict: str


class Paired(Differs):
    """The shipped stack's difference from one opponent, of queries that neither was trained on."""

    queries: int
    gains: int  # queries on which the shipped stack is better by at least 0.001
    losses: int
    could_show: float  # the smallest true difference that these queries show with a chance of 80%


class Against(TypedDict):
    """The shipped stack against one opponent: the last release, or the strongest stack that costs nothing."""

    version: str | None  # of the release; none, if no judgement trained the opponent
    stack: str  # the opponent's
    queries: int  # that decide
    trained_on: int  # measured queries left out, because one of the two was trained on them
    by: dict[str, Paired]  # by each column that decides; empty if the queries are too few
    judged: float  # the smaller share of the two first tens
    agree: bool  # False if columns contradict each other, and one of them is significant
    why: NotRequired[str | None]  # the release cannot be compared


class Answer(TypedDict):
    """The gain by training or by the cross-encoder, by each column that decides, and if the columns agree."""

    question: str
    by: dict[str, Differs]
    agree: bool


class JudgementsPoint(Mean):
    """nDCG@10 of a stack whose models were trained on this many queries, on average over folds."""

    stack: str
    queries: float


MoreJudgements = TypedDict(
    "MoreJudgements",
    {
        "curve": list[JudgementsPoint],
        "stack": str,  # the best one, and what its last step gave
        "from": float,
        "to": float,
        "mean": float,
        "low": float,
        "high": float,
    },
)


class StackTable(TypedDict):
    """The table of stacks (ranker.stacks.table.stack_table)."""

    shipped: str
    rows: dict[str, StackRow]
    columns: list[str]  # that decide
    least_judged: str  # the compared stack with the lowest Judged@10, and that share
    judged: float
    answers: list[Answer]
    best: dict[str, str]  # by column
    cheapest: dict[str, str]  # within one standard error of the best, by column
    recommended: str | None  # none, if the columns contradict each other
    judgements: NotRequired[MoreJudgements]  # of a cross-validation with shares


class Decides(TypedDict):
    """The table that gives the verdict, and the compared system with the lowest judged share of its top ten."""

    table: Table
    system: str | None
    judged: float | None
    rows: NotRequired[int | None]  # of the list to judge, from its top, for enough judged hits of systems and stacks


class Undefined(TypedDict):
    """Counts of queries and systems that the tables leave out."""

    queries: int
    queries_without_a_relevant_pair: int
    queries_with_stand_ins: int  # and a relevant pair
    left_out: dict[str, str]  # {system: reason}


Cut = TypedDict(
    "Cut",
    {
        "queries": int,
        "queries_cut": int,
        "documents_cut": int,
        "pairs_cut": int,
        "nDCG@10": NotRequired[float],  # of the fp32 model, with and without truncation, if a pair is truncated
        "nDCG@10_uncut": NotRequired[float],
    },
)
OverAllPairs = dict[str, dict[str, float]]  # {system: {measure: value}}


class Measures(Undefined):
    """measures.json."""

    cut: Cut
    over_all_pairs: OverAllPairs


class Shipped(TypedDict):
    """The shipped stack against others, each pair of stacks on the same queries."""

    free: NotRequired[Against]  # the strongest stack that costs nothing
    last_release: NotRequired[Against]  # the release that evaluate.against names


class Decided(Shipped):
    """The served rankings' comparison, if queries are held out, and the table that gives the verdict."""

    reranked: NotRequired[Reranked]
    stacks: NotRequired[StackTable]
    decides: Decides


class Comparison(Compared, Decided):
    """The comparison on judged pairs, with that of the served rankings."""

    left_out: dict[str, str]  # {system: reason}
    queries_left_out: int  # of judged pairs, because random documents stand in for their negatives
    unseen_documents: Slice

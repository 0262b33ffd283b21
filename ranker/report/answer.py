"""The answer in words: whether the ranker helps, against every system that needs no training."""

from collections.abc import Sequence
from pathlib import PurePath

from ranker.metrics.comparison import Compared, Comparison, Reranked
from ranker.metrics.ranking import MAIN
from ranker.metrics.systems import FIRST_STAGES, SYSTEMS
from ranker.metrics.verdict import BETTER, ENOUGH_JUDGED, HELPS, HURTS, NO_DIFFERENCE, NO_VERDICT, WORSE


def deciding(comparison: Comparison) -> Compared:
    """The part of comparison.json that gives the verdict: what is served, or the judged pairs."""
    return comparison["reranked"] if comparison.get("decides", {}).get("table") == "reranked" else comparison


def basis(comparison: Comparison) -> str:
    """What the verdict is of, and why; empty where there is one table alone."""
    if "decides" not in comparison:
        return ""
    decides = comparison["decides"]
    system, share = decides["system"], decides["judged"]
    if decides["table"] == "reranked":
        judged = f"of each compared system's first ten, {share:.1%} or more are judged"
        return f"This is of {served(comparison['reranked'])}: {judged}."
    if not system:
        return "This is of judged pairs among themselves, because queries are on both sides of the split."
    return (
        f"This is of judged pairs among themselves: over the whole collection, {share:.1%} of the first ten of "
        f"{SYSTEMS[system].spoken} are judged, and below {ENOUGH_JUDGED:.0%} what nobody judged would decide."
    )


def next_step(comparison: Comparison, to_judge: PurePath) -> str:
    """The thing to do where too little is judged for a verdict on what is served; empty elsewhere.

    `to_judge` is the list of what to judge next.
    """
    decides = comparison.get("decides")
    if not decides or decides["table"] != "judged" or not decides["system"]:
        return ""
    listed = to_judge.as_posix()
    return (
        f"For a verdict on what is served, judge more: fill in grades in {listed}, from its top, merge them "
        f"(python -m scripts.judge {listed}) and measure again."
    )


def beside(comparison: Comparison) -> str:
    """What the other table says, in a sentence; empty where there is one table alone."""
    if "reranked" not in comparison:
        return ""
    reranked = comparison["reranked"]
    by_judged = deciding(comparison) is comparison
    other: Compared = reranked if by_judged else comparison
    names = [name for name in SYSTEMS if name in other["systems"] and name != "random"]
    means = ", ".join(f"{SYSTEMS[name].spoken} {other['systems'][name][MAIN]['mean']:.3f}" for name in names)
    return f"Of {served(reranked) if by_judged else 'judged pairs among themselves'}: {means}."


def served(reranked: Reranked) -> str:
    """What the table of reranking is of."""
    first_stage = FIRST_STAGES[reranked["first_stage"]]
    return f"the best {reranked['count']} of the whole collection by {first_stage}, reordered"


def answer(comparison: Compared, gains: Sequence[float], scope: str) -> tuple[str, str, str]:
    """Verdict, headline and figures, of `deciding` of what comparison.json holds.

    `gains` are each query's over the strongest system that needs no training; `scope` says what all of it is of, such
    as "on this split and seed".
    """
    found = comparison["headline"]
    verdict = found["verdict"]
    if verdict == NO_VERDICT:
        return verdict, f"No verdict, {scope}: {found['why']}.", _figures(comparison, found["strongest"])
    names = [SYSTEMS[name].spoken for name in found["from"]]
    better = " and ".join(names) + (" rank" if len(names) > 1 else " ranks")
    headline = {
        HELPS: f"The ranker helps, {scope}.",
        HURTS: f"The ranker hurts, {scope}: {better} better.",
        NO_DIFFERENCE: f"No significant difference from {names[0]}, {scope}.",
    }[verdict]
    return verdict, headline, f"{_figures(comparison, found['strongest'])} {_counts(gains)}"


def beside_bi_encoder(comparison: Compared) -> str:
    """Whether reading query and document together is worth what it costs; empty without a bi-encoder or a verdict."""
    if "bi_encoder" not in comparison["differences"] or comparison["headline"]["verdict"] == NO_VERDICT:
        return ""
    difference = comparison["differences"]["bi_encoder"][MAIN]
    bounds = f"95% interval {signed(difference['low'])} to {signed(difference['high'])}, {p_value(difference['p'])}"
    worth = {
        BETTER: "The cross-encoder is worth that here.",
        WORSE: "Here the bi-encoder ranks better, too (first_stage.by: bi_encoder trains one).",
    }.get(difference["verdict"], "The cross-encoder is not shown to be worth that here.")
    return (
        f"Beside a bi-encoder, fine-tuned on the same judgements, it has {signed(difference['mean'])} ({bounds}). "
        "To rerank 100 hits, the cross-encoder reads 100 pairs when the query comes; the bi-encoder reads the query "
        f"alone, and its documents when they are fed. {worth}"
    )


def _figures(comparison: Compared, strongest: str) -> str:
    difference = comparison["differences"][strongest][MAIN]
    own, other = (comparison["systems"][name][MAIN]["mean"] for name in ("cross_encoder", strongest))
    bounds = f"95% interval {signed(difference['low'])} to {signed(difference['high'])}, {p_value(difference['p'])}"
    return (
        f"Its {MAIN} is {own:.3f}; of what it has to beat, {SYSTEMS[strongest].spoken} is best with {other:.3f}: "
        f"{signed(difference['mean'])} ({bounds})."
    )


def _counts(gains: Sequence[float]) -> str:
    rounded = [round(gain, 3) for gain in gains]
    better, worse = sum(gain > 0 for gain in rounded), sum(gain < 0 for gain in rounded)
    return f"It gains on {better} of {len(rounded)} queries and loses on {worse}."


def signed(value: float) -> str:
    """Three decimals with a sign.

    >>> signed(0.1), signed(-0.0304), signed(-0.0001)
    ('+0.100', '\N{MINUS SIGN}0.030', '±0.000')
    """
    return "±0.000" if round(value, 3) == 0 else f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def p_value(value: float) -> str:
    """A p as it is quoted.

    >>> p_value(0.0002), p_value(0.0312)
    ('p < 0.001', 'p = 0.031')
    """
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"

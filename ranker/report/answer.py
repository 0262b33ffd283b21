"""The verdict in sentences: the ranker against every untrained system."""

from collections.abc import Sequence

from ranker.metrics.comparison import Compared, Comparison, Reranked
from ranker.metrics.ranking import MAIN
from ranker.metrics.systems import FIRST_STAGES, SYSTEMS
from ranker.metrics.verdict import ENOUGH_JUDGED, HELPS, HURTS, NO_DIFFERENCE, NO_VERDICT


def deciding(comparison: Comparison) -> Compared:
    """The part of comparison.json that gives the verdict: the served rankings, or the judged pairs."""
    return comparison["reranked"] if comparison.get("decides", {}).get("table") == "reranked" else comparison


def basis(comparison: Comparison) -> str:
    """The deciding table and the reason for it; empty if there is only one table."""
    if "decides" not in comparison:
        return ""
    decides = comparison["decides"]
    system, share = decides["system"], decides["judged"]
    if decides["table"] == "reranked":
        judged = f"at least {share:.1%} of each compared system's top ten are judged"
        return f"The verdict compares {served(comparison['reranked'])}; {judged}."
    left_out = stand_ins(comparison)
    if not system:
        return f"The verdict compares judged documents only, because queries are on both sides of the split.{left_out}"
    return (
        f"The verdict compares judged documents only, because {share:.1%} of the top ten of {SYSTEMS[system].spoken} "
        f"in the whole collection are judged; below {ENOUGH_JUDGED:.0%}, unjudged documents would decide.{left_out}"
    )


def stand_ins(comparison: Comparison) -> str:
    """The number of queries that judged pairs leave out, as a sentence after another one; empty if there are none."""
    count = comparison.get("queries_left_out", 0)
    return f" Queries left out, because random documents stand in for their negatives: {count:,}." if count else ""


def served(reranked: Reranked) -> str:
    """The served rankings, in words."""
    first_stage = FIRST_STAGES[reranked["first_stage"]]
    return f"the best {reranked['count']} hits in the whole collection by {first_stage}, reordered"


def answer(comparison: Compared, gains: Sequence[float], scope: str) -> tuple[str, str, str]:
    """Verdict, headline and figures of comparison.json's `deciding` table.

    `gains` are each query's gain over the strongest untrained system; `scope` ends the headline, such as "on this split
    and seed".
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


def _figures(comparison: Compared, strongest: str) -> str:
    difference = comparison["differences"][strongest][MAIN]
    own, other = (comparison["systems"][name][MAIN]["mean"] for name in ("cross_encoder", strongest))
    bounds = f"95% interval {signed(difference['low'])} to {signed(difference['high'])}, {p_value(difference['p'])}"
    return (
        f"Its {MAIN} is {own:.3f}. Best untrained system: {SYSTEMS[strongest].spoken}, {other:.3f}. "
        f"Difference: {signed(difference['mean'])} ({bounds})."
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
    """A p in words.

    >>> p_value(0.0002), p_value(0.0312)
    ('p < 0.001', 'p = 0.031')
    """
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"

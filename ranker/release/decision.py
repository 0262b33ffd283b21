"""May a release be registered? By the comparison with the last release and with the strongest that costs nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ranker.metrics.comparison import Against, Paired
from ranker.metrics.ranking import MAIN
from ranker.metrics.verdict import WORSE

# Buckley and Voorhees, Evaluating evaluation measure stability, SIGIR 2000: at least 25 queries, 50 are better.
FEWEST_TO_RELEASE = 25
FREE = "the best search that costs nothing"


@dataclass(frozen=True)
class Decision:
    """The reasons not to register a release, a clause each; none of them if it may be registered."""

    opponents: Mapping[str, Against]  # by their spoken names
    refusals: list[str]

    @property
    def queries(self) -> int:
        """The queries that decided: the fewest of all opponents."""
        return min((found["queries"] for found in self.opponents.values()), default=0)


def sentences(decision: Decision) -> Iterator[str]:
    """A sentence for each opponent that was compared: the difference, the queries that decided, and their power."""
    for name, found in decision.opponents.items():
        left_out = f"; left out, because a release was trained on them: {found['trained_on']}" * bool(
            found["trained_on"]
        )
        for column, by in found["by"].items():
            yield (
                f"against {name}: {by['mean']:+.3f} {column} (95% interval {by['low']:+.3f} to {by['high']:+.3f}, "
                f"p = {by['p']:.4f}); {by['queries']} queries decide, better on {by['gains']} and worse on "
                f"{by['losses']}; {_power(by)}{left_out}"
            )


def _power(by: Paired) -> str:
    if not by["spread"]:
        return "both find the same" if not by["mean"] else "they differ alike on each query"
    return f"they show a difference of {by['could_show']:.3f} or more four times in five"


def decide(free: Against | None, last: Against | None, tag: str | None) -> Decision:
    """Refuse a release that is significantly worse than an opponent, or that too few queries compare.

    `tag` is the last release's; None, if this one is the first. The last column that decides gives the verdict.
    """
    opponents = {FREE: free} if free else {}
    opponents |= {tag: last} if tag and last else {}
    refusals = [] if opponents else ["no query was held out from training"]
    if tag and not last:
        refusals.append(f"{tag} was not compared")
    for name, found in opponents.items():
        refusals += _against(name, found)
    return Decision(opponents, refusals)


def _against(name: str, found: Against) -> Iterator[str]:
    if why := found.get("why"):
        yield f"{name} cannot be compared: {why}"
    elif found["queries"] < FEWEST_TO_RELEASE:
        yield f"{found['queries']} queries compare it with {name}, and a release needs {FEWEST_TO_RELEASE}"
    elif not found["agree"]:
        yield f"{MAIN} with and without unjudged documents contradict each other about {name}: judge more first"
    else:
        worse = list(found["by"].values())[-1]
        if worse["verdict"] == WORSE:
            bounds = f"95% interval {worse['low']:+.3f} to {worse['high']:+.3f}, p = {worse['p']:.4f}"
            yield f"it is worse than {name} by {-worse['mean']:.3f} {list(found['by'])[-1]} ({bounds})"

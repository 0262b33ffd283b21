"""A comparison's outcome: its title, its answers in lines, and the steps that follow from them."""

from dataclasses import dataclass
from pathlib import PurePath

import pandas as pd

from ranker.metrics.comparison import Answer, Compared, Comparison, StackTable
from ranker.metrics.ranking import MAIN
from ranker.metrics.systems import FIRST_STAGES, SYSTEMS
from ranker.metrics.verdict import BETTER, ENOUGH_JUDGED, HELPS, HURTS, NO_DIFFERENCE, NO_VERDICT, WORSE, queries_needed
from ranker.report.answer import answer, basis, deciding
from ranker.report.release import LastRelease, Version, against_free, heading, since, subtitle, verdict_since
from ranker.report.stacks import sentences, spoken, to_deploy

DIFFERENCE = 0.02  # of nDCG@10, worth showing


@dataclass(frozen=True)
class Outcome:
    """A comparison of one split or of the cross-validation, and what its verdict names.

    `per_query` belongs to the table that gives the verdict: one row per query, with query_id, query, pairs, relevant,
    "SYSTEM nDCG@10" for each system, and gain over the strongest baseline.
    """

    name: str  # the model's, and its artifact's
    version: str
    collection: str
    scope: str  # ends the headline, such as "on this split and seed"
    crossval: bool
    comparison: Comparison
    per_query: pd.DataFrame
    to_judge: PurePath  # the list of documents to judge
    now: Version
    last_release: LastRelease | None

    @property
    def decided(self) -> Compared:
        """The table that gives the verdict on the cross-encoder."""
        return deciding(self.comparison)

    @property
    def served(self) -> bool:
        """True if the served rankings give the verdict."""
        return self.decided is not self.comparison

    @property
    def stacks(self) -> StackTable | None:
        """The table of stacks; None for a split by pair."""
        return self.comparison.get("stacks")

    @property
    def answer(self) -> tuple[str, str, str]:
        """Verdict on the cross-encoder, headline and figures."""
        return answer(self.decided, self.per_query["gain"].tolist(), self.scope)

    @property
    def heading(self) -> str:
        """The version, the collection and the last release, such as "shop-search 0.2.0 on shop, against 0.1.0"."""
        begun = heading(self.name, self.version, self.collection, self.last_release)
        return f"{begun}, cross-validated" if self.crossval else begun

    @property
    def title(self) -> str:
        """The heading and the result."""
        return f"{self.heading}: {self.result}"

    @property
    def subtitle(self) -> str:
        """The collection's counts and digest, and the release that the page compares with."""
        return subtitle(self.now, self.last_release)

    @property
    def since(self) -> list[str]:
        """The verdict against the last release, a line each; none without one."""
        return since(self.comparison.get("last_release"), self.now, self.last_release)

    @property
    def result(self) -> str:
        """The stack to deploy or, before a cross-validation, the one that ships and its nDCG@10."""
        table, found = self.stacks, self.decided["headline"]
        if table and self.crossval and table["recommended"]:
            return f"deploy {spoken(table['recommended'], table)}"
        if table:
            mean = table["rows"][table["shipped"]]["measures"][MAIN]["mean"]
            return f"{spoken(table['shipped'], table)}, {MAIN} {mean:.3f}"
        return {
            HELPS: f"better than {self.spoken(found['strongest'])}",
            HURTS: f"worse than {self.spoken(found['from'][0])}",
            NO_DIFFERENCE: f"no better than {self.spoken(found['from'][0])}",
            NO_VERDICT: NO_VERDICT,
        }[found["verdict"]]

    def spoken(self, system: str) -> str:
        """A system in a sentence; the first stage's own order by its retriever."""
        if system == "first_stage" and "reranked" in self.comparison:
            return FIRST_STAGES[self.comparison["reranked"]["first_stage"]]
        return SYSTEMS[system].spoken


def verdict_lines(outcome: Outcome) -> list[str]:
    """The answers and the next steps, a line each."""
    steps = (f"next: {step}" for step in next_steps(outcome))
    return [*answers(outcome), *steps]


def answers(outcome: Outcome) -> list[str]:
    """The verdict against the last release, then the answers of the table of stacks.

    Without a table, the verdict on the cross-encoder. After a cross-validation, the last one is the stack to deploy.
    """
    if (table := outcome.stacks) is None:
        _, headline, figures = outcome.answer
        found = [headline, figures, basis(outcome.comparison)]
    else:
        found = [*sentences(table), against_free(outcome.comparison.get("free"), table)]
        found += [to_deploy(table)] if outcome.crossval else []
    return [*outcome.since, *(line for line in found if line)]


def next_steps(outcome: Outcome) -> list[str]:
    """The steps that follow; commands stand between backticks."""
    table = outcome.stacks
    if table is None:
        return ["For a verdict on new queries, hold queries out: `dvc exp run -S split.by=query`."]
    trained = next((each for each in table["answers"] if each["question"] == "training"), None)
    steps = [_judge(outcome)] if len(table["columns"]) > 1 else []
    if not outcome.crossval:
        steps.append(
            f"Cross-validate (`make crossval`): it measures all queries, not {len(outcome.per_query)}, and chooses the "
            "stack and its weights."
        )
    elif trained and _found(trained) == BETTER and table["recommended"]:
        steps.append(_release(outcome))
    elif trained and _found(trained) == NO_DIFFERENCE:
        steps.append(_more_queries(outcome, trained))
    return [step for step in steps if step]


def _found(answer: Answer) -> str:
    """The verdict by the last column that decides."""
    return list(answer["by"].values())[-1]["verdict"]


def _judge(outcome: Outcome) -> str:
    listed = outcome.to_judge.as_posix()
    rows = outcome.comparison["decides"].get("rows")
    first = (
        f"the first {rows} rows of {listed}, which bring every stack's first ten to {ENOUGH_JUDGED:.0%}, until models "
        "that are trained on them find other documents"
        if rows
        else f"all rows of {listed}: pairs that cannot be judged keep a stack's first ten below {ENOUGH_JUDGED:.0%}"
    )
    source = f" {listed}" if outcome.crossval else ""
    return (
        f"Unjudged documents blur the answers: judge {first}. `python -m scripts.judge grades.csv --form{source}` "
        "makes a file to fill in, `python -m scripts.judge grades.csv` merges it."
    )


def _release(outcome: Outcome) -> str:
    if outcome.last_release and verdict_since(outcome.comparison.get("last_release")) == WORSE:
        return f"Keep {outcome.last_release.name}, because the new stack is significantly worse."
    return (
        "To ship it, train it on all judgements (`dvc exp run -S split.held_out=none`), and release it "
        "(`make release`, docs/release.md)."
    )


def _more_queries(outcome: Outcome, trained: Answer) -> str:
    """The number of queries that would show DIFFERENCE."""
    spread, queries = list(trained["by"].values())[-1]["spread"], len(outcome.per_query)
    if not spread > 0:
        return ""
    needed = queries_needed(spread, DIFFERENCE)
    if needed <= queries:
        return f"{queries} queries are enough to show a difference of {DIFFERENCE}: more judgements will not show one."
    return (
        f"To show what training adds by a difference of {DIFFERENCE}, judge more queries: at this spread between "
        f"queries ({spread:.3f}) it takes {needed:,}, {needed - queries:,} more."
    )

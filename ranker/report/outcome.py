"""A comparison's outcome: its title, its verdict in lines, and the steps that follow from it."""

from dataclasses import dataclass
from pathlib import PurePath

import pandas as pd

from ranker.metrics.comparison import Compared, Comparison
from ranker.metrics.ranking import MAIN
from ranker.metrics.systems import FIRST_STAGES, SYSTEMS
from ranker.metrics.verdict import HELPS, HURTS, NO_DIFFERENCE, NO_VERDICT, queries_needed
from ranker.report.answer import answer, basis, beside, deciding
from ranker.report.stacks import sentences, to_deploy

DIFFERENCE = 0.02  # of nDCG@10, worth showing
FOUND_ENOUGH = 0.8  # nDCG@10 of a perfect order of the hits; below it, the first stage is the bound
FINDS_MORE = {  # for each first stage
    "bm25": "hybrid",
    "base": "base_hybrid",
    "base_hybrid": "hybrid",
    "dense": "hybrid",
    "hybrid": "dense",
    "run": "hybrid",
}


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

    @property
    def decided(self) -> Compared:
        """The table that gives the verdict."""
        return deciding(self.comparison)

    @property
    def served(self) -> bool:
        """True if the served rankings give the verdict."""
        return self.decided is not self.comparison

    @property
    def answer(self) -> tuple[str, str, str]:
        """Verdict, headline and figures."""
        return answer(self.decided, self.per_query["gain"].tolist(), self.scope)

    @property
    def title(self) -> str:
        """The model, the collection and the verdict, such as "shop-ranker 0.1.0 on shop: no better than BM25"."""
        found = self.decided["headline"]
        short = {
            HELPS: f"better than {self.spoken(found['strongest'])}",
            HURTS: f"worse than {self.spoken(found['from'][0])}",
            NO_DIFFERENCE: f"no better than {self.spoken(found['from'][0])}",
            NO_VERDICT: NO_VERDICT,
        }[found["verdict"]]
        return f"{self.name} {self.version} on {self.collection}{', cross-validated' * self.crossval}: {short}"

    def spoken(self, system: str) -> str:
        """A system in a sentence; the first stage's own order by its retriever."""
        if system == "first_stage" and "reranked" in self.comparison:
            return FIRST_STAGES[self.comparison["reranked"]["first_stage"]]
        return SYSTEMS[system].spoken


def verdict_lines(outcome: Outcome) -> list[str]:
    """The verdict, its figures and the next steps, a line each."""
    _, headline, figures = outcome.answer
    about = basis(outcome.comparison), beside(outcome.comparison)
    steps = (f"next: {step}" for step in next_steps(outcome))
    return [line for line in (*stack_answers(outcome), headline, figures, *about, *steps) if line]


def stack_answers(outcome: Outcome) -> list[str]:
    """The answers of the table of stacks; after a cross-validation, also the stack to deploy."""
    if "stacks" not in outcome.comparison:
        return []
    table = outcome.comparison["stacks"]
    return [*sentences(table), *([to_deploy(table)] if outcome.crossval else [])]


def next_steps(outcome: Outcome) -> list[str]:
    """One or two steps that follow from the verdict; commands stand between backticks."""
    by_verdict = {HELPS: _release, HURTS: _deploy_another, NO_DIFFERENCE: _more_queries}
    decides, verdict = outcome.comparison.get("decides"), outcome.decided["headline"]["verdict"]
    steps = []
    if decides and decides["table"] == "judged":
        steps.append(_judge(outcome) if decides["system"] else _hold_out_queries())
    elif verdict in by_verdict:
        steps.append(by_verdict[verdict](outcome))
    return [step for step in (*steps, _find_more(outcome)) if step]


def _judge(outcome: Outcome) -> str:
    listed = outcome.to_judge.as_posix()
    rows = outcome.comparison["decides"].get("rows")
    first = f"the first {rows} rows" if rows else "all rows, and then those of the next run's list"
    source = f" {listed}" if outcome.crossval else ""
    return (
        f"For a verdict on the served rankings, judge {first} of {listed}: `python -m scripts.judge grades.csv "
        f"--form{source}` makes a file to fill in, `python -m scripts.judge grades.csv` merges it."
    )


def _hold_out_queries() -> str:
    return "For a verdict on new queries, hold queries out: `dvc exp run -S split.by=query`."


def _release(outcome: Outcome) -> str:
    train = "train it on all judgements (`dvc exp run -S split.held_out=none`) and " if outcome.crossval else ""
    command = f"gto register {outcome.name} --version v{outcome.version}"
    return f"To ship it, {train}commit, `dvc push` and `{command}` (docs/release.md)."


def _deploy_another(outcome: Outcome) -> str:
    system = outcome.decided["headline"]["from"][0]
    if system == "random":
        return "Check the grades, because a random order ranks better: a higher grade must mean a better document."
    first_stage = outcome.comparison["reranked"]["first_stage"] if outcome.served else ""
    if system == "bm25" or (system, first_stage) == ("first_stage", "bm25"):
        how = "it is rank profile bm25 of `models/vespa`"
    elif system == "base_cosine":
        how = "an index of the base model's vectors serves it, as docs/serving.md says of a retriever"
    else:
        how = "leave its order as it is"
    return f"Deploy {outcome.spoken(system)} instead, which needs no cross-encoder: {how}."


def _more_queries(outcome: Outcome) -> str:
    """Cross-validation, and the number of queries that would show DIFFERENCE."""
    system, table = outcome.decided["headline"]["from"][0], outcome.per_query
    spread, queries = float((table[f"cross_encoder {MAIN}"] - table[f"{system} {MAIN}"]).std()), len(table)
    crossval = "" if outcome.crossval else f"Cross-validate (`make crossval`): it measures all queries, not {queries}. "
    if not spread > 0:  # NaN for one query
        return crossval.strip()
    needed = queries_needed(spread, DIFFERENCE)
    if needed <= queries:
        enough = f"{queries} queries are enough to show a difference of {DIFFERENCE}"
        return f"{crossval}{enough}: deploy {outcome.spoken(system)}, which needs no cross-encoder."
    return (
        f"{crossval}To show a difference of {DIFFERENCE}, judge more queries: at this spread between queries "
        f"({spread:.3f}) it takes {needed:,}, {needed - queries:,} more."
    )


def _find_more(outcome: Outcome) -> str:
    """Another first stage, if the hits bound every reranker; otherwise empty."""
    if "reranked" not in outcome.comparison:
        return ""
    reranked = outcome.comparison["reranked"]
    count, first_stage, perfect = reranked["count"], reranked["first_stage"], reranked["perfect"][MAIN]
    if perfect >= FOUND_ENOUGH:
        return ""
    recall = reranked["perfect"][f"R@{count}"]
    return (
        f"Find more: the best {count} hits by {FIRST_STAGES[first_stage]} hold {recall:.0%} of the relevant documents, "
        f"and their perfect order has {MAIN} {perfect:.3f}. See whether R@{count} rises by "
        f"`dvc exp run -S first_stage.retriever={FINDS_MORE[first_stage]}`."
    )

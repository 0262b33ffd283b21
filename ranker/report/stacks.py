"""The table of stacks in words: its rows' names, three answers, and the stack to deploy."""

from dataclasses import dataclass
from typing import Any, cast

from ranker.contract.stacks import FirstStageName
from ranker.metrics.comparison import Answer, Differs, MoreJudgements, StackRow, StackTable
from ranker.metrics.ranking import MAIN
from ranker.metrics.systems import FIRST_STAGES, SYSTEMS
from ranker.metrics.verdict import BETTER, ENOUGH_JUDGED, NO_DIFFERENCE, WORSE
from ranker.report.answer import p_value, signed
from ranker.stack.stack import Stack, as_stack
from ranker.stacks.costs import Costs

ORDERS = {
    "as_found": "",
    "cross_encoder": ", reordered by the cross-encoder",
    "fused": ", fused with the cross-encoder",
}
ALONE = ", fused with BM25"
SHORT = {
    ORDERS["cross_encoder"]: " > cross-encoder",
    ORDERS["fused"]: " + cross-encoder",
    ALONE: " + BM25",
    " and the ": " + ",
}


def speak(stack: Stack) -> str:
    """A stack in a sentence, such as "BM25, reordered by the cross-encoder"."""
    order = ORDERS[stack.order]
    if stack.order == "fused" and not stack.runs_cross_encoder:  # a hybrid's sum already has BM25
        order = "" if len(stack.found_by) > 1 else ALONE
    return f"{FIRST_STAGES[stack.first_stage]}{order}"


def stack_of(row: StackRow) -> Stack:
    """A row's stack, whatever its language."""
    return as_stack({**row, "language": ""})


def spoken(name: str, table: StackTable) -> str:
    """A row's name in a sentence."""
    row = table["rows"][name]
    if row["reference"]:
        return SYSTEMS[name].spoken
    return speak(stack_of(row)) + (", fitted weights" if name.endswith("fitted") else "")


def label(name: str, table: StackTable) -> str:
    """`spoken`, short enough for a table's row, such as "BM25 + retriever > cross-encoder"."""
    words = spoken(name, table).removeprefix("the ")
    for long, short in SHORT.items():
        words = words.replace(long, short)
    return words


@dataclass(frozen=True)
class Question:
    """The beginnings of an answer, by its verdict."""

    better: str
    no_difference: str
    worse: str
    contradicted: str


QUESTIONS = {
    "training": Question(
        "Training beats the best search that costs nothing",
        "Training shows no gain over the best search that costs nothing",
        "Training loses to the best search that costs nothing",
        "Whether training beats the best search that costs nothing is open",
    ),
    "cross_encoder": Question(
        "The cross-encoder adds to the best stack without it",
        "The cross-encoder shows no gain over the best stack without it",
        "The cross-encoder takes away from the best stack without it",
        "Whether the cross-encoder adds to the best stack without it is open",
    ),
}


def sentences(table: StackTable) -> list[str]:
    """The answers to each question, and the stack that is enough."""
    found = [_answered(answer, table) for answer in table["answers"]]
    if len(set(table["cheapest"].values())) == 1:
        name, best = table["cheapest"][MAIN], table["best"][MAIN]
        if name == best:
            found.append(f"No cheaper stack is within one standard error of the best: {_with_mean(name, table, MAIN)}.")
        else:
            found.append(
                f"The cheapest stack within one standard error of the best ({_with_mean(best, table, MAIN)}): "
                f"{_with_mean(name, table, MAIN)}."
            )
    else:
        names = [f"{_with_mean(name, table, column)} by {column}" for column, name in table["cheapest"].items()]
        found.append(f"Which stack is enough is open: {'; '.join(names)}.")
    if "judgements" in table:
        found.append(_worth_judging(table["judgements"], table))
    if len(table["columns"]) > 1:
        found.append(
            f"Only {table['judged']:.0%} of the first ten of {spoken(table['least_judged'], table)} are judged (below "
            f"{ENOUGH_JUDGED:.0%}), so lists without their unjudged documents decide, too."
        )
    return found


def _worth_judging(more: MoreJudgements, table: StackTable) -> str:
    """The gain in nDCG@10 by the last step of the curve over judgements."""
    shown = "More judging is worth it" if more["low"] > 0 else "More judging is not shown to be worth it"
    return (
        f"{shown}: from {more['from']:.0f} to {more['to']:.0f} training queries, {spoken(more['stack'], table)} gains "
        f"{signed(more['mean'])} nDCG@10 (95% interval {signed(more['low'])} to {signed(more['high'])})."
    )


def _answered(answer: Answer, table: StackTable) -> str:
    question, by = QUESTIONS[answer["question"]], answer["by"]
    verdict = list(by.values())[-1]["verdict"] if answer["agree"] else None
    begun = {BETTER: question.better, NO_DIFFERENCE: question.no_difference, WORSE: question.worse}
    figures = "; ".join(_differs(each, table, column) for column, each in by.items())
    return f"{begun[verdict] if verdict else question.contradicted}: {figures}."


def _differs(found: Differs, table: StackTable, column: str) -> str:
    bounds = f"95% interval {signed(found['low'])} to {signed(found['high'])}, {p_value(found['p'])}"
    own, other = (table["rows"][name]["measures"][column]["mean"] for name in (found["stack"], found["than"]))
    return (
        f"{signed(found['mean'])} {column} ({bounds}): {own:.3f} by {spoken(found['stack'], table)}, "
        f"{other:.3f} by {spoken(found['than'], table)}"
    )


def _with_mean(name: str, table: StackTable, column: str) -> str:
    return f"{spoken(name, table)}, {table['rows'][name]['measures'][column]['mean']:.3f}"


def to_deploy(table: StackTable) -> str:
    """The stack to deploy, with the command that sets it; or the reason to choose none yet."""
    name = table["recommended"]
    if name is None:
        return "No stack to deploy yet, because the two columns contradict each other: judge more first."
    row = table["rows"][name]
    without = "" if stack_of(row).runs_cross_encoder else " Leave the cross-encoder out."
    return f"Deploy {spoken(name, table)}.{without} `dvc exp run {' '.join(settings(row))}` sets it."


def settings(row: StackRow) -> list[str]:
    """The options of `dvc exp run` that make a stack the one that ships."""
    found: dict[str, Any] = {
        "first_stage.retriever": row["first_stage"],
        "order.by": row["order"],
        "order.depth": row["depth"],
    }
    if row["order"] == "fused" or "hybrid" in row["first_stage"]:
        found |= {f"order.weights.{name}": weight for name, weight in row["weights"].items()}
    return [f"-S {name}={value}" for name, value in found.items()]


def stack_lines(table: StackTable) -> list[str]:
    """The table as text: a header, then a line for each stack."""
    measures = list(next(iter(table["rows"].values()))["measures"])
    names = {name: label(name, table) for name in table["rows"]}
    width = max(map(len, names.values())) + 2
    lines = [" " * width + "".join(f"{_short(measure):>10}" for measure in measures) + f"{'pairs':>8}"]
    for name, row in table["rows"].items():
        values = "".join(f"{row['measures'][measure]['mean']:10.3f}" for measure in measures)
        lines.append(f"{names[name]:{width}}{values}{row['cross_encoder_runs']:8.0f}")
    return lines


def _short(measure: str) -> str:
    return measure.split(", ")[-1]


def with_costs(table: StackTable, costs: Costs | None) -> StackTable:
    """The table with processor milliseconds a query, if they are known."""
    if costs is None:
        return table
    rows: dict[str, StackRow] = {}
    for name, row in table["rows"].items():
        ms = costs.stack(cast(FirstStageName, row["first_stage"]), row["cross_encoder_runs"])
        rows[name] = {**row, "ms": ms} if name != "last_release" else row  # its models may be others
    return {**table, "rows": rows}

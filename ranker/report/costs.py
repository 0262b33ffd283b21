"""Measured milliseconds of a query for each stack. Their file lies outside the DAG: times are not reproducible."""

from pathlib import Path
from typing import TypedDict, cast

from ranker.common.files import read_json
from ranker.contract.stacks import FOUND_BY, FirstStageName
from ranker.metrics.comparison import StackRow, StackTable

ALIKE = 0.02  # models whose file sizes differ by less have equal numbers of weights and bits
FIGURES = Path("bench/results/stacks.json")  # python -m bench.studies.stacks writes it


class Figures(TypedDict):
    """The keys of FIGURES that this module reads."""

    model: dict[str, str]  # served: int8 or fp32, by retriever and ranker
    model_bytes: dict[str, int]
    ms: dict[str, float]  # by part, and its model


def with_costs(table: StackTable, ranker_bytes: int, retriever: str) -> StackTable:
    """The table with processor milliseconds a query, if a ranker of this file's size was measured.

    `retriever` is the model that searches: fp32 or int8.
    """
    if not FIGURES.is_file():
        return table
    figures: Figures = read_json(FIGURES)
    if abs(ranker_bytes / figures["model_bytes"]["ranker"] - 1) > ALIKE:
        return table
    rows: dict[str, StackRow] = {
        name: {**row, "ms": _ms(row, figures, retriever)} for name, row in table["rows"].items()
    }
    return {**table, "rows": rows}


def _ms(row: StackRow, figures: Figures, retriever: str) -> float:
    """The sum of a stack's parts; the base model embeds at the retriever's cost, because it has its shape."""
    ms, model = figures["ms"], figures["model"]
    vectors = ms[f"embed {retriever}"] + ms["vectors"]
    lists: dict[str, float] = {"bm25": ms["bm25"], "dense": vectors, "base": vectors, "run": 0.0}
    found = sum(lists[name] for name in FOUND_BY[cast(FirstStageName, row["first_stage"])])
    return found + row["cross_encoder_runs"] * ms[f"pair {model['ranker']}"]

"""One entry for each measured system: its looks in tables and plots, and its part in the evaluation.

A new baseline is one entry here and one function in ranker.evaluation.baselines.
"""

from dataclasses import dataclass
from typing import Literal

Table = Literal["judged", "reranked"]  # of comparison.json: judged pairs, and the served rankings


@dataclass(frozen=True)
class System:
    """A system's name, its looks on the page, and its part in the evaluation."""

    name: str  # in tables, files and JSON
    label: str  # in tables and legends
    spoken: str  # in sentences
    colour: str
    dash: tuple[int, ...]  # of its line: pixels on and off
    exported: bool = False  # stage score asks the exported model
    recipe: bool = False  # cross-validation trains it
    baseline: bool = False  # untrained; its function in ranker.evaluation.baselines scores each pair
    against: tuple[Table, ...] = ()  # the tables whose verdict compares with it; it must be untrained


# In the page's order.
SYSTEMS = {
    system.name: system
    for system in (
        System("cross_encoder", "cross-encoder", "the cross-encoder", "#0b5cad", (1, 0), exported=True, recipe=True),
        System("cross_encoder_int8", "cross-encoder, int8", "the same in int8", "#7a3e9d", (6, 2), exported=True),
        System("retriever", "retriever", "the retriever", "#b35900", (6, 3, 2, 3), exported=True, recipe=True),
        System("tutorial", "tutorial's recipe", "the tutorial's recipe", "#00736b", (2, 2), recipe=True),
        System("head_only", "head only", "a head alone", "#a3245c", (9, 3), recipe=True),
        System(
            *("base_cosine", "base model's cosine", "the base model's cosine", "#5f6b00", (4, 4)),
            baseline=True,
            against=("judged", "reranked"),
        ),
        System("bm25", "BM25", "BM25", "#8a1c1c", (8, 2, 2, 2), baseline=True, against=("judged",)),
        System("random", "random order", "a random order", "#666666", (1, 3), against=("judged",)),
        System(
            *("first_stage", "first stage's own order", "the first stage's own order", "#444444", (5, 2)),
            against=("reranked",),
        ),
        System("last_release", "last release", "the last release", "#00599c", (4, 2, 1, 2)),  # a row of stacks alone
        System("perfect", "perfect order", "perfect order", "#999999", (1, 1)),  # an upper bound
    )
}

# The first stages (first_stage.retriever), in sentences.
FIRST_STAGES = {
    "bm25": "BM25",
    "dense": "the retriever",
    "base": "the base model's cosine",
    "hybrid": "BM25 and the retriever",
    "base_hybrid": "BM25 and the base model's cosine",
    "run": "your own engine",
}

EXPORTED = tuple(name for name, system in SYSTEMS.items() if system.exported)
RECIPES = tuple(name for name, system in SYSTEMS.items() if system.recipe)
SEEDED = ("cross_encoder", "retriever")  # trained once a fold and seed
ONCE = tuple(name for name in RECIPES if name not in SEEDED)  # once a fold, by train.seed
BASELINES = tuple(name for name, system in reversed(SYSTEMS.items()) if system.baseline)  # the weaker first


def opponents(table: Table) -> tuple[str, ...]:
    """The systems that this table's verdict compares with, the weaker first."""
    return tuple(name for name, system in reversed(SYSTEMS.items()) if table in system.against)

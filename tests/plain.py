"""Stacks by plain Python, an independent reference: which hits one orders, its scores of them, and measures."""

from math import log2
from typing import Any

import numpy as np

LISTS = {  # of each first stage
    **{name: (name,) for name in ("bm25", "dense", "base", "run")},
    **{"hybrid": ("bm25", "dense"), "base_hybrid": ("bm25", "base")},
}
COSINES = {"dense": "retriever", "base": "base_cosine"}
Row = dict[str, Any]


def scaled(values: list[float]) -> list[float]:
    """Values between 0, the lowest, and 1, the highest."""
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.5 for value in values]


def inside(rows: list[Row], stack: Row, depth: float) -> list[Row]:
    """The hits that a list of the stack's first stage has within `depth`."""
    return [row for row in rows if any(row[f"{name}_rank"] <= depth for name in LISTS[stack["first_stage"]])]


def scores_by(rows: list[Row], stack: Row) -> list[float]:
    """The stack's score of each of one query's hits."""
    lists = LISTS[stack["first_stage"]]
    if stack["order"] == "cross_encoder":
        return [row["cross_encoder"] for row in rows]
    if stack["order"] == "as_found" and len(lists) == 1:
        return [-row[f"{lists[0]}_rank"] for row in rows]
    columns = {"bm25": "bm25"} | ({"cosine": COSINES[lists[-1]]} if lists[-1] in COSINES else {})
    columns |= {"cross_encoder": "cross_encoder"} if stack["order"] == "fused" else {}
    parts = [
        [stack["weights"][part] * value for value in scaled([row[column] for row in rows])]
        for part, column in columns.items()
    ]
    return [sum(values) for values in zip(*parts, strict=True)]


def best_first(rows: list[Row], scores: list[float]) -> list[str]:
    """Documents by float32 scores and ids, both falling."""
    pairs = zip(np.array(scores, np.float32).tolist(), [row["document_id"] for row in rows], strict=True)
    return [name for _, name in sorted(pairs, reverse=True)]


def measured(names: list[str], grades: dict[str, int], relevant: set[str], count: int) -> dict[str, float]:
    """Measures of a ranking by plain sums; `count` is that of R."""

    def gain(ranked: list[int]) -> float:
        return sum(grade / log2(i + 2) for i, grade in enumerate(ranked[:10]))

    known, ideal = [name for name in names if name in grades], gain(sorted(grades.values(), reverse=True))
    return {
        "nDCG@10": gain([grades.get(name, 0) for name in names]) / ideal,
        "nDCG@10, condensed": gain([grades[name] for name in known]) / ideal,
        "RR@10": max((1 / (i + 1) for i, name in enumerate(names[:10]) if name in relevant), default=0.0),
        f"R@{count}": len(relevant & set(names[:count])) / len(relevant),
        "Judged@10": sum(name in grades for name in names[:10]) / len(names[:10]) if names else float("nan"),
    }


def means(values: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.nanmean([value[name] for value in values])) for name in values[0]}

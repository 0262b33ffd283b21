"""Measured time of reranking in Vespa. Its file lies outside the DAG, because times are not reproducible."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from ranker.common.files import read_json

FIGURES = Path("bench/results/vespa.json")
MEASURE = "python -m bench.studies.vespa"  # writes it
ALIKE = 0.02  # models whose file sizes differ by less have equal numbers of weights and bits


class Figures(TypedDict):
    """The keys of FIGURES that this module reads."""

    machine: str
    model_bytes: int
    ms_per_hit: float
    tokens_per_pair: dict[str, float]


def read_figures() -> Figures | None:
    """`ms_per_hit` of a model of `model_bytes` on a `machine`, and more; None without measurements."""
    figures: Figures | None = read_json(FIGURES) if FIGURES.is_file() else None
    return figures


def ms_per_hit(figures: Figures | None, model_bytes: int) -> float | None:
    """Measured milliseconds a hit of a model of this size; None if the measured model has another size."""
    known = figures is not None and abs(model_bytes / figures["model_bytes"] - 1) <= ALIKE
    return float(figures["ms_per_hit"]) if figures is not None and known else None


def misfits(
    figures: Figures | None, model_bytes: int, rerank_count: int, latency_ms: int, timeout_ms: int
) -> Iterator[str]:
    """A line for each time limit that reranking exceeds, or one line on missing measurements."""
    if figures is None:
        yield f"{FIGURES}: none; {MEASURE} measures what reranking takes"
        return
    if (ms := ms_per_hit(figures, model_bytes)) is None:
        sizes = f"a model of {figures['model_bytes'] / 1e6:.1f} MB, not {model_bytes / 1e6:.1f} MB"
        yield f"{FIGURES}: measured with {sizes}; {MEASURE} measures what reranking takes"
        return
    measured = f"{rerank_count} hits take {rerank_count * ms:.0f} ms ({ms:.2f} ms a hit, {figures['machine']})"
    for name, bound in (("latency_ms", latency_ms), ("timeout_ms", timeout_ms)):
        if rerank_count * ms > bound:
            fits = int(bound / ms)
            yield f"vespa.{name}: {bound} is too little: {measured}; order.depth: {fits} would fit"

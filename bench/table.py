"""Costs of paired turns -> rows with ratios, and their Markdown page."""

import os
from importlib.metadata import version
from statistics import median
from typing import Any

from bench.runner import Case, Turn

OURS, TUTORIAL, PEER = "cord19-ranker", "tutorial", "sentence-transformers"
ALONE = f"{OURS}, Ranker in one process"
# System that the others are compared with -> its column's name.
COMPARED = {TUTORIAL: "tutorial", f"{PEER} fp32": "s-t fp32", f"{PEER} bf16": "s-t bf16", ALONE: "Ranker"}
PACKAGES = ("torch", "transformers", "sentence-transformers", "onnxruntime", "dvc")
METHOD = """\
Medians of paired turns: each system runs in a process of its own, and a ratio is the median of those within a turn
(above 1: faster). Imports, loading and warming up are not timed, but for commands. Peak memory is what the timed part
added, of a command all that its largest process had.
"""


def case_rows(case: Case, turns: list[Turn]) -> list[dict[str, Any]]:
    """One row per system: medians over the turns; a ratio is the median of those within each turn.

    A ratio is the other system's seconds by this one's: above 1, this one is faster.

    >>> from functools import partial
    >>> from bench.runner import Cost, Job
    >>> case = Case("encode", 100, {"tutorial": Job(partial(list)), "cord19-ranker": Job(partial(list))})
    >>> turns = [{"tutorial": Cost(10, 8), "cord19-ranker": Cost(seconds, 1)} for seconds in (1, 2, 5)]
    >>> case_rows(case, turns)[1]["ratios"]
    {'tutorial': 5.0}
    """
    rows = []
    for system, job in case.jobs.items():
        others = [other for other in COMPARED if other in case.jobs and other != system]
        scaled = f"on {job.share:,} pairs, scaled" if 0 < job.share < case.pairs else ""
        rows.append(
            {
                "case": case.name,
                "system": system,
                "seconds": median(turn[system].seconds for turn in turns),
                "peak_mib": median(turn[system].peak_mib for turn in turns),
                "ratios": {other: _ratio(turns, other, system) for other in others},
                "pairs": case.pairs,
                "turns": len(turns),
                "note": "; ".join(filter(None, (job.note, scaled))),
            }
        )
    return rows


def _ratio(turns: list[Turn], other: str, system: str) -> float:
    return median(turn[other].seconds / turn[system].seconds for turn in turns)


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table, with a column of ratios for each measured system of COMPARED."""
    measured = set().union(*(row["ratios"] for row in rows))
    others = [other for other in COMPARED if other in measured]
    head = ["case", "system", "seconds", "a second", "peak MiB", *(f"to {COMPARED[other]}" for other in others), ""]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 3), "---"]]
    for row in rows:
        name = f"**{row['system']}**" if row["system"].startswith(OURS) else row["system"]
        speed = f"{row['pairs'] / row['seconds']:.3g}" if row["pairs"] else ""
        figures = [f"{row['seconds']:.3g}", speed, f"{row['peak_mib']:.0f}"]
        ratios = [f"{row['ratios'][other]:.3g}" if other in row["ratios"] else "" for other in others]
        lines.append([row["case"], name, *figures, *ratios, row["note"]])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def machine() -> dict[str, str]:
    """Machine and software of the measurements."""
    from ranker.model.hardware import chip  # imports torch, which the rest does not need

    found = chip()
    return {
        "machine": f"{found['processor']}, {os.cpu_count()} cores ({', '.join(found['instructions'])})",
        "software": ", ".join(f"{package} {version(package)}" for package in PACKAGES),
    }


def page(title: str, facts: dict[str, str], rows: list[dict[str, Any]]) -> str:
    """The page: machine and data, method, and the table."""
    held = "".join(f"- {name}: {text}\n" for name, text in (machine() | facts).items())
    return f"# {title}\n\n{held}\n{METHOD}\n{markdown(rows)}"

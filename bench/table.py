"""Seconds of paired repeats -> rows with ratios, as JSON and Markdown."""

from statistics import median
from typing import Any

from bench.runs import Repeat
from bench.works import OURS, PEER, PEER_BF16, TUTORIAL

RATIOS = {
    "ratio_to_tutorial": TUTORIAL,
    "ratio_to_sentence_transformers": PEER,
    "ratio_to_sentence_transformers_bf16": PEER_BF16,
}


def work_rows(work: str, pairs: int, repeats: list[Repeat], notes: dict[str, str]) -> list[dict[str, Any]]:
    """One row per system: medians over the repeats; a ratio is the median of those within each repeat.

    A ratio is the other system's seconds by this one's: above 1, this one is faster.

    >>> slow, fast = {"seconds": 10, "peak_mib": 8}, [{"seconds": s, "peak_mib": 1} for s in (1, 2, 5)]
    >>> repeats = [{"tutorial": slow, "cord19-ranker": cost} for cost in fast]
    >>> work_rows("encode", 100, repeats, {})[1]["ratio_to_tutorial"]
    5.0
    """
    rows = []
    for system in repeats[0]:
        row: dict[str, Any] = {
            "work": work,
            "system": system,
            "seconds": median(repeat[system]["seconds"] for repeat in repeats),
            "peak_mib": median(repeat[system]["peak_mib"] for repeat in repeats),
        }
        for name, other in RATIOS.items():
            known = other in repeats[0] and other != system
            row[name] = median(r[other]["seconds"] / r[system]["seconds"] for r in repeats) if known else None
        rows.append(row | {"pairs": pairs, "repeats": len(repeats), "note": notes.get(system, "")})
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table for people."""
    lines = [
        "| work | system | seconds | pairs/s | added peak MiB | ratio to tutorial | to s-t fp32 | to s-t bf16 | |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        name = f"**{row['system']}**" if row["system"].startswith(OURS) else row["system"]
        ratios = " | ".join("" if row[key] is None else f"{row[key]:.3g}" for key in RATIOS)
        speed = f"{row['pairs'] / row['seconds']:.3g}" if row["pairs"] else ""
        cells = [row["work"], name, f"{row['seconds']:.3g}", speed, f"{row['peak_mib']:.0f}", ratios, row["note"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"

"""A release's notes, from what was measured: verdict, quality beside costs, data, and what changed in params."""

from collections.abc import Mapping, Sequence
from typing import Any

from ranker.metrics.ranking import MAIN
from ranker.metrics.verdict import SLOWER, is_little

UNITS = {
    "ms": "milliseconds a query (median, one thread, at most 1,000 documents)",
    "MiB": "MiB of memory",
    "MB": "MB of models",
}


def cost_lines(costs: Mapping[str, Mapping[str, float]], by: Mapping[str, Any]) -> list[str]:
    """Milliseconds, memory and size, of `now` and, if there was one, `before`; and whether slowness buys quality.

    `by` are the paired differences from the last release, by column.
    """
    now, before = costs.get("now"), costs.get("before")
    if now is None:
        return ["milliseconds were not measured: the stack needs more than the exported folders"]
    if before is None:
        return [f"{now['ms']:.1f} {UNITS['ms']}, {now['MiB']:.0f} {UNITS['MiB']}, {now['MB']:.1f} {UNITS['MB']}"]
    found = [
        f"{now[unit]:.1f} {name}, {before[unit]:.1f} before ({now[unit] / before[unit]:.2f} times)"
        for unit, name in UNITS.items()
        if before[unit]
    ]
    ratio, gained = now["ms"] / before["ms"], by.get(MAIN)
    if gained and ratio >= SLOWER and is_little(gained["mean"], gained["verdict"]):
        found.append(f"it takes {ratio:.1f} times as long for {gained['mean']:+.3f} {MAIN}")
    return found


def notes(
    content: Mapping[str, Any], lines: Sequence[str], changed: Mapping[str, tuple[Any, Any]], reason: str | None
) -> str:
    """The notes as Markdown.

    `content` is the release's manifest, `lines` are its verdict and costs, `changed` maps params to their values before
    and now, and `reason` is the one by which the last release was registered against its verdict, if it was.
    """
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in content["collection"].items())
    how = "cross-validated on all queries" if content["cross_validated"] else "on queries held out from training"
    parts = [
        f"# {content['name']} {content['version']}",
        f"Stack {content['stack']['first_stage']}, {content['stack']['order'].replace('_', ' ')}. Trained on a "
        f"collection with {counts}; measured {how}.",
        "\n".join(f"- {line}" for line in lines),
    ]
    if content["reason"]:
        refusals = "; ".join(content["refusals"])
        parts.append(f"**Registered against the verdict**, because: {content['reason']}\n\nThe verdict: {refusals}.")
    if reason:
        parts.append(f"The release before, {content['against']}, was registered against its verdict, because: {reason}")
    if content["against"]:
        rows = [f"| `{name}` | {_cell(before)} | {_cell(now)} |" for name, (before, now) in changed.items()]
        table = ["| changed in params | before | now |", "| --- | --- | --- |", *rows]
        parts.append("\n".join(table) if rows else "No parameter changed.")
    return "\n\n".join(parts) + "\n"


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|")

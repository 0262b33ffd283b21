"""Write what was measured: latest.json for programs, table.md for people, growth.svg."""

import json
from pathlib import Path
from typing import Any

import vl_convert

from bench.table import markdown
from ranker.common.files import atomic, write_json


def write(folder: Path, rows: list[dict[str, Any]], found: dict[str, Any]) -> None:
    """`found` has machine, base_model, data, limit, quality and growth."""
    write_json(folder / "latest.json", rows)
    write_json(folder / "context.json", found)
    with atomic(folder / "growth.svg") as partial:
        partial.write_text(draw_growth(found["growth"]), "utf-8")
    with atomic(folder / "table.md") as partial:
        partial.write_text(page(rows, found), "utf-8")


def page(rows: list[dict[str, Any]], found: dict[str, Any]) -> str:
    """table.md."""
    machine = found["machine"]
    limit = [
        f"| {row['dtype']} | {row['tflops']:.2f} | {row['peak_tflops']:.2f} | {row['share']:.0%} |"
        for row in found["limit"]
    ]
    quality = [f"| {row['way']} | {row['nDCG@10']:.3f} | {row['tau']:.3f} |" for row in found["quality"]]
    growth = [
        f"| {row['work']} | {row['times']} | {row['pairs']:,} | {row['seconds']:.2f} | {row['peak_mib']:.0f} |"
        for row in found["growth"]
    ]
    return "\n".join(
        [
            "# Side by side",
            "",
            f"`make bench`: {machine['processor']} ({', '.join(machine['instructions'])}), {machine['threads']} "
            f"threads, {machine['system']}; "
            + ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
            + f". Base model: {found['base_model']}. Data: {found['data']}",
            "",
            "Medians of paired repeats: systems take turns, each in a process of its own, and a ratio is the median of "
            "the ratios within repeats (above 1: faster). Imports, loading and warming up are not timed, but for "
            "commands. Peak memory is what the timed part added.",
            "",
            markdown(rows),
            "## Against the machine",
            "",
            "Useful FLOP/s of the forward pass (real tokens alone; of the last layer what [CLS] needs) over that of "
            "the layers' matrix products by themselves, 2,048 tokens at a time.",
            "",
            "| | TFLOP/s | products alone | share |",
            "| --- | ---: | ---: | ---: |",
            *limit,
            "",
            "## What speed costs",
            "",
            "One epoch without fold 0, scored on fold 0; Kendall's tau with the first of its kind, over all pairs.",
            "",
            "| | nDCG@10 | tau |",
            "| --- | ---: | ---: |",
            *quality,
            "",
            "## Growth",
            "",
            "Stages of this project alone, with one random layer of 64 units as base model, so that the code around it "
            "shows. Memory holds the ids and token ids of all texts, which grow with them.",
            "",
            "![seconds and memory over pairs](growth.svg)",
            "",
            "| | times | pairs | seconds | added peak MiB |",
            "| --- | ---: | ---: | ---: | ---: |",
            *growth,
            "",
        ]
    )


def draw_growth(rows: list[dict[str, Any]]) -> str:
    """Seconds and added peak memory over pairs, both axes logarithmic: a line of slope 1 is linear."""

    def panel(field: str, title: str) -> dict[str, Any]:
        x = {"field": "pairs", "type": "quantitative", "scale": {"type": "log"}, "title": "pairs"}
        y = {"field": field, "type": "quantitative", "scale": {"type": "log"}, "title": title}
        lines = {"field": "work", "type": "nominal", "title": None}
        return {
            "mark": {"type": "line", "point": True},
            "encoding": {"x": x, "y": y, "color": lines, "strokeDash": lines},
            "width": 280,
            "height": 220,
        }

    spec = {
        "data": {"values": rows},
        "hconcat": [panel("seconds", "seconds"), panel("peak_mib", "added peak MiB")],
        "background": "white",
    }
    return vl_convert.vegalite_to_svg(json.dumps(spec), vl_version="5.20")

"""The report's plots, drawn to SVG from Vega-Lite when the page is written."""

import re
from typing import Any

import pandas as pd
import vl_convert
from markupsafe import Markup, escape

from ranker.metrics.systems import SYSTEMS

NAMED = 60  # queries that the plot of gains names; more share its height, because a page of bars shows no shape
NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # vl_convert ends the process on any of these


def plots(per_query: pd.DataFrame, curves: dict[str, pd.DataFrame], baseline: str) -> dict[str, Markup]:
    """The plots as SVG elements: gain, and one for each curve.

    The tables are those of `ranker.report.page.Results`; `baseline` is the system that gains compare with.
    """
    drawn = {"gain": _svg(_gain(per_query), f"Bars: each query's gain in nDCG@10 over {baseline}")}
    if "depth" in curves:
        lines = _by_system(curves["depth"].rename(columns={"depth": "hits_reordered"}), "hits_reordered", "nDCG@10")
        lines["encoding"]["x"]["scale"] = {}
        drawn["depth"] = _svg(lines, "Lines: nDCG@10 by the number of reordered hits, for each system")
    if "stacks" in curves:
        drawn["stacks"] = _svg(
            _frontier(curves["stacks"]), "Points: nDCG@10 of each stack over its cost, with intervals"
        )
    if "judgements" in curves:
        drawn["judgements"] = _svg(_by_queries(curves["judgements"]), "Lines: nDCG@10 of stacks over training queries")
    if "reliability" in curves:
        drawn["reliability"] = _svg(_reliability(curves["reliability"].dropna()), "Line: share relevant by probability")
    if "roc" in curves:
        lines = _by_system(curves["roc"], "false_positive_rate", "true_positive_rate")
        drawn["roc"] = _svg({"layer": [_DIAGONAL, lines]}, "Lines: true by false positive rate of each system")
    if "precision_recall" in curves:
        lines = _by_system(curves["precision_recall"], "recall", "precision")
        drawn["precision_recall"] = _svg(lines, "Lines: precision by recall of each system")
    return drawn


def _gain(per_query: pd.DataFrame) -> dict[str, Any]:
    ordered = per_query.sort_values("gain", ascending=False, kind="stable")
    texts = zip(ordered["query_id"], ordered["query"], strict=True)
    names = [NOT_XML.sub("\N{REPLACEMENT CHARACTER}", f"{query_id} · {query}") for query_id, query in texts]
    axis = {"orient": "top", "format": "+.2~f", "tickCount": 4, "labelSeparation": 8}
    x = {"field": "gain", "type": "quantitative", "title": "gain in nDCG@10", "axis": axis}
    named = {"labelLimit": 170, "ticks": False, "labels": len(names) <= NAMED}
    y = {"field": "query", "type": "nominal", "sort": None, "title": None, "axis": named}
    gain, loss = SYSTEMS["cross_encoder"].colour, SYSTEMS["bm25"].colour
    colour = {"condition": {"test": "datum.gain < 0", "value": loss}, "value": gain}
    return {
        "data": {"values": pd.DataFrame({"gain": ordered["gain"], "query": names}).to_dict("records")},
        "mark": "bar",
        "encoding": {"x": x, "y": y, "color": colour},
        "width": 260,
        "height": {"step": 15 * min(1, NAMED / max(len(names), 1))},
    }


def _frontier(points: pd.DataFrame) -> dict[str, Any]:
    """nDCG@10 over cost, each point with its interval and number; a line joins the frontier."""
    points = points.assign(number=range(1, len(points) + 1))
    x = {"field": "cost", "type": "quantitative", "title": points["unit"].iloc[0], "scale": {"type": "symlog"}}
    y = {"field": "mean", "type": "quantitative", "title": "nDCG@10", "scale": {"zero": False}}
    ink = {"condition": {"test": "datum.frontier", "value": SYSTEMS["cross_encoder"].colour}, "value": "#8a94a3"}
    name = {"field": "number", "type": "nominal"}
    return {
        "data": {"values": points.to_dict("records")},
        "encoding": {"x": x, "y": y},
        "layer": [
            {"mark": "line", "transform": [{"filter": "datum.frontier"}], "encoding": {"order": {"field": "cost"}}},
            {
                "mark": {"type": "rule", "opacity": 0.5},
                "encoding": {"y": y | {"field": "low"}, "y2": {"field": "high"}},
            },
            {"mark": {"type": "point", "filled": True, "size": 50}, "encoding": {"color": ink}},
            {"mark": {"type": "text", "dx": 9, "align": "left", "fontSize": 11}, "encoding": {"text": name}},
        ],
        "width": 420,
        "height": 260,
    }


def _by_queries(curve: pd.DataFrame) -> dict[str, Any]:
    """nDCG@10 over training queries, a line with intervals for each stack."""
    legend = {"orient": "bottom", "title": None, "columns": 1, "labelLimit": 0}
    y = {"field": "mean", "type": "quantitative", "title": "nDCG@10", "scale": {"zero": False}}
    encoding = {
        "x": {"field": "queries", "type": "quantitative", "title": "training queries"},
        "y": y,
        "color": {"field": "stack", "type": "nominal", "legend": legend},
    }
    rule = {"mark": {"type": "rule", "opacity": 0.4}, "encoding": {"y": y | {"field": "low"}, "y2": {"field": "high"}}}
    layer = [{"mark": {"type": "line", "point": True}}, rule]
    return {"data": {"values": curve.to_dict("records")}, "encoding": encoding, "layer": layer}


def _reliability(curve: pd.DataFrame) -> dict[str, Any]:
    size = {"field": "pairs", "type": "quantitative", "legend": None, "scale": {"domainMin": 0, "range": [20, 180]}}
    line = _line(curve, "probability", "relevant_share")
    points = line | {"mark": {"type": "point", "filled": True}, "encoding": line["encoding"] | {"size": size}}
    return {"layer": [_DIAGONAL, line, points]}


def _by_system(table: pd.DataFrame, x: str, y: str) -> dict[str, Any]:
    systems = [system for name, system in SYSTEMS.items() if name in table]
    labels = {system.name: system.label for system in systems}
    line = _line(table.rename(columns=labels).melt(id_vars=x, var_name="system", value_name=y), x, y)
    legend = {"orient": "bottom", "title": None, "columns": 2, "symbolSize": 400, "labelLimit": 0}
    styles = {"color": [system.colour for system in systems], "strokeDash": [system.dash for system in systems]}
    for channel, drawn in styles.items():
        scale = {"domain": list(labels.values()), "range": drawn}
        line["encoding"][channel] = {"field": "system", "type": "nominal", "scale": scale, "legend": legend}
    return line


def _line(table: pd.DataFrame, x: str, y: str) -> dict[str, Any]:
    """A line through the table's rows, in their order, on axes from 0 to 1."""
    axis = {"type": "quantitative", "scale": {"domain": [0, 1]}, "axis": {"tickCount": 5}}
    encoding: dict[str, Any] = {
        name: axis | {"field": field, "title": field.replace("_", " ")} for name, field in (("x", x), ("y", y))
    }
    encoding["order"] = {"value": 0}  # Vega-Lite orders by x by default
    return {"data": {"values": table.to_dict("records")}, "mark": "line", "encoding": encoding}


_DIAGONAL = {
    "mark": {"type": "line", "strokeDash": [3, 3], "strokeWidth": 1, "color": "#8a94a3"},
    "encoding": {name: {"field": "at", "type": "quantitative"} for name in ("x", "y")},
    "data": {"values": [{"at": 0}, {"at": 1}]},
}


def _svg(spec: dict[str, Any], label: str) -> Markup:
    """One plot as an SVG element, labelled for screen readers. Drawing it fetches no data."""
    ink = {"labelColor": "#3c4654", "titleColor": "#3c4654", "labelFontSize": 11, "titleFontSize": 11.5}
    config = {
        "aria": False,  # the element as a whole is one picture
        "axis": ink | {"titleFontWeight": "normal", "gridColor": "#e6e9ee", "domainColor": "#8a94a3"},
        "legend": ink,
        "mark": {"color": SYSTEMS["cross_encoder"].colour},
        "view": {"stroke": None},
        "axisY": {"titlePadding": 14},
        "padding": {"left": 20, "right": 20, "top": 5, "bottom": 5},  # a browser's letters may be wider
    }
    size = {"width": 300, "height": 210}
    svg = vl_convert.vegalite_to_svg(size | spec | {"config": config}, vl_version="5.20", allowed_base_urls=[])
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1))

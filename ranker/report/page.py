"""The report: one self-contained HTML page with the verdict, its confidence, and each query's gain or loss."""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from ranker.metrics.comparison import StackTable
from ranker.metrics.ranking import MAIN, trec_order
from ranker.metrics.systems import BASELINES, SYSTEMS, opponents
from ranker.report.answer import basis, p_value, served, signed, stand_ins
from ranker.report.outcome import Outcome, answers, next_steps
from ranker.report.plots import plots
from ranker.report.release import changes
from ranker.report.stacks import label

TEMPLATE = Path(__file__).with_name("page.html")
TOP = 10  # ranks shown of a query's ranking

SIDE_BY_SIDE = (*BASELINES, "cross_encoder")  # the browser's columns: for judged pairs
SERVED_SIDE_BY_SIDE = (*opponents("reranked"), "cross_encoder")  # for the served rankings
SHADES = 3  # of relevant grades; higher grades share the last
LONGEST = 240  # characters shown of a document's first field, and of its other fields together
LONG_WORD = 16  # characters; a longer one may be broken


@dataclass(frozen=True)
class Results(Outcome):
    """The page's content.

    `run` belongs to the table that gives the verdict: one row per judged pair or hit, with query_id, document_id, grade
    (null if unjudged), relevant and the systems' scores. `documents` has document_id, title (the first field) and text
    (all fields). `curves` may hold "reliability" (probability, relevant_share, pairs), "roc" (false_positive_rate) and
    "precision_recall" (recall), these two with a column for each system.
    """

    note: str
    run: pd.DataFrame
    documents: pd.DataFrame
    curves: dict[str, pd.DataFrame]
    counts: dict[str, dict[str, object]]  # {section: {name: number}}
    params: dict[str, dict[str, object]]  # {section: {name: value}}
    digests: dict[str, str]  # {file or input: hex SHA-256}
    changed: pd.DataFrame  # the queries that changed most since the last release: tables.CHANGED's columns
    ms_of: float = 0.0  # mean tokens of the pairs timed in `depths`
    depths: list[dict[Hashable, Any]] = field(default_factory=list)  # the depth curve, with "ms" if known


def render(results: Results) -> str:
    """The page as HTML; equal results give equal text."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"signed": signed, "number": number, "p": p_value, "label": lambda name: SYSTEMS[name].label}
    environment.filters["code"] = code
    environment.tests["long"] = lambda text: any(len(word) > LONG_WORD for word in text.split())
    strongest, stacks = results.decided["headline"]["strongest"], results.comparison.get("stacks")
    curve = pd.DataFrame(results.depths)
    depth = {"depth": curve[["depth", *(name for name in SYSTEMS if name in curve)]]} if results.depths else {}
    frontier = {"stacks": frontier_points(stacks)} if stacks else {}
    if stacks and "judgements" in stacks:
        curve = pd.DataFrame(stacks["judgements"]["curve"])
        frontier["judgements"] = curve.assign(stack=[label(name, stacks) for name in curve["stack"]])
    points = frontier["stacks"].to_dict("records") if stacks else []
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        results=results,
        basis=basis(results.comparison),
        next_steps=next_steps(results),
        stand_ins=stand_ins(results.comparison),
        served=served(results.comparison["reranked"]) if "reranked" in results.comparison else "",
        strongest=SYSTEMS[strongest].label,
        systems=list(SYSTEMS),
        stacks=stacks,
        stack_names={name: label(name, stacks) for name in stacks["rows"]} if stacks else {},
        answers=answers(results),
        since=since_data(results),
        frontier=points,
        grades=results.run.groupby("grade")["relevant"].first().to_dict(),
        unjudged=bool(results.run["grade"].isna().any()),
        plots=plots(results.per_query, results.curves | depth | frontier, SYSTEMS[strongest].label),
        browser=browser_data(results),
    )


def frontier_points(table: StackTable) -> pd.DataFrame:
    """One row for each stack that can be deployed: label, cost, unit, mean, low, high, and frontier.

    The cost is in milliseconds a query if all are known, else in pairs. On the frontier, no cheaper stack is as good.
    """
    rows = {name: row for name, row in table["rows"].items() if not row["reference"]}
    timed = all("ms" in row for row in rows.values())
    points = pd.DataFrame(
        [
            {
                "label": label(name, table),
                "cost": row["ms"] if timed else row["cross_encoder_runs"],
                "unit": "processor milliseconds a query" if timed else "pairs that the cross-encoder reads, a query",
                **row["measures"][MAIN],
            }
            for name, row in rows.items()
        ]
    )
    points = points.sort_values(["cost", "mean"], ascending=[True, False], ignore_index=True)
    return points.assign(frontier=points["mean"] > points["mean"].cummax().shift(fill_value=-1.0))


def code(text: str) -> Markup:
    """A sentence whose commands stand between backticks, as HTML.

    >>> code("Run `make crossval` & wait.")
    Markup('Run <code>make crossval</code> &amp; wait.')
    """
    return Markup(re.sub("`(.*?)`", r"<code>\1</code>", str(escape(text))))


UNMEASURED = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}: trained on all judgements</title>
<style>body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.55 system-ui, sans-serif; }
th { padding-right: 1rem; text-align: left; } td { overflow-wrap: anywhere; }</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>{{ subtitle }}</p>
<p>This model was trained on all queries (<code>split.held_out: none</code>), so none can measure it. Cross-validation
measures its recipe: <code>make crossval</code>, then <code>results/crossval/report.html</code>.</p>
<table>
{% for name, digest in digests.items() %}
<tr><th scope="row">{{ name }}</th><td>{{ digest }}</td></tr>
{% endfor %}
</table>
</body>
</html>
"""


def render_unmeasured(title: str, subtitle: str, digests: dict[str, str]) -> str:
    """The page of a model trained on every fold."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(UNMEASURED).render(title=title, subtitle=subtitle, digests=digests)


def number(value: Any) -> str:
    """Format a count with thousands separators and a fraction with four digits; leave other values.

    >>> number(69318), number(0.24137931), number("all")
    ('69,318', '0.2414', 'all')
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def since_data(results: Results) -> dict[str, Any]:
    """The content of the section on the last release: its data and params, before and now, and the changed queries.

    Empty without a release.
    """
    now, last = results.now, results.last_release
    if last is None:
        return {}
    counts = changes(spaced(last.counts), spaced(now.counts))
    params = [change for change in changes(last.params, now.params) if not change.equal]
    grades = results.changed.assign(relevant=results.changed["grade"] >= lowest_relevant(results.run))
    return {
        "last": last,
        "data": [*counts, *changes(last.data, now.data)],
        "params": params,
        "looks": looks(pd.concat([results.run[["grade", "relevant"]], grades[["grade", "relevant"]]])),
        "queries": [changed_query(rows) for _, rows in results.changed.groupby("query_id", sort=False)],
    }


def spaced(counts: Mapping[str, int]) -> dict[str, int]:
    """The same counts, by names in words."""
    return {name.replace("_", " "): count for name, count in counts.items()}


def lowest_relevant(run: pd.DataFrame) -> float:
    """The smallest grade of a relevant pair; infinite if there is none."""
    relevant = run.loc[run["relevant"], "grade"]
    return float(relevant.min()) if len(relevant) else np.inf


def changed_query(rows: pd.DataFrame) -> dict[str, Any]:
    """One query's text, nDCG@10 and first tens, before and now; `alone` marks documents that only one of them has.

    `rows` are its rows of tables.CHANGED.
    """
    before, now = (rows[rows["side"] == side].fillna({"title": ""}) for side in ("before", "now"))
    both = set(before["document_id"]) & set(now["document_id"])
    lists, first = {"before": listed(before, both), "now": listed(now, both)}, rows.iloc[0]
    return {"text": first["query"], "before": first["before"], "now": first["now"], "lists": lists}


def listed(rows: pd.DataFrame, both: set[str]) -> list[dict[str, Any]]:
    """The documents of one first ten; `both` are the ids of those that both have."""
    return [
        {
            "rank": row["rank"],
            "title": shortened(row["title"]),
            "id": row["document_id"],
            "grade": None if pd.isna(row["grade"]) else int(row["grade"]),
            "alone": row["document_id"] not in both,
        }
        for row in rows.to_dict("records")
    ]


def browser_data(results: Results) -> dict[str, Any]:
    """The input of the query browser's script: queries, worst for the ranker first, their texts, and the grades.

    A query's `tops` hold, for each of `systems`, the documents of ranks 1 to TOP as [document_id, grade, move];
    `by_gain` is the query's place by rising gain. `grades` maps each grade to its CSS class.
    """
    columns, measured = SERVED_SIDE_BY_SIDE if results.served else SIDE_BY_SIDE, results.decided["systems"]
    systems = [name for name in columns if name in results.run and name in measured]
    runs = {str(query_id): rows for query_id, rows in results.run.groupby("query_id", sort=False)}
    worst_first = results.per_query.sort_values([f"cross_encoder {MAIN}", "gain"], kind="stable")
    by_gain = worst_first["gain"].rank(method="first").astype(int)
    queries = [
        {
            "id": str(row["query_id"]),
            "text": row["query"],
            "pairs": number(row["pairs"]),
            "relevant": number(row["relevant"]),
            "values": [f"{row[f'{name} {MAIN}']:.3f}" for name in systems],
            "ranker": f"{row[f'cross_encoder {MAIN}']:.3f}",
            "gain": signed(row["gain"]),
            "by_gain": place,
            "tops": top_documents(runs.get(str(row["query_id"]), results.run[:0]), systems),
        }
        for row, place in zip(worst_first.to_dict("records"), by_gain.tolist(), strict=True)
    ]
    shown = {document for query in queries for top in query["tops"] for document, _, _ in top}
    texts = results.documents[results.documents["document_id"].isin(shown)]
    return {
        "systems": [SYSTEMS[name].label for name in systems],
        "queries": queries,
        "texts": {
            document: [shortened(title), shortened(text.removeprefix(title))]
            for document, title, text in texts[["document_id", "title", "text"]].itertuples(index=False)
        },
        "grades": looks(results.run),
    }


def looks(run: pd.DataFrame) -> dict[int, str]:
    """Each grade's CSS class: relevant grades darken as they rise, others look alike."""
    relevant = run.dropna(subset="grade").groupby("grade")["relevant"].first()
    shade = relevant.cumsum().clip(upper=SHADES)
    return {int(grade): f"relevant-{shade[grade]}" if relevant[grade] else "not-relevant" for grade in relevant.index}


def shortened(text: str) -> str:
    """The beginning of a text.

    >>> shortened("Masks"), len(shortened("masks " * 1000))
    ('Masks', 241)
    """
    return text if len(text) <= LONGEST else text[:LONGEST] + "\N{HORIZONTAL ELLIPSIS}"


def top_documents(run: pd.DataFrame, systems: Sequence[str]) -> list[list[tuple[str, int | None, str]]]:
    """Each system's first TOP documents in one query's run, as (document_id, grade or None, move).

    A move is relative to the first system's order. In the first system's own column, it is the rank by the
    cross-encoder of a document that leaves the TOP.
    """
    orders = {name: trec_order(run.assign(score=run[name]))["document_id"].tolist() for name in systems}
    ranks = {name: {document: rank for rank, document in enumerate(order, 1)} for name, order in orders.items()}
    given = [None if pd.isna(grade) else int(grade) for grade in run["grade"]]
    grades = dict(zip(run["document_id"], given, strict=True))

    def move(name: str, document: str) -> str:
        if name != systems[0]:
            return moved(ranks[name][document], ranks[systems[0]][document])
        to = ranks["cross_encoder"][document]
        return f"to {to}" if to > TOP else ""

    return [[(document, grades[document], move(name, document)) for document in orders[name][:TOP]] for name in systems]


def moved(rank: int, before: int) -> str:
    """Describe a document's move to `rank` from `before`.

    >>> moved(2, 5), moved(5, 2), moved(3, 3), moved(3, 37)
    ('▲3', '▼3', '=', 'from 37')
    """
    if before > TOP:
        return f"from {before}"
    return "=" if rank == before else f"▲{before - rank}" if rank < before else f"▼{rank - before}"

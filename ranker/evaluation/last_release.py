"""Compare the shipped stack with the last release and with what costs nothing; list the queries that changed most."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ranker.common.files import read_json
from ranker.contract.document import query_key
from ranker.evaluation.compare import Served
from ranker.metrics.comparison import Against, Shipped
from ranker.metrics.ranking import CONDENSED, JUDGED, MAIN
from ranker.project import paths, tables
from ranker.project.documents import read_some_documents
from ranker.project.params import Params
from ranker.release.compare import SEEN, against, by_seed, measure_release, of_queries, strongest_free
from ranker.stack.stack import as_stack
from ranker.stacks.shipped import shipped_stack
from ranker.stacks.table import Measured

MOST = 10  # queries listed


def compare_shipped(served: Served, params: Params, changed: Path) -> tuple[Shipped, Served]:
    """The shipped stack against the strongest that costs nothing and against the last release, if there is one.

    Writes the table of the queries that changed most to `changed`. Adds the release's first ten to Served.firsts,
    because its unjudged documents are to be judged, too, and its row to Served.stacks, if it measures all queries.
    """
    found: Shipped = {}
    ours = next(each for each in served.stacks if each.name == shipped_stack(params).name)
    if free := strongest_free(served.stacks):
        found["free"] = against(ours, free, params.split.seed)
    table, release = pd.DataFrame(columns=tables.CHANGED.names), read_json(paths.RELEASE_ABOUT)
    measured = pd.Index(next(iter(ours.tables.values()))["query_id"])
    asked = measured[measured.isin(set(release["asked"]) - twins())] if release else measured[:0]
    if len(asked):
        of_all = served.judged, tables.read_table(paths.RELEASE_HITS)
        judged, hits = (rows[rows["query_id"].isin(asked)].reset_index(drop=True) for rows in of_all)
        other = of_queries(measure_release(judged, hits, as_stack(release["stack"]), ours.stack.depth), asked)
        ours, left_out = of_queries(ours, asked), len(measured) - len(asked)
        found["last_release"] = against(ours, other, params.split.seed, release["version"], left_out)
        table, seed = changed_most(ours, other, judged), next(iter(ours.tables))
        firsts = [rows.assign(name=release["against"], seed=seed) for rows in other.firsts.values()]
        rows = served.stacks if left_out else [*served.stacks, other]  # the other rows are of all measured queries
        served = replace(served, firsts=pd.concat([served.firsts, *firsts], ignore_index=True), stacks=rows)
    elif release:
        found["last_release"] = _not_compared(release, len(measured))
    tables.write_table(changed, table)
    return found, served


def twins() -> set[str]:
    """The queries whose words are those of a query in another fold, so that the new models may have seen them.

    A fold is a hash of all tokens, punctuation included; a query's key is of its words alone.
    """
    folds = tables.read_table(paths.SPLIT_PAIRS)[["query_id", "fold"]].drop_duplicates()
    queries = tables.read_texts(paths.SPLIT_QUERIES).merge(folds)
    keys = queries["query"].map(query_key)
    return set(queries.loc[queries.groupby(keys)["fold"].transform("nunique") > 1, "query_id"])


def _not_compared(release: dict[str, Any], measured: int) -> Against:
    return {
        "version": release["version"],
        "stack": as_stack(release["stack"]).name,
        "queries": 0,
        "trained_on": 0 if release["why"] else measured,
        "by": {},
        "judged": 0.0,
        "agree": True,
        "why": release["why"],
    }


def changed_most(ours: Measured, other: Measured, judged: pd.DataFrame) -> pd.DataFrame:
    """The first ten, by both, of the queries with the largest difference: tables.CHANGED's columns.

    `judged` are judged pairs. Queries that differ by less than SEEN are left out.
    """
    difference = by_seed(ours, other, MAIN).mean(axis=0)
    order = np.argsort(-np.abs(difference), kind="stable")[:MOST]
    rows = [row for row in order if abs(difference[row]) >= SEEN]
    names = next(iter(ours.tables.values()))["query_id"].iloc[rows].tolist()
    values = {name: each.values(MAIN).mean(axis=0)[rows] for name, each in (("before", other), ("now", ours))}
    about = pd.DataFrame({"query_id": names, "place": range(len(names)), **values})
    firsts = {name: next(iter(each.firsts.values())) for name, each in (("before", other), ("now", ours))}
    sides = [rows.assign(side=name, rank=rows.groupby("query_id").cumcount() + 1) for name, rows in firsts.items()]
    table = about.merge(pd.concat(sides), how="left").merge(tables.read_texts(paths.SPLIT_QUERIES), how="left")
    table = table.merge(judged[["query_id", "document_id", "grade"]], how="left").astype({"grade": "Int32"})
    texts = read_some_documents(set(table["document_id"]))[["document_id", "title"]]
    table = table.merge(texts, how="left").sort_values(["place", "side", "rank"])
    return table[tables.CHANGED.names]


def by_query(stacks: Sequence[Measured]) -> pd.DataFrame:
    """Each stack's measures of each query and seed: tables.BY_QUERY's columns."""
    parts: list[pd.DataFrame] = []
    for each in stacks:
        for seed, table in each.tables.items():
            parts.append(table[["query_id", MAIN, CONDENSED, JUDGED]].assign(stack=each.name, seed=seed))
    empty = pd.DataFrame(columns=tables.BY_QUERY.names)
    return pd.concat(parts or [empty], ignore_index=True)[tables.BY_QUERY.names]


def gains(found: Shipped) -> dict[str, dict[str, float]]:
    """The paired differences, flat, for `dvc metrics`: nothing where too few queries are left."""
    sides = {"last release": found.get("last_release"), "costs nothing": found.get("free")}
    return {
        f"over {name}": {f"{MAIN} gain": each["by"][MAIN]["mean"], "p": each["by"][MAIN]["p"]}
        for name, each in sides.items()
        if each and each["by"]
    }

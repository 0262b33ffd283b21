"""The list to judge next: unjudged documents of the top tens, sorted by their effect on the difference."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ranker.common.files import atomic
from ranker.common.spreadsheet import on_one_line, shown, write_table
from ranker.metrics.ranking import DISCOUNTS, trec_order
from ranker.metrics.verdict import ENOUGH_JUDGED
from ranker.project import paths, tables
from ranker.project.alike import among, with_readings
from ranker.project.documents import read_some_fields
from ranker.project.tables import IDS

DEPTH = len(DISCOUNTS)  # ranks that nDCG@10 sees
COLUMNS = ["query_id", "query", "document_id", "found_by", "could_move"]  # after the third, the document's fields


def to_judge(
    run: pd.DataFrame, systems: Sequence[str], queries: pd.DataFrame, documents: pd.DataFrame, largest: int = 1
) -> pd.DataFrame:
    """The unjudged documents of any system's top ten: one row per pair, with COLUMNS and the fields.

    `run` has query_id, document_id, grade (Int32, missing if unjudged) and a float column of scores for each of
    `systems`, NaN if a system lacks the document; the first two are compared. `queries` has query_id and query,
    `documents` document_id and fields. `found_by` names the systems. `could_move` is the absolute change, to six
    digits, in the two systems' difference in mean nDCG@10 over all queries, if this judgement were the largest grade
    (`largest`, or that of `run`). Unjudged documents have no gain, and a query without a relevant document counts as 0.
    Rows are sorted by falling could_move, then by ids.
    """
    ranks = pd.DataFrame({system: _ranks(run, system) for system in systems})
    found = ranks.le(DEPTH)
    rows = run[["query_id", "document_id", "grade"]].assign(
        found_by=[" ".join(np.array(systems)[row]) for row in found.to_numpy()],
        could_move=_could_move(run, largest, *(_discounts(ranks[system]) for system in systems[:2])),
    )
    rows = rows[run["grade"].isna() & found.any(axis=1)]
    rows = rows.merge(queries, how="left").merge(documents, how="left")
    rows = rows[[*COLUMNS[:3], *documents.columns[1:], *COLUMNS[3:]]]
    order = ["could_move", "query_id", "document_id"]
    return rows.sort_values(order, ascending=[False, True, True], ignore_index=True)


def rows_needed(listed: pd.DataFrame, ordered: pd.DataFrame, shares: Mapping[str, float]) -> int | None:
    """The rows of the list, from its top, whose grades bring each system's Judged@10 to ENOUGH_JUDGED.

    `listed` has query_id and found_by, `ordered` are the hits, `shares` the systems' Judged@10. None, if all rows are
    too few: the list leaves some unjudged documents out.
    """
    hits = ordered["query_id"].value_counts().clip(upper=DEPTH)
    worth = 1 / (hits.reindex(listed["query_id"]).to_numpy(float) * len(hits))  # of a row in the mean over queries
    found_by = [names.split() for names in listed["found_by"]]
    enough = np.ones(len(listed) + 1, bool)
    for system, share in shares.items():
        gains = np.where([system in names for names in found_by], worth, 0.0)
        enough &= share + np.append(0.0, gains.cumsum()) >= ENOUGH_JUDGED - 1e-9
    return int(enough.argmax()) if enough.any() else None


def write_list(
    path: Path, judged: pd.DataFrame, ordered: pd.DataFrame, systems: list[str], scale: list[int]
) -> pd.DataFrame:
    """Write the unjudged documents of the systems' top tens, with their fields, for a spreadsheet.

    `judged` are judged pairs, `ordered` the hits with a column of scores for each of `systems`, `scale` is join.grades.
    Leaves out pairs that stage join dropped, unless they were judged with another text, and pairs that read like a
    judged pair or like an earlier row. Returns the list.
    """
    found = pd.read_csv(paths.JOIN_FINDINGS, dtype=str, keep_default_na=False)
    dropped = found.loc[(found["kept"] == "False") & (found["finding"] != "judged_with_another_text"), IDS]
    ordered = ordered[~among(ordered, dropped, IDS)]
    run = ordered.merge(judged[[*IDS, "grade"]], how="outer").astype({"grade": "Int32"})
    queries, documents = tables.read_texts(paths.SPLIT_QUERIES), read_some_fields(run["document_id"])
    listed = to_judge(run, systems, queries, documents, max(scale, default=1))
    listed = listed[~_known(listed, dropped)]
    _write(path, listed)
    if len(listed):
        form = f"python -m scripts.judge grades.csv --form {path}"
        print(f"{path}: {len(listed)} rows to judge: `{form}` makes a file of them to fill in", flush=True)
    return listed


def _known(listed: pd.DataFrame, dropped: pd.DataFrame) -> np.ndarray:
    """Mark the rows that read like a judged pair or an earlier row: bool [rows]."""
    pairs = tables.read_table(paths.SPLIT_PAIRS)
    tokens = tables.read_tokens(paths.SPLIT_DOCUMENTS, paths.HIT_DOCUMENTS)
    texts = tables.read_as(tokens).loc[lambda found: ~found.index.duplicated()]
    asked = tables.read_as(tables.read_tokens(paths.SPLIT_QUERIES))
    known = pd.concat([pairs.loc[pairs["judged"], IDS], dropped, listed[IDS]], ignore_index=True)
    alike = with_readings(known, asked, texts)[["asked", "text"]]
    return alike.duplicated().to_numpy()[len(known) - len(listed) :]


def write_empty_list(path: Path) -> None:
    """Write a list without rows, for a split without scored hits, because DVC requires every output."""
    _write(path, pd.DataFrame(columns=COLUMNS))


def _write(path: Path, listed: pd.DataFrame) -> None:
    """Write the list as CSV, each text on one line; ids stay as they are."""
    texts = {name: listed[name].map(shown) for name in listed.columns.difference(COLUMNS)}
    listed = listed.assign(query=[on_one_line(query) for query in listed["query"]], **texts)
    with atomic(path) as partial:
        write_table(partial, listed.columns.tolist(), listed.itertuples(index=False, name=None))


def _ranks(run: pd.DataFrame, system: str) -> "pd.Series[int]":
    """trec_eval's ranks from 1, missing if the system lacks the document."""
    scored = trec_order(run[IDS].assign(score=run[system]).dropna(subset="score"))
    return (scored.groupby("query_id").cumcount() + 1).reindex(run.index)


def _discounts(ranks: "pd.Series[int]") -> np.ndarray:
    """nDCG@10's discount at each rank, float [pairs]; 0 below the tenth."""
    return np.append(DISCOUNTS, 0.0)[ranks.fillna(DEPTH + 1).clip(upper=DEPTH + 1).to_numpy(int) - 1]


def _could_move(run: pd.DataFrame, largest: int, ours: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`to_judge`'s could_move of each pair, float [pairs], from the two systems' discounts."""
    gains = run["grade"].fillna(0).clip(lower=0).to_numpy(float)
    gain = gains.max(initial=largest)
    moved = np.zeros(len(run))
    by_query = run.reset_index(drop=True).groupby("query_id").indices
    for rows in by_query.values():
        lead = ours[rows] - other[rows]
        ideal, new_ideal = _ideal(gains[rows]), _ideal(np.append(gains[rows], gain))
        now = gains[rows] @ lead / ideal if ideal else 0.0
        moved[rows] = (gains[rows] @ lead + gain * lead) / new_ideal - now
    return (np.abs(moved) / max(len(by_query), 1)).round(6)


def _ideal(gains: np.ndarray) -> float:
    best = np.sort(gains)[::-1][:DEPTH]
    return float(best @ DISCOUNTS[: len(best)])

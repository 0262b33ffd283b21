"""What to judge next: what systems rank high and nobody has judged, first what could move their difference most."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ranker.common.errors import InputError
from ranker.metrics.ranking import DISCOUNTS, trec_order
from ranker.project.tables import IDS

DEPTH = len(DISCOUNTS)  # ranks that nDCG@10 sees
COLUMNS = ["query_id", "query", "document_id", "title", "grade", "found_by", "could_move"]


def to_judge(run: pd.DataFrame, systems: Sequence[str], queries: pd.DataFrame, documents: pd.DataFrame) -> pd.DataFrame:
    """The unjudged documents of any system's top ten: one row per pair, with COLUMNS and an empty grade to fill in.

    `run` has query_id, document_id, grade (Int32, missing where nobody judged the pair) and a float column of scores
    for each of `systems`, NaN where a system does not have the document; the first two are compared. `queries` has
    query_id and query, `documents` has document_id and title. `found_by` names the systems. `could_move` is by how much
    this one judgement, were it the largest grade of `run`, would move the two's difference in mean nDCG@10 over all
    queries, to six digits, up or down. There an unjudged document gains nothing, and a query without a relevant one
    counts as 0. Rows are by falling could_move, then by their ids.
    """
    ranks = pd.DataFrame({system: _ranks(run, system) for system in systems})
    found = ranks.le(DEPTH)
    rows = run[["query_id", "document_id", "grade"]].assign(
        found_by=[" ".join(np.array(systems)[row]) for row in found.to_numpy()],
        could_move=_could_move(run, *(_discounts(ranks[system]) for system in systems[:2])),
    )
    rows = rows[run["grade"].isna() & found.any(axis=1)]
    rows = rows.merge(queries, how="left").merge(documents, how="left")[COLUMNS]
    order = ["could_move", "query_id", "document_id"]
    return rows.sort_values(order, ascending=[False, True, True], ignore_index=True)


def unmerged(path: Path, judged: pd.DataFrame) -> int:
    """How many grades are filled in, in the file that an earlier run wrote, that `judged` does not have.

    InputError where the file cannot be read any more, as after a spreadsheet's own ideas: grades may be in it.
    """
    if not path.is_file():
        return 0
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, usecols=[*IDS, "grade"])
    except ValueError as error:  # pandas' own for CSV and Unicode's among them
        raise InputError(f"{path}: expected columns {', '.join(IDS)} and grade, found: {error}") from error
    filled = rows[rows["grade"].str.strip() != ""]
    known = filled[IDS].merge(judged, how="left")["grade"].to_numpy(float)
    return int((pd.to_numeric(filled["grade"], errors="coerce").to_numpy(float) != known).sum())


def _ranks(run: pd.DataFrame, system: str) -> "pd.Series[int]":
    """Ranks from 1 as in trec_eval, missing where a system does not have the document."""
    scored = trec_order(run[IDS].assign(score=run[system]).dropna(subset="score"))
    return (scored.groupby("query_id").cumcount() + 1).reindex(run.index)


def _discounts(ranks: "pd.Series[int]") -> np.ndarray:
    """What a gain counts at each rank, float [pairs]: nothing below the tenth."""
    return np.append(DISCOUNTS, 0.0)[ranks.fillna(DEPTH + 1).clip(upper=DEPTH + 1).to_numpy(int) - 1]


def _could_move(run: pd.DataFrame, ours: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`to_judge`'s could_move of each pair, float [pairs], by the two systems' discounts of it."""
    gains = run["grade"].fillna(0).clip(lower=0).to_numpy(float)
    largest = max(gains.max(initial=0), 1)  # where nothing is judged, or nothing relevant
    moved = np.zeros(len(run))
    by_query = run.reset_index(drop=True).groupby("query_id").indices
    for rows in by_query.values():
        lead = ours[rows] - other[rows]
        ideal, new_ideal = _ideal(gains[rows]), _ideal(np.append(gains[rows], largest))
        now = gains[rows] @ lead / ideal if ideal else 0.0
        moved[rows] = (gains[rows] @ lead + largest * lead) / new_ideal - now
    return (np.abs(moved) / max(len(by_query), 1)).round(6)


def _ideal(gains: np.ndarray) -> float:
    best = np.sort(gains)[::-1][:DEPTH]
    return float(best @ DISCOUNTS[: len(best)])

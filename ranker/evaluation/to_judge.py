"""The list to judge next: unjudged documents of the first tens, sorted by their effect on the verdict."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ranker.common.files import atomic
from ranker.common.spreadsheet import on_one_line, shown, write_table
from ranker.metrics.ranking import DISCOUNTS, trec_order
from ranker.metrics.verdict import ENOUGH_JUDGED
from ranker.project import paths, tables
from ranker.project.alike import among, with_readings
from ranker.project.documents import read_some_fields, read_some_tokens
from ranker.project.tables import IDS

DEPTH = len(DISCOUNTS)  # ranks that nDCG@10 sees
COLUMNS = ["query_id", "query", "document_id", "found_by", "could_move"]  # after the third, the document's fields


def to_judge(
    run: pd.DataFrame, firsts: pd.DataFrame, queries: pd.DataFrame, documents: pd.DataFrame, largest: int = 1
) -> pd.DataFrame:
    """The unjudged documents of any first ten: one row per pair, with COLUMNS and the fields.

    `run` has query_id, document_id, grade (Int32, missing if unjudged) and two columns of scores, of the two compared
    systems, NaN if a system lacks the document. `firsts` has name, query_id and document_id, all of them in `run`: the
    first tens of systems and stacks. `queries` has query_id and query, `documents` document_id and fields. `found_by`
    names those who found the document. `could_move` is the absolute change, to six digits, in the two systems'
    difference in mean nDCG@10 over all queries, if this judgement were the largest grade (`largest`, or that of `run`).
    Unjudged documents have no gain, and a query without a relevant document counts as 0. Rows are sorted by falling
    could_move, then by the number of names, falling, then by ids.
    """
    names = firsts.drop_duplicates([*IDS, "name"]).groupby(IDS)["name"]
    found = names.agg(found_by="; ".join, many="size").reset_index()  # fitted stacks have a comma in their name
    ours, other = (_discounts(_ranks(run, system)) for system in run.columns.drop([*IDS, "grade"]))
    rows = run[[*IDS, "grade"]].assign(could_move=_could_move(run, largest, ours, other))
    rows = rows[run["grade"].isna()].merge(found)
    rows = rows.sort_values(["could_move", "many", *IDS], ascending=[False, False, True, True])
    rows = rows.drop(columns="many").merge(queries, how="left").merge(documents, how="left")
    return rows[[*COLUMNS[:3], *documents.columns[1:], *COLUMNS[3:]]]


def rows_needed(listed: pd.DataFrame, judged: pd.DataFrame, firsts: pd.DataFrame) -> int | None:
    """The rows of the list, from its top, whose grades bring each name's Judged@10 to ENOUGH_JUDGED.

    `listed` and `judged` are pairs, `firsts` has name, seed, query_id and document_id: the share is the mean over seeds
    and queries with hits. None, if all rows are too few: the list leaves some unjudged documents out.
    """
    places = pd.concat([judged[IDS].assign(place=0), listed[IDS].assign(place=np.arange(1, len(listed) + 1))])
    ranked = firsts.merge(places, how="left").sort_values("place")  # its judgement's place; NaN, last, if it has none
    many = ranked.groupby(["name", "seed", "query_id"])["document_id"].transform("size")
    of_name = (1 / many).groupby(ranked["name"])
    share = of_name.cumsum() / of_name.transform("sum")
    enough = ranked[ranked["place"].notna() & (share >= ENOUGH_JUDGED - 1e-9)]
    needed = enough.groupby("name")["place"].min()
    return max(needed.astype(int), default=0) if len(needed) == firsts["name"].nunique() else None


def write_list(
    path: Path, judged: pd.DataFrame, ordered: pd.DataFrame, firsts: pd.DataFrame, strongest: str, scale: list[int]
) -> int | None:
    """Write the unjudged documents of the first tens, with their fields, for a spreadsheet; returns the rows_needed.

    `judged` are judged pairs, `ordered` the hits with columns of scores for the cross-encoder and for `strongest`, its
    strongest opponent, `firsts` Served.firsts, `scale` is join.grades. Leaves out pairs that stage join dropped, unless
    they were judged with another text, and pairs that read like a judged pair or like an earlier row.
    """
    found = pd.read_csv(paths.JOIN_FINDINGS, dtype=str, keep_default_na=False)
    dropped = found.loc[(found["kept"] == "False") & (found["finding"] != "judged_with_another_text"), IDS]
    run = ordered[[*IDS, "cross_encoder", strongest]].merge(firsts[IDS].drop_duplicates(), how="outer")
    run = run.merge(judged[[*IDS, "grade"]], how="outer").astype({"grade": "Int32"})
    queries, documents = tables.read_texts(paths.SPLIT_QUERIES), read_some_fields(firsts["document_id"])
    listed = to_judge(run, firsts[~among(firsts, dropped, IDS)], queries, documents, max(scale, default=1))
    listed = listed[~_known(listed, dropped)]
    _write(path, listed)
    if len(listed):
        form = f"python -m scripts.judge grades.csv --form {path}"
        print(f"{path}: {len(listed)} rows to judge: `{form}` makes a file of them to fill in", flush=True)
    return rows_needed(listed, judged, firsts)


def _known(listed: pd.DataFrame, dropped: pd.DataFrame) -> np.ndarray:
    """Mark the rows that read like a judged pair or an earlier row: bool [rows]."""
    pairs = tables.read_table(paths.SPLIT_PAIRS)
    known = pd.concat([pairs.loc[pairs["judged"], IDS], dropped, listed[IDS]], ignore_index=True)
    asked = tables.read_as(tables.read_tokens(paths.SPLIT_QUERIES))
    texts = tables.read_as(read_some_tokens(pa.array(known["document_id"].unique(), pa.string())))
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

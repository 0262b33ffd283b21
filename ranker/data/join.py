"""Judgements -> queries, documents and graded pairs, with an account of all that is dropped."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ranker.common.errors import InputError
from ranker.data.tutorial import LabelledQuery

PAIR = ["query_id", "document_id"]

DROPPED = (
    "judgement_without_title",  # in labelled_data, not in the CSV
    "unknown_query",  # in the CSV, its query not in labelled_data
    "empty_title",
    "title_without_judgement",  # in the CSV, its label empty
    "conflicting_grades",  # one pair, several grades: none of them can be trusted
    "grade_below_0",
    "duplicate_pair",  # one pair several times with one grade: the first stays
    "query_without_pairs",  # in labelled_data, nothing of it kept
)
NOTED = (
    "pair_not_in_labelled_data",
    "grade_not_that_of_labelled_data",  # the CSV's counts
    "judged_twice_in_labelled_data",
    "document_with_two_titles",  # the first in the file counts
    "repeated_title",  # another document of the same title, case and punctuation aside, judged for the same query
    "repeated_title_other_grade",  # such titles of one query, whose grades differ
)


@dataclass(frozen=True)
class Joined:
    """The tables of stage join, and an account of every judgement that is not in them."""

    queries: pd.DataFrame  # query_id, query
    documents: pd.DataFrame  # document_id, title
    pairs: pd.DataFrame  # query_id, document_id, grade, relevant
    findings: pd.DataFrame  # query_id, document_id, finding (of DROPPED or NOTED), kept
    counts: dict[str, dict[str, int]]


def join(labelled: Sequence[LabelledQuery], rows: pd.DataFrame, relevant_from: int) -> Joined:
    """Give each row of the CSV its query; drop what cannot be a graded pair, and count all of it.

    The query's text comes from `labelled`, all else from `rows` (ranker.data.tutorial.read_judgements). A pair is
    relevant where its grade is at least `relevant_from`. InputError if nothing is left.
    """
    queries = pd.DataFrame({"query_id": [str(q.query_id) for q in labelled], "query": [q.query for q in labelled]})
    judged = pd.DataFrame(
        [(str(q.query_id), str(j.id), j.score) for q in labelled for j in q.relevant_docs],
        columns=[*PAIR, "labelled_grade"],
    )
    rows = rows.assign(finding=_why_dropped(rows, set(queries["query_id"])))
    kept = rows[rows["finding"] == ""].astype({"grade": "int32"})
    if kept.empty:
        why = ", ".join(f"{count} {reason}" for reason, count in rows["finding"].value_counts().items())
        raise InputError(f"labelled_data and CSV: expected judged titles of known queries, found {why or 'no rows'}")
    kept = kept.assign(relevant=kept["grade"] >= relevant_from)
    has_pairs = queries["query_id"].isin(kept["query_id"].unique())
    dropped = [
        _finding(_missing_from(judged, rows), "judgement_without_title", kept=False),
        rows[rows["finding"] != ""].assign(kept=False),
        _finding(queries[~has_pairs], "query_without_pairs", kept=False),
    ]
    findings = pd.concat([*dropped, *_noted(kept, judged)], ignore_index=True)[[*PAIR, "finding", "kept"]]
    return Joined(
        queries=queries[has_pairs].reset_index(drop=True),
        documents=kept.drop_duplicates("document_id")[["document_id", "title"]].reset_index(drop=True),
        pairs=kept[[*PAIR, "grade", "relevant"]].reset_index(drop=True),
        findings=findings,
        counts=_counts(len(judged), len(rows), kept, findings),
    )


def _why_dropped(rows: pd.DataFrame, known_queries: set[str]) -> "pd.Series[str]":
    """The first of DROPPED that holds for each row, or an empty string."""
    grades = rows.groupby(PAIR)["grade"].transform("nunique")  # of labels that are there
    finding = pd.Series("", index=rows.index, dtype=str)
    for reason, holds in {
        "unknown_query": ~rows["query_id"].isin(known_queries),
        "empty_title": rows["title"].str.strip() == "",
        "title_without_judgement": rows["grade"].isna(),
        "conflicting_grades": grades > 1,
        "grade_below_0": (rows["grade"] < 0).fillna(False),
    }.items():
        finding = finding.mask((finding == "") & holds, reason)
    good = rows[finding == ""]
    finding.loc[good.index[good.duplicated(PAIR)]] = "duplicate_pair"
    return finding


def _noted(kept: pd.DataFrame, judged: pd.DataFrame) -> list[pd.DataFrame]:
    """What a user should know of pairs that are kept: a row for each of NOTED."""
    merged = kept.merge(judged.drop_duplicates(PAIR), how="left")
    absent = merged["labelled_grade"].isna()
    differs = ~absent & (merged["labelled_grade"] != merged["grade"])
    titles = kept.groupby("document_id")["title"].transform("nunique")
    by_title = kept.assign(title=_words(kept["title"]))
    grades = by_title.groupby(["query_id", "title"])["grade"].transform("nunique")
    return [
        _finding(merged[absent], "pair_not_in_labelled_data"),
        _finding(merged[differs], "grade_not_that_of_labelled_data"),
        _finding(judged[judged.duplicated(PAIR)], "judged_twice_in_labelled_data"),
        _finding(kept[titles > 1].drop_duplicates("document_id"), "document_with_two_titles"),
        _finding(by_title[by_title.duplicated(["query_id", "title"])], "repeated_title"),
        _finding(by_title[grades > 1].drop_duplicates(["query_id", "title"]), "repeated_title_other_grade"),
    ]


def _words(titles: "pd.Series[str]") -> "pd.Series[str]":
    """The letters, digits and underscores of titles, in lower case: by Arrow, in half of pandas' time."""
    lower = pa.array(titles.str.lower(), pa.string())
    words = pc.utf8_trim_whitespace(pc.replace_substring_regex(lower, pattern=r"[^\pL\pN_]+", replacement=" "))
    return pd.Series(words.to_numpy(zero_copy_only=False), index=titles.index, dtype=str)


def _missing_from(judged: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    found = judged.merge(rows[PAIR].drop_duplicates(), how="left", indicator=True)["_merge"]
    return judged[(found == "left_only").to_numpy()]


def _finding(frame: pd.DataFrame, finding: str, kept: bool = True) -> pd.DataFrame:
    return frame.reindex(columns=PAIR).assign(finding=finding, kept=kept)


def _counts(judgements: int, rows: int, kept: pd.DataFrame, findings: pd.DataFrame) -> dict[str, dict[str, int]]:
    found = findings["finding"].value_counts()
    return {
        "read": {"judgements_of_labelled_data": judgements, "rows_of_csv": rows},
        "kept": {
            "queries": int(kept["query_id"].nunique()),
            "documents": int(kept["document_id"].nunique()),
            "pairs": len(kept),
            "relevant_pairs": int(kept["relevant"].sum()),
        },
        "dropped": {reason: int(found.get(reason, 0)) for reason in DROPPED},
        "noted": {reason: int(found.get(reason, 0)) for reason in NOTED},
    }

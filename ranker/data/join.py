"""Judgements -> graded pairs of known queries and documents, with a reason for each dropped judgement."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ranker.common.errors import InputError
from ranker.data.collection import Census, Collection
from ranker.data.grades import grade_counts
from ranker.project.alike import Lookup, draw, itself, with_readings
from ranker.project.tables import IDS

DROPPED = (
    "judgement_without_document",  # the source lacks the document
    "unknown_query",  # the source lacks the query
    "empty_document",  # no text in any of its fields
    "document_without_judgement",  # listed with a query, but without a grade
    "conflicting_grades",  # one pair with several grades
    "grade_below_0",
    "query_itself",  # the document has the query's id and text
    "other_subtopic",  # one pair graded for several subtopics: the first of the largest grades stays
    "duplicate_pair",  # one pair repeated with one grade: the first stays
    "query_without_pairs",  # all its judgements were dropped
    "judged_in_another_collection",  # a user's own judgement; the source lacks its query or document
    "judged_with_another_text",  # a user's own judgement; its ids have another query or title here
)
NOTED = (
    "pair_not_in_labelled_data",
    "grade_not_that_of_labelled_data",  # the CSV's grade counts
    "judged_twice_in_labelled_data",
    "document_with_two_texts",  # the first counts
    "repeated_text",  # another pair has the same token ids
    "repeated_text_other_grade",  # such pairs with different grades
    "query_under_another_id",  # an earlier query has the same token ids
    "query_is_a_document",  # a document has the query's id and text
    "revised_grade",  # a user's own judgement replaces an older one; both stay in their files
)
PER_POSITIVE = 4  # stand-ins for each positive
AT_LEAST = 10  # stand-ins of a query


@dataclass(frozen=True)
class Joined:
    """The tables of stage join except documents, and a finding for every judgement that was dropped or noted."""

    queries: pd.DataFrame  # query_id, query: those with pairs
    pairs: pd.DataFrame  # query_id, document_id, grade, relevant, judged (true)
    findings: pd.DataFrame  # query_id, document_id, finding (of DROPPED or NOTED), kept
    counts: dict[str, dict[str, int]]


def join(
    collection: Collection, census: Census, asked: "pd.Series[int]", texts: "pd.Series[int]", min_relevant_grade: int
) -> Joined:
    """Keep graded pairs of known queries and documents; drop and count the rest.

    `census` has seen all documents. `asked` has the queries' readings by query_id; `texts`, by document_id, those of
    documents that were judged or have a query's id. A pair is relevant if its grade is at least `min_relevant_grade`.
    InputError if all pairs are dropped.
    """
    queries = collection.queries
    rows = with_readings(collection.judgements, asked, texts)
    rows = rows.assign(finding=_why_dropped(rows, set(queries["query_id"]), census, texts))
    _check_zeros(queries["query_id"], rows)
    kept = rows[rows["finding"] == ""].astype({"grade": "int32"})
    if kept.empty:
        why = ", ".join(f"{count} {reason}" for reason, count in rows["finding"].value_counts().items())
        raise InputError(f"judgements: expected graded pairs of known queries and documents, found {why or 'none'}")
    kept = kept.assign(relevant=kept["grade"] >= min_relevant_grade, judged=True)
    has_pairs = queries["query_id"].isin(kept["query_id"].unique())
    findings = [
        *_of_second_file(collection.listed, rows, kept),
        rows[rows["finding"] != ""].assign(kept=False),
        _finding(queries[~has_pairs], "query_without_pairs", kept=False),
        *_noted(kept, census, queries, asked, texts),
        *([] if collection.findings is None else [collection.findings]),
    ]
    account = pd.concat(findings, ignore_index=True)[[*IDS, "finding", "kept"]]
    return Joined(
        queries=queries[has_pairs].reset_index(drop=True),
        pairs=kept[[*IDS, "grade", "relevant", "judged"]].reset_index(drop=True),
        findings=account,
        counts=_counts(collection, census, kept, account),
    )


def _why_dropped(
    rows: pd.DataFrame, known_queries: set[str], census: Census, texts: "pd.Series[int]"
) -> "pd.Series[str]":
    """The first reason of DROPPED that applies to each row, or an empty string."""
    grades = rows.groupby([*IDS, "subtopic"])["grade"].transform("nunique")  # without missing ones
    conflicts = (grades > 1).groupby([rows[name] for name in IDS]).transform("any")
    has_text = rows["document_id"].isin(texts.index)
    is_empty = rows["document_id"].isin(census.empty)
    finding = pd.Series("", index=rows.index, dtype=str)
    for reason, holds in {
        "unknown_query": ~rows["query_id"].isin(known_queries),
        "empty_document": is_empty,
        "judgement_without_document": ~has_text & ~is_empty,
        "document_without_judgement": rows["grade"].isna(),
        "conflicting_grades": conflicts,
        "grade_below_0": (rows["grade"] < 0).fillna(False),
        "query_itself": itself(rows),
    }.items():
        finding = finding.mask((finding == "") & holds, reason)
    good = rows[finding == ""]
    finding.loc[good.index[good.duplicated([*IDS, "subtopic"])]] = "duplicate_pair"
    good = rows[finding == ""].sort_values("grade", ascending=False, kind="stable")
    finding.loc[good.index[good.duplicated(IDS)]] = "other_subtopic"
    return finding


def _check_zeros(known: "pd.Series[str]", rows: pd.DataFrame) -> None:
    """InputError if ids of queries and judgements differ in leading zeros only, because ids are compared as text."""
    judged = set(rows["query_id"])
    unjudged = {name.lstrip("0"): name for name in known if name.isdecimal() and name not in judged}
    unknown = sorted(name for name in judged - set(known) if name.isdecimal() and name.lstrip("0") in unjudged)
    if unknown:
        found = f"{unknown[0]} and {unjudged[unknown[0].lstrip('0')]}"
        raise InputError(
            f"judgements: {len(unknown)} query ids differ from a query's by leading zeros alone: expected equal ids, "
            f"found {found}"
        )


def _of_second_file(listed: pd.DataFrame | None, rows: pd.DataFrame, kept: pd.DataFrame) -> list[pd.DataFrame]:
    """Differences of a second file of judgements, the tutorial's JSON, from the first."""
    if listed is None:
        return []
    found = listed.merge(rows[IDS].drop_duplicates(), how="left", indicator=True)["_merge"]
    merged = kept.merge(listed.drop_duplicates(IDS), how="left")
    absent = merged["labelled_grade"].isna()
    differs = ~absent & (merged["labelled_grade"] != merged["grade"])
    return [
        _finding(listed[(found == "left_only").to_numpy()], "judgement_without_document", kept=False),
        _finding(merged[absent], "pair_not_in_labelled_data"),
        _finding(merged[differs], "grade_not_that_of_labelled_data"),
        _finding(listed[listed.duplicated(IDS)], "judged_twice_in_labelled_data"),
    ]


def _noted(
    kept: pd.DataFrame, census: Census, queries: pd.DataFrame, asked: "pd.Series[int]", texts: "pd.Series[int]"
) -> list[pd.DataFrame]:
    """Findings on pairs and queries that are kept."""
    alike = ["asked", "text"]
    grades = kept.groupby(alike)["grade"].transform("nunique")
    two = kept[kept["document_id"].isin(census.other_text)].drop_duplicates("document_id")
    own = with_readings(queries.assign(document_id=queries["query_id"]), asked, texts)
    return [
        _finding(two, "document_with_two_texts"),
        _finding(kept[kept.duplicated(alike)], "repeated_text"),
        _finding(kept[grades > 1].drop_duplicates(alike), "repeated_text_other_grade"),
        _finding(queries[own.duplicated("asked").to_numpy()], "query_under_another_id"),
        _finding(own[itself(own)], "query_is_a_document"),
    ]


def _finding(frame: pd.DataFrame, finding: str, kept: bool = True) -> pd.DataFrame:
    return frame.reindex(columns=IDS).assign(finding=finding, kept=kept)


def _counts(
    collection: Collection, census: Census, kept: pd.DataFrame, findings: pd.DataFrame
) -> dict[str, dict[str, int]]:
    found = findings["finding"].value_counts()
    read = {
        "queries": len(collection.queries),
        "document_rows": census.read,
        "judgements": len(collection.judgements),
    }
    if collection.own:
        read["own_judgements"] = collection.own
    if collection.listed is not None:
        read["judgements_of_labelled_data"] = len(collection.listed)
    splits = collection.judgements["qrels_split"].value_counts(sort=False).drop("", errors="ignore").items()
    by_split = {str(name): int(count) for name, count in splits}
    return {
        "read": read,
        **({"qrels_splits": by_split} if by_split else {}),  # number of judgements by split
        "kept": {
            "queries": int(kept["query_id"].nunique()),
            "documents": census.kept,
            "judged_documents": int(kept["document_id"].nunique()),
            "pairs": len(kept),
            "relevant_pairs": int(kept["relevant"].sum()),
        },
        "grades": grade_counts(kept),
        "dropped": {reason: int(found.get(reason, 0)) for reason in DROPPED},
        "noted": {reason: int(found.get(reason, 0)) for reason in NOTED},
    }


def stand_ins(pairs: pd.DataFrame, judgements: pd.DataFrame, documents: int, at: Lookup) -> pd.DataFrame:
    """Random unjudged documents in place of judged negatives: pairs of grade 0, with `judged` false.

    Each query of `pairs` with relevant documents only gets some, by `draw`. `judgements` are all that were read, with
    their readings; those that are not in `pairs` were dropped.
    """
    known = judgements[[*IDS, "asked", "text"]].merge(pairs[[*IDS, "relevant"]], how="left")
    by_query = pairs.groupby("query_id", sort=False)["relevant"].agg(["all", "size"])
    n_needed = (PER_POSITIVE * by_query.loc[by_query["all"], "size"]).clip(lower=AT_LEAST)
    drawn = draw(n_needed, known, documents, at)
    return drawn.assign(grade=np.int32(0), relevant=False, judged=False)

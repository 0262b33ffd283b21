"""Judgements -> graded pairs of known queries and documents, with an account of all that is dropped."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ranker.common.errors import InputError
from ranker.data.collection import Census, Collection
from ranker.data.grades import grade_counts
from ranker.project.alike import itself, with_readings
from ranker.project.draw import Lookup, draw
from ranker.project.tables import IDS

DROPPED = (
    "judgement_without_document",  # the source has no such document
    "unknown_query",  # nor such a query
    "empty_document",  # no text in any of its fields
    "document_without_judgement",  # named beside a query, but without a grade
    "conflicting_grades",  # one pair, several grades: none of them can be trusted
    "grade_below_0",
    "query_itself",  # a document of the query's id that reads like it
    "other_subtopic",  # one pair, a grade for each of several subtopics: the first of the largest stays
    "duplicate_pair",  # one pair several times with one grade: the first stays
    "query_without_pairs",  # nothing of it kept
    "judged_in_another_collection",  # a user's own judgement of a query or document that the source does not have
    "judged_with_another_text",  # another query or title than was judged has its ids
)
NOTED = (
    "pair_not_in_labelled_data",
    "grade_not_that_of_labelled_data",  # the CSV's counts
    "judged_twice_in_labelled_data",
    "document_with_two_texts",  # the first counts
    "repeated_text",  # another pair of texts that the model reads alike
    "repeated_text_other_grade",  # such pairs, whose grades differ
    "query_under_another_id",  # a query that the model reads like an earlier one
    "query_is_a_document",  # a query of a document's id that reads like it
    "revised_grade",  # a user's own judgement in place of an older one; both are in their files
)
PER_POSITIVE = 4  # stand-ins
AT_LEAST = 10  # of a query


@dataclass(frozen=True)
class Joined:
    """The tables of stage join beside that of documents, and an account of every judgement that is not in them."""

    queries: pd.DataFrame  # query_id, query: those that have pairs
    pairs: pd.DataFrame  # query_id, document_id, grade, relevant, judged (true)
    findings: pd.DataFrame  # query_id, document_id, finding (of DROPPED or NOTED), kept
    counts: dict[str, dict[str, int]]


def join(
    collection: Collection, census: Census, asked: "pd.Series[int]", texts: "pd.Series[int]", relevant_from: int
) -> Joined:
    """Keep what is a graded pair of a known query and document; drop the rest, and count all of it.

    `census` saw all documents. `asked` has the queries' readings by query_id, `texts` those of the documents that were
    judged or have a query's id, by document_id. A pair is relevant where its grade is at least `relevant_from`.
    InputError if nothing is left.
    """
    queries = collection.queries
    rows = with_readings(collection.judgements, asked, texts)
    rows = rows.assign(finding=_why_dropped(rows, set(queries["query_id"]), census, texts))
    _check_zeros(queries["query_id"], rows)
    kept = rows[rows["finding"] == ""].astype({"grade": "int32"})
    if kept.empty:
        why = ", ".join(f"{count} {reason}" for reason, count in rows["finding"].value_counts().items())
        raise InputError(f"judgements: expected graded pairs of known queries and documents, found {why or 'none'}")
    kept = kept.assign(relevant=kept["grade"] >= relevant_from, judged=True)
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
    """The first of DROPPED that holds for each row, or an empty string."""
    grades = rows.groupby([*IDS, "subtopic"])["grade"].transform("nunique")  # of those that are there
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
    """InputError where judgements name queries by other leading zeros than the queries have: ids are texts."""
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
    """How a second file that lists judgements, the tutorial's JSON, differs from the first."""
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
    """What a user should know of what is kept."""
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
        **({"qrels_splits": by_split} if by_split else {}),  # judgements of each split that was read
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

    They are of each query of `pairs` that has relevant documents alone, as `draw` draws them. `judgements` are all that
    were read, with their readings; those that are not among `pairs` were dropped.
    """
    known = judgements[[*IDS, "asked", "text"]].merge(pairs[[*IDS, "relevant"]], how="left")
    by_query = pairs.groupby("query_id", sort=False)["relevant"].agg(["all", "size"])
    wanted = (PER_POSITIVE * by_query.loc[by_query["all"], "size"]).clip(lower=AT_LEAST)
    drawn = draw(wanted, known, documents, at)
    return drawn.assign(grade=np.int32(0), relevant=False, judged=False)

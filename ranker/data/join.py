"""Judgements -> graded pairs of known queries and documents, with an account of all that is dropped."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ranker.common.errors import InputError
from ranker.data.collection import Census, Collection
from ranker.project.tables import IDS

DROPPED = (
    "judgement_without_document",  # the source has no such document
    "unknown_query",  # nor such a query
    "empty_document",  # no text in any of its fields
    "document_without_judgement",  # named beside a query, but without a grade
    "conflicting_grades",  # one pair, several grades: none of them can be trusted
    "grade_below_0",
    "other_subtopic",  # one pair, a grade for each of several subtopics: the first of the largest stays
    "duplicate_pair",  # one pair several times with one grade: the first stays
    "query_without_pairs",  # nothing of it kept
)
NOTED = (
    "pair_not_in_labelled_data",
    "grade_not_that_of_labelled_data",  # the CSV's counts
    "judged_twice_in_labelled_data",
    "document_with_two_texts",  # the first counts
    "repeated_text",  # another document of the same text, case and punctuation aside, judged for the same query
    "repeated_text_other_grade",  # such texts of one query, whose grades differ
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


def join(collection: Collection, census: Census, texts: "pd.Series[str]", relevant_from: int) -> Joined:
    """Keep what is a graded pair of a known query and document; drop the rest, and count all of it.

    `census` saw all documents, `texts` has those of the judged ones, by document_id. A pair is relevant where its grade
    is at least `relevant_from`. InputError if nothing is left.
    """
    queries = collection.queries
    rows = collection.judgements
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
        *_noted(kept, census, texts),
    ]
    account = pd.concat(findings, ignore_index=True)[[*IDS, "finding", "kept"]]
    return Joined(
        queries=queries[has_pairs].reset_index(drop=True),
        pairs=kept[[*IDS, "grade", "relevant", "judged"]].reset_index(drop=True),
        findings=account,
        counts=_counts(collection, census, kept, account),
    )


def _why_dropped(
    rows: pd.DataFrame, known_queries: set[str], census: Census, texts: "pd.Series[str]"
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


def _noted(kept: pd.DataFrame, census: Census, texts: "pd.Series[str]") -> list[pd.DataFrame]:
    """What a user should know of pairs that are kept."""
    by_text = kept.assign(text=words(kept["document_id"].map(texts)))
    grades = by_text.groupby(["query_id", "text"])["grade"].transform("nunique")
    two = kept[kept["document_id"].isin(census.other_text)].drop_duplicates("document_id")
    return [
        _finding(two, "document_with_two_texts"),
        _finding(by_text[by_text.duplicated(["query_id", "text"])], "repeated_text"),
        _finding(by_text[grades > 1].drop_duplicates(["query_id", "text"]), "repeated_text_other_grade"),
    ]


def words(texts: "pd.Series[str]") -> "pd.Series[str]":
    """The letters, digits and underscores of texts, in lower case: by Arrow, in half of pandas' time."""
    lower = pa.array(texts.str.lower(), pa.string())
    words = pc.utf8_trim_whitespace(pc.replace_substring_regex(lower, pattern=r"[^\pL\pN_]+", replacement=" "))
    return pd.Series(words.to_numpy(zero_copy_only=False), index=texts.index, dtype=str)


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
        "dropped": {reason: int(found.get(reason, 0)) for reason in DROPPED},
        "noted": {reason: int(found.get(reason, 0)) for reason in NOTED},
    }


def stand_ins(
    pairs: pd.DataFrame, judgements: pd.DataFrame, documents: int, ids_at: Callable[[np.ndarray], np.ndarray]
) -> pd.DataFrame:
    """Random unjudged documents in place of judged negatives: pairs of grade 0, with `judged` false.

    They are of each query of `pairs` that has relevant documents alone. `documents` is how many there are, and `ids_at`
    gives the ids of some rows of them, a str array of an int64 one. They are drawn by the query's id, so that other
    queries change nothing; another corpus gives other ones. None is one that `judgements` name for the query, those
    among them that were dropped.
    """
    named = judgements.groupby("query_id")["document_id"].agg(set).to_dict()
    by_query = pairs.groupby("query_id", sort=False)["relevant"]
    wanted = {str(name): max(AT_LEAST, PER_POSITIVE * len(relevant)) for name, relevant in by_query if relevant.all()}
    # Some of those drawn are judged.
    rows = [draw_rows(query_id, count + len(named[query_id]), documents) for query_id, count in wanted.items()]
    drawn = ids_at(np.concatenate([np.empty(0, np.int64), *rows]))  # of all queries at once: the table is read once
    found: list[tuple[str, str]] = []
    ends = np.cumsum([len(row) for row in rows])
    for (query_id, count), row, end in zip(wanted.items(), rows, ends, strict=True):
        unjudged = [name for name in drawn[end - len(row) : end] if name not in named[query_id]]
        found += [(query_id, name) for name in unjudged[:count]]
    return pd.DataFrame(found, columns=IDS, dtype=str).assign(grade=np.int32(0), relevant=False, judged=False)


def draw_rows(query_id: str, count: int, documents: int) -> np.ndarray:
    """Rows of `count` documents, or of all where there are fewer: int64, each once."""
    seed = int.from_bytes(hashlib.sha256(query_id.encode()).digest()[:8])
    return np.random.default_rng(seed).choice(documents, min(count, documents), replace=False)

"""What the held-out side of a split shares with the training side: queries must not be, documents are counted."""

import re

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer

from ranker.common.errors import InputError
from ranker.splits.folds import reading

NEAR = 0.8  # Jaccard of two titles' words: a preprint and its article, or one title with and without its subtitle
ROWS = 128  # titles compared with all others at a time: some 130 MiB against 38,000 that share common words


def check_queries(training: pd.DataFrame, held_out: pd.DataFrame, queries: pd.DataFrame) -> None:
    """InputError if a query, or another one that reads the same, has pairs on both sides.

    Both sides have query_id; `queries` has query_id and query.
    """
    texts = reading(queries)
    learned = training["query_id"].drop_duplicates()
    by_text = dict(zip(learned.map(texts), learned, strict=True))
    for query_id in held_out["query_id"].drop_duplicates():
        if texts[query_id] in by_text:
            raise InputError(
                f"query {query_id} ({texts[query_id]!r}): expected on one side of the split, found held out and, as "
                f"query {by_text[texts[query_id]]}, in training: its measures would be those of a query seen before"
            )


def near_duplicates(titles: list[str], others: list[str]) -> np.ndarray:
    """Whether each title has nearly the words of one of `others` (Jaccard of at least NEAR), bool [titles].

    Case, punctuation, order and repetition are passed over. A title without words is like none.

    >>> near_duplicates(["The origin of SARS-CoV-2.", "Masks"], ["the ORIGIN of Sars CoV 2", "Masks in wards"]).tolist()
    [True, False]
    """
    if not any(re.search(r"\w", title) for title in others):
        return np.zeros(len(titles), dtype=bool)
    vectorizer = CountVectorizer(binary=True, token_pattern=r"\w+", dtype=np.int32)
    b = vectorizer.fit_transform(others)
    a = vectorizer.transform(titles)
    words = np.array([len(set(re.findall(r"\w+", title.lower()))) for title in titles])  # unknown ones among them
    found = np.zeros(len(titles), dtype=bool)
    for start in range(0, len(titles), ROWS):
        shared = (a[start : start + ROWS] @ b.T).tocoo()
        union = words[start + shared.row] + b.sum(axis=1).A1[shared.col] - shared.data
        found[start + shared.row[shared.data >= NEAR * union]] = True
    return found


def seen_documents(training: pd.DataFrame, held_out: pd.DataFrame, documents: pd.DataFrame) -> pd.DataFrame:
    """One row per held-out document: document_id, `seen` (judged in training too), `near` (or a title like it is).

    Both sides have document_id; `documents` has document_id and title.
    """
    learned = set(training["document_id"])
    table = documents[documents["document_id"].isin(set(held_out["document_id"]))].reset_index(drop=True)
    others = documents.loc[documents["document_id"].isin(learned), "title"].tolist()
    seen = table["document_id"].isin(learned)
    near = seen | near_duplicates(table["title"].tolist(), others)
    return pd.DataFrame({"document_id": table["document_id"], "seen": seen, "near": near})


def unseen_pairs(training: pd.DataFrame, held_out: pd.DataFrame, documents: pd.DataFrame) -> np.ndarray:
    """Whether training saw neither a pair's document nor a title nearly like its own, bool [held-out pairs]."""
    seen = seen_documents(training, held_out, documents)
    return ~held_out["document_id"].isin(set(seen.loc[seen["near"], "document_id"])).to_numpy()


def audit(training: pd.DataFrame, held_out: pd.DataFrame, documents: pd.DataFrame) -> dict[str, float]:
    """Shares, 0 to 1, of the held-out side that training has seen: queries, documents, documents or titles, pairs."""
    seen = seen_documents(training, held_out, documents)
    return {
        "queries_seen": float(held_out["query_id"].drop_duplicates().isin(set(training["query_id"])).mean()),
        "documents_seen": float(seen["seen"].mean()),
        "documents_or_near_duplicate_titles_seen": float(seen["near"].mean()),
        "pairs_of_unseen_documents": float(unseen_pairs(training, held_out, documents).mean()),
    }

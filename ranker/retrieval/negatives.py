"""Negatives for queries with few judged ones: unjudged hits of the first stage, and random documents.

An unjudged document may be relevant. So mining refuses hits that read like a relevant document of the query, or are
almost as close to the query as these. `false_negatives` measures the remaining errors with hidden relevant documents.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ranker.project.alike import among, draw
from ranker.project.params import Negatives
from ranker.project.tables import IDS

# A query needs mining below this number of judged negatives for each positive. With more, the judges have graded the
# documents near the query, and these are better negatives than unjudged ones.
FEW = 0.25
# RANDOM_SHARE of the mined documents are random ones of the whole collection. Hits need a cosine below (1 - MARGIN)
# times the positives' median. Chosen on TREC-COVID's folds 0 and 1, without its zero grades (docs/training.md).
RANDOM_SHARE, MARGIN = 0.25, 0.05


@dataclass(frozen=True)
class Mined:
    """Mined pairs, and counts of the refused hits."""

    from_ranks: pd.DataFrame  # query_id, document_id
    at_random: pd.DataFrame  # query_id, document_id
    refused: dict[str, int]  # number of hits by the reason for refusal


def negatives_needed(judged: pd.DataFrame, per_positive: int) -> "pd.Series[int]":
    """Number of negatives to mine for each query with fewer judged ones than FEW times its positives, by query_id.

    `judged` has query_id and relevant (bool).
    """
    counts = judged.groupby("query_id", sort=False)["relevant"].agg(["sum", "size"])
    negatives = counts["size"] - counts["sum"]
    n_needed = per_positive * counts["sum"] - negatives
    return n_needed[(negatives < FEW * counts["sum"]) & (n_needed > 0)]


def ceilings(positives: pd.DataFrame) -> "pd.Series[float]":
    """Cosine of the base model at which a hit is refused as too near to its query: by query_id.

    MARGIN below the median of the query's positives. On TREC-COVID's ranks 11 to 200, 5.7% of the mined documents were
    hidden positives with the highest cosine as bound, 1.6% with the median and 0.2% with the lowest. The median left
    1,473 hits, the lowest 434.
    """
    median = positives.groupby("query_id")["base_cosine"].median()
    return median - MARGIN * median.abs()


def mine(
    hits: pd.DataFrame,
    judged: pd.DataFrame,
    n_needed: "pd.Series[int]",
    documents: pd.DataFrame,
    params: Negatives,
    guarded: bool = True,
) -> Mined:
    """Mine up to `n_needed` negatives for each query in it; every one of these has a positive.

    `hits` has query_id, document_id, rank, base_cosine, and `asked` and `text`, the readings of the query and the
    document, which are equal for equal token ids. `judged` has these columns except rank, and relevant (bool, or null
    for a dropped judgement). `documents` has document_id and text of the whole collection. Judgements of queries with
    equal token ids are shared. The draw depends on the ids only.
    """
    hits = hits[hits["query_id"].isin(n_needed.index) & hits["rank"].ge(params.from_rank)]
    reasons = {"judged": among(hits, judged, ["asked", "document_id"])}
    if guarded:
        positives, may_be = judged[judged["relevant"].eq(True)], judged[judged["relevant"].ne(False)]
        reasons["reads_like_a_positive"] = among(hits, may_be, ["asked", "text"])
        highest = ceilings(positives).reindex(hits["query_id"]).to_numpy()
        reasons["near_a_positive"] = hits["base_cosine"].to_numpy(float) >= highest
    free, refused = np.ones(len(hits), bool), {}
    for reason, holds in reasons.items():
        refused[reason] = int((free & holds).sum())
        free &= ~holds
    at_most = n_needed - (n_needed * RANDOM_SHARE).round().astype(int)
    found = first(hits[free], at_most).assign(relevant=False)
    known = pd.concat([judged if guarded else judged.assign(relevant=False), found])
    rest = n_needed - found["query_id"].value_counts().reindex(n_needed.index, fill_value=0)
    return Mined(found[IDS], draw(rest, known, len(documents), documents.iloc.__getitem__), refused)


def first(pairs: pd.DataFrame, at_most: "pd.Series[int]") -> pd.DataFrame:
    """Up to `at_most` pairs of each query, ordered by a hash of their ids, so that added documents move no others."""
    keys = [_key(*ids) for ids in zip(pairs["query_id"], pairs["document_id"], strict=True)]
    drawn = pairs.assign(key=keys).sort_values(["query_id", "key"]).drop(columns="key")
    return drawn[drawn.groupby("query_id").cumcount().to_numpy() < at_most.reindex(drawn["query_id"]).to_numpy()]


def _key(query_id: str, document_id: str) -> bytes:
    return hashlib.sha256(f"{query_id}\n{document_id}".encode()).digest()


def hidden_positives(judged: pd.DataFrame) -> np.ndarray:
    """Half of each query's positives, rounded down, chosen by a hash: bool [judged]."""
    positives = judged.loc[judged["relevant"].eq(True), IDS]
    halves = positives.groupby("query_id").size() // 2
    return judged.index.isin(first(positives, halves).index)


def false_negatives(
    hits: pd.DataFrame, judged: pd.DataFrame, documents: pd.DataFrame, params: Negatives
) -> dict[str, object]:
    """Share of relevant documents among mined ones, measured by hiding half of each query's positives from `mine`.

    Arguments are those of `mine`. All queries with two positives count, even those that need no mining.
    """
    hidden = hidden_positives(judged)
    secret, known = judged[hidden], judged[~hidden]
    known = known[known["query_id"].isin(secret["query_id"])]
    n_needed = known[known["relevant"].eq(True)].groupby("query_id", sort=False).size() * params.per_positive
    counts: dict[str, object] = {"queries": secret["query_id"].nunique(), "hidden": len(secret)}
    for name, guarded in (("guarded", True), ("unguarded", False)):
        mined = mine(hits, known, n_needed, documents, params, guarded)
        counts[name] = {"from_ranks": _share(mined.from_ranks, secret), "at_random": _share(mined.at_random, secret)}
    return counts


def _share(mined: pd.DataFrame, hidden: pd.DataFrame) -> dict[str, float | int | None]:
    """Number of mined pairs, and number and shares of hidden positives among them."""
    count = int(among(mined, hidden, IDS).sum())
    return {
        "mined": len(mined),
        "relevant": count,
        "rate": count / len(mined) if len(mined) else None,
        "share_of_hidden": count / len(hidden) if len(hidden) else None,
    }

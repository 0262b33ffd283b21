"""Negatives of queries that have few judged ones: unjudged hits of the first stage, and documents drawn at random.

A mined document that nobody judged may be relevant. So a hit is refused where it reads like a relevant document of the
query, or is nearly as close to the query as those are; and what gets through all the same is measured on relevant
documents that are hidden.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ranker.project.alike import among
from ranker.project.draw import draw
from ranker.project.params import Negatives
from ranker.project.tables import IDS

# Judged negatives for each positive below which a query has few. The judges of a query with more looked at what is
# near, and what they left is worth less than what they graded.
FEW = 0.25
# Of what is mined: so many at random, of the whole collection, and hits whose cosine is below this share under the
# median of the positives' own. Chosen on TREC-COVID's folds 0 and 1, without its zero grades (docs/training.md).
RANDOM_SHARE, MARGIN = 0.25, 0.05


@dataclass(frozen=True)
class Mined:
    """What is mined, and what was refused of the hits between the ranks."""

    from_ranks: pd.DataFrame  # query_id, document_id
    at_random: pd.DataFrame  # query_id, document_id
    refused: dict[str, int]  # hits that were judged, that read like a relevant document, that are as near as one


def wanted(judged: pd.DataFrame, per_positive: int) -> "pd.Series[int]":
    """How many negatives each query lacks that has fewer judged ones than FEW times its positives: by query_id.

    `judged` has query_id and relevant (bool).
    """
    counts = judged.groupby("query_id", sort=False)["relevant"].agg(["sum", "size"])
    negatives = counts["size"] - counts["sum"]
    lacking = per_positive * counts["sum"] - negatives
    return lacking[(negatives < FEW * counts["sum"]) & (lacking > 0)]


def ceilings(positives: pd.DataFrame) -> "pd.Series[float]":
    """The base model's cosine from which on a hit of a query is too near to be a negative: by query_id.

    MARGIN below the median of its positives' own. Of TREC-COVID's ranks 11 to 200, below the highest 5.7% of what was
    mined was a hidden positive, below the median 1.6%, below the lowest 0.2%; but that left 434 hits, the median 1,473.
    """
    median = positives.groupby("query_id")["base_cosine"].median()
    return median - MARGIN * median.abs()


def mine(
    hits: pd.DataFrame,
    judged: pd.DataFrame,
    lacking: "pd.Series[int]",
    documents: pd.DataFrame,
    params: Negatives,
    guarded: bool = True,
) -> Mined:
    """As many negatives of each query as `lacking` says, which has an entry for each that has a positive.

    `hits` has query_id, document_id, rank, base_cosine, and `asked` and `text`, the readings of the query and the
    document, equal where texts read alike; `judged` too, less the rank, with relevant (bool or, of a judgement that was
    dropped, null). `documents` has document_id and text of all. Each query is mined for itself and those that read like
    it, and what is taken depends on the ids alone.
    """
    hits = hits[hits["query_id"].isin(lacking.index) & hits["rank"].ge(params.from_rank)]
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
    at_most = lacking - (lacking * RANDOM_SHARE).round().astype(int)
    found = first(hits[free], at_most).assign(relevant=False)
    known = pd.concat([judged if guarded else judged.assign(relevant=False), found])
    rest = lacking - found["query_id"].value_counts().reindex(lacking.index, fill_value=0)
    return Mined(found[IDS], draw(rest, known, len(documents), documents.iloc.__getitem__), refused)


def first(pairs: pd.DataFrame, at_most: "pd.Series[int]") -> pd.DataFrame:
    """At most as many pairs of each query, in the order of a hash of their ids: one document more moves no other."""
    keys = [_key(*ids) for ids in zip(pairs["query_id"], pairs["document_id"], strict=True)]
    drawn = pairs.assign(key=keys).sort_values(["query_id", "key"]).drop(columns="key")
    return drawn[drawn.groupby("query_id").cumcount().to_numpy() < at_most.reindex(drawn["query_id"]).to_numpy()]


def _key(query_id: str, document_id: str) -> bytes:
    return hashlib.sha256(f"{query_id}\n{document_id}".encode()).digest()


def hidden_positives(judged: pd.DataFrame) -> np.ndarray:
    """Half of the positives of each query that has two, the smaller half, by a hash: bool [judged]."""
    positives = judged.loc[judged["relevant"].eq(True), IDS]
    halves = positives.groupby("query_id").size() // 2
    return judged.index.isin(first(positives, halves).index)


def false_negatives(
    hits: pd.DataFrame, judged: pd.DataFrame, documents: pd.DataFrame, params: Negatives
) -> dict[str, object]:
    """How much of what is mined is relevant, where half of each query's positives are hidden from the mining.

    Arguments are those of `mine`. Of all queries with two positives, whether they need mining or not.
    """
    hidden = hidden_positives(judged)
    secret, known = judged[hidden], judged[~hidden]
    known = known[known["query_id"].isin(secret["query_id"])]
    lacking = known[known["relevant"].eq(True)].groupby("query_id", sort=False).size() * params.per_positive
    counts: dict[str, object] = {"queries": secret["query_id"].nunique(), "hidden": len(secret)}
    for name, guarded in (("guarded", True), ("unguarded", False)):
        mined = mine(hits, known, lacking, documents, params, guarded)
        counts[name] = {"from_ranks": _share(mined.from_ranks, secret), "at_random": _share(mined.at_random, secret)}
    return counts


def _share(mined: pd.DataFrame, hidden: pd.DataFrame) -> dict[str, float | int | None]:
    """How many are mined, and how many of these are hidden positives."""
    count = int(among(mined, hidden, IDS).sum())
    return {
        "mined": len(mined),
        "relevant": count,
        "rate": count / len(mined) if len(mined) else None,
        "share_of_hidden": count / len(hidden) if len(hidden) else None,
    }

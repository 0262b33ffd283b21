"""The int8 retriever's gate: what it finds, and in which order, beside the fp32 model.

Cosines do not decide, because a search depends on their order alone. Training-side queries choose a scheme, held-out
queries measure it: choosing on the latter would bias their measures upwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from ranker.metrics.comparison import Mean
from ranker.metrics.interval import interval
from ranker.metrics.ranking import MAIN, hits_measures, relevant_queries
from ranker.project import paths, tables
from ranker.project.documents import count_documents, read_token_parts
from ranker.project.tables import IDS, Tokens, pack
from ranker.serving.retriever import Retriever
from ranker.stack.order import best

QUERIES = 50  # at most, of each side
PAIRS = 200  # judged documents of a query, at most; half of them may be relevant
OTHERS = 10_000  # documents of the collection beside them, at most
DEPTH = 100  # hits
NO_NUMBER = -2  # in place of the cosines of a query of which one is not finite
MEASURES = (f"R@{DEPTH}", MAIN)
LOSS = 0.01  # mean of a measure over queries, at most, unless its 95% interval contains 0
LARGEST = 0.05  # the same, whatever its interval: that of a few queries always contains 0

Loss = dict[str, Mean]  # by measure


@dataclass(frozen=True)
class Pool:
    """Queries of both sides, and the documents that they search: those judged for them, and others."""

    queries: Tokens
    documents: Tokens
    sides: dict[str, pd.DataFrame]  # judged pairs of each side's queries: query_id, document_id, grade, relevant

    def hits(self, retriever: Retriever) -> pd.DataFrame:
        """The DEPTH best documents of each query: query_id, document_id, score, NO_NUMBER if a cosine is NaN."""
        asked, vectors = retriever.embed_tokens(self.queries), retriever.embed_tokens(self.documents)
        cosines = asked @ vectors.T
        cosines[~np.isfinite(cosines).all(axis=1)] = NO_NUMBER
        ids = self.documents.ids.to_numpy(zero_copy_only=False)
        found = []
        for query, scores in zip(self.queries.ids.to_pylist(), cosines, strict=True):
            rows = best(scores, DEPTH)
            found.append(pd.DataFrame({"query_id": query, "document_id": ids[rows], "score": scores[rows]}))
        return pd.concat(found, ignore_index=True)

    def measures(self, hits: pd.DataFrame, side: str) -> pd.DataFrame:
        """MEASURES of each query of a side, float [queries] each; other documents count as not relevant."""
        pairs = self.sides[side]
        own = hits[hits["query_id"].isin(pairs["query_id"])]
        return hits_measures(pairs, own, own["score"].to_numpy(), DEPTH)[list(MEASURES)]


def read_pool(sides: dict[str, pd.DataFrame], seed: int) -> Pool:
    """Draw each side's queries, their judged documents and others of the collection."""
    drawn = {name: drawn_pairs(pairs, seed) for name, pairs in sides.items()}
    pairs = pd.concat(list(drawn.values()))
    queries, documents = tables.read_tokens(paths.SPLIT_QUERIES), tables.read_tokens(paths.SPLIT_DOCUMENTS)
    asked, judged = _some(queries, pairs["query_id"]), _some(documents, pairs["document_id"])
    return Pool(asked, _with_others(judged, seed), drawn)


def _some(texts: Tokens, ids: "pd.Series[str]") -> Tokens:
    rows = np.unique(texts.rows(ids))
    return pack(texts.ids.take(pa.array(rows)).to_pylist(), [texts[row] for row in rows])


def drawn_pairs(pairs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """At most PAIRS pairs of each of at most QUERIES queries that have a relevant document, drawn by `seed`."""
    random = np.random.default_rng(seed)
    pairs = relevant_queries(pairs)
    groups, rows = pairs.groupby("query_id").indices, list[np.ndarray]()
    for query in random.permutation(sorted(map(str, groups)))[:QUERIES]:
        order = random.permutation(groups[query])
        relevant = pairs["relevant"].to_numpy()[order]
        kept = order[relevant][: PAIRS // 2]
        rows += [kept, order[~relevant][: PAIRS - len(kept)]]
    return pairs.iloc[np.sort(np.concatenate(rows))][[*IDS, "grade", "relevant"]].reset_index(drop=True)


def _with_others(judged: Tokens, seed: int) -> Tokens:
    ids, texts, known = judged.ids.to_pylist(), list(judged), set(judged.ids.to_pylist())
    for document_id, text in _drawn_documents(seed):
        if document_id not in known:
            ids.append(document_id)
            texts.append(text)
    return pack(ids, texts)


def _drawn_documents(seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Ids and token ids of OTHERS documents of the collection, or of all, in its order."""
    count, first = count_documents(), 0
    rows = np.random.default_rng(seed).choice(count, min(count, OTHERS), replace=False)
    wanted = np.sort(rows)
    for part in read_token_parts():
        start, end = np.searchsorted(wanted, [first, first + len(part)])
        for row in wanted[start:end] - first:
            yield part.ids[int(row)].as_py(), part[row]
        first += len(part)


def losses(exact: pd.DataFrame, rounded: pd.DataFrame) -> Loss:
    """Each measure's loss, mean over queries with a 95% interval: the fp32 model's less the int8 model's."""
    found = {name: interval((exact[name] - rounded[name]).to_numpy(), lowest=-1) for name in MEASURES}
    return {name: {"mean": loss.mean, "low": loss.low, "high": loss.high} for name, loss in found.items()}


def passes(found: Loss, hits: pd.DataFrame) -> bool:
    """False if a measure's loss exceeds LOSS and its interval lies above 0, if it exceeds LARGEST, or for NaN."""
    return bool((hits["score"] > NO_NUMBER).all()) and all(
        loss["mean"] <= LOSS or (loss["low"] <= 0 and loss["mean"] <= LARGEST) for loss in found.values()
    )


def beside(exact: pd.DataFrame, rounded: pd.DataFrame) -> dict[str, object]:
    """Both models' means of MEASURES, and the int8 model's `losses`."""
    return {
        "queries": len(exact),
        **{f"{name} in fp32": float(exact[name].mean()) for name in MEASURES},
        **{name: float(rounded[name].mean()) for name in MEASURES},
        **{f"loss of {name}": loss for name, loss in losses(exact, rounded).items()},
    }

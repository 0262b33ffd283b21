"""Answers of the doors: hits with the parts of their scores, reranked texts, vectors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ranker.common.errors import InputError
from ranker.search.explain import explained
from ranker.search.search import Search
from ranker.service.requests import CohereRerank, Embed, Find, Rerank
from ranker.serving.ranker import Ranker
from ranker.serving.retriever import Retriever

DIGITS = 9  # of a score: all of a float32; OpenSearch takes a number of more than 18 characters for no Double


@dataclass(frozen=True)
class Served:
    """The parts that a folder of models has; a door without its part says so."""

    search: Search | None  # indexed; None without documents
    ranker: Ranker | None
    retriever: Retriever | None
    fields: tuple[str, ...]  # names of a document's
    about: Mapping[str, Any]  # for /health


def find(served: Served, asked: Find) -> dict[str, Any]:
    """The stack's best hits, and, where it orders them anew, the best ones as found."""
    if served.search is None:
        raise InputError("search: expected documents, found none: start it with --documents FILE")
    search = served.search
    hits = search.find(asked.query, None)
    answer: dict[str, Any] = {"query": asked.query, "candidates": len(hits)}
    lists = {"hits": hits}
    if search.stack.order != "as_found":
        lists["as_found"] = sorted(hits, key=lambda hit: hit.as_found)
    for name, listed in lists.items():
        answer[name] = [
            {"rank": place, "score": hit.score, "document_id": hit.document_id}
            | {"fields": dict(zip(served.fields, search.fields[hit.row], strict=True))}
            | explained(hit)
            for place, hit in enumerate(listed[: asked.top], start=1)
        ]
    return answer


def rerank(served: Served, asked: Rerank | CohereRerank) -> Any:
    """Texts by falling score; equal scores keep the order of the request."""
    if served.ranker is None:
        raise InputError("rerank: expected a cross-encoder, found none in the models' folder")
    texts = asked.texts
    ranker = served.ranker
    # An int8 score must not depend on the texts beside it
    score = ranker.score if served.about["reranker"] == "fp32" else ranker.score_unbatched
    scores = score(ranker.encode_query(asked.query), ranker.encode_documents(texts))
    order = np.argsort(-scores, kind="stable").tolist()
    raw = isinstance(asked, Rerank) and asked.raw_scores
    shown = [rounded(score) for score in (scores if raw else sigmoid(scores))]
    order = order[: asked.top_n]
    if isinstance(asked, Rerank):
        return [
            {"index": row, "score": shown[row]} | ({"text": texts[row]} if asked.return_text else {}) for row in order
        ]
    results = [
        {"index": row, "relevance_score": shown[row]}
        | ({"document": {"text": texts[row]}} if asked.return_documents else {})
        for row in order
    ]
    return {"results": results}


def embed(served: Served, asked: Embed) -> list[list[float]]:
    """A vector of length 1 for each text, in the order of the request."""
    if served.retriever is None:
        raise InputError("embed: expected a retriever, found none in the models' folder")
    vectors = served.retriever.embed_documents(asked.texts)
    return vectors.astype(np.float64).round(DIGITS).tolist()


def sigmoid(scores: np.ndarray) -> np.ndarray:
    """The probability that a score stands for, float64: that of relevance, by the two logits."""
    return 1 / (1 + np.exp(-scores.astype(np.float64)))


def rounded(score: float) -> float:
    """The score to DIGITS significant digits."""
    return float(f"{score:.{DIGITS}g}")

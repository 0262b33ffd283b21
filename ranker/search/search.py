"""Search documents with a whole stack: numpy, and ONNX Runtime if the stack runs a model.

    search = Search.load(Path("models"))                                                  # as stage package left it
    search.index(["a", "b"], [["Masks in wards"], ["The origin of the virus in bats"]])   # once
    search.find("coronavirus origin", top=1)                                              # [Hit("b", …)]

The order is that of the pipeline's own measurements: the same BM25, the same scaled sum, the cross-encoder one pair
at a time, as in Vespa.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ranker.common.errors import InputError
from ranker.contract.document import TITLE, whole_text
from ranker.contract.folder import DEFAULT_FOLDER, DEFAULT_RETRIEVER, Model, served_model
from ranker.serving.ranker import Ranker
from ranker.stack.bm25 import Bm25
from ranker.stack.order import best, weighted
from ranker.stack.stack import MODELS, STACK_FILE, Stack, read_models, read_stack

CANNOT = {  # lists of hits that need more than the exported folders
    "base": "the untrained base model is no exported folder",
    "run": "an engine's own run has no hits for a new query",
}
SCORED_BY = {"bm25": "bm25", "dense": "cosine"}  # each list's hits


class Embedder(Protocol):
    """`ranker.serving.retriever.Retriever`, or another model with its methods."""

    document_fields: tuple[str, ...]
    size: int

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of length 1, float32 [texts, size]."""

    def embed_documents(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of length 1, float32 [texts, size]."""


@dataclass(frozen=True)
class Hit:
    """A document that was found, and the parts of its score."""

    document_id: str
    row: int  # in the order of `Search.index`
    score: float
    as_found: int  # its rank, from 1, in the first stage's own order
    ranks: dict[str, int | None]  # from 1, by each list of hits; None if another list alone has it
    raw: dict[str, float]  # scores of the stack's parts, as the models give them
    parts: dict[str, float]  # scaled and weighted; `score` is their sum, if the stack orders by a sum


class Search:
    """A stack with the models that it runs; `index` once, `find` many times.

    InputError if the stack cannot be searched here, or a model that it runs is missing.
    """

    def __init__(self, stack: Stack, retriever: Embedder | None = None, ranker: Ranker | None = None) -> None:
        check_searchable(stack)
        if stack.vectors and retriever is None:
            raise InputError(f"retriever: expected one, because stack {stack.name} searches by vectors, found none")
        if stack.runs_cross_encoder and ranker is None:
            raise InputError(f"ranker: expected one, because stack {stack.name} runs a cross-encoder, found none")
        self.stack = stack
        self.retriever = retriever if stack.vectors else None
        self.ranker = ranker if stack.runs_cross_encoder else None
        fields = {model.document_fields for model in (self.retriever, self.ranker) if model is not None}
        if len(fields) > 1:
            raise InputError(f"retriever and ranker: expected the same document_fields, found {sorted(fields)}")
        self.document_fields: tuple[str, ...] = fields.pop() if fields else TITLE
        self.index([], [])

    @classmethod
    def load(cls, models: Path, model: Model | None = None, threads: int = 0) -> "Search":
        """The stack and the models in the folder `models`; `load_search` says the rest.

        Without `model`, each model is the one that the stack was measured with.
        """
        folders, file = (models / DEFAULT_RETRIEVER.name, models / DEFAULT_FOLDER.name), models / STACK_FILE
        return load_search(read_searchable(file), *folders, chosen(file, model), threads)

    def index(self, ids: Sequence[str], fields: Sequence[Sequence[str]], vectors: np.ndarray | None = None) -> None:
        """Take documents in place of those before: their ids, and the texts of each one's `document_fields`.

        `vectors` are the retriever's, of length 1, float32 [documents, size]; without them, it embeds every document.
        """
        if len(ids) != len(fields):
            raise InputError(f"documents: expected as many texts as ids, found {len(fields)} and {len(ids)}")
        if any(isinstance(texts, str) for texts in fields):
            raise InputError("documents: expected a list of each one's fields, found one text")
        size = self.retriever.size if self.retriever is not None else 0
        if self.retriever is not None and vectors is not None and vectors.shape != (len(ids), size):
            raise InputError(f"vectors: expected {len(ids)} of {size} numbers, found {vectors.shape}")
        self.ids, self.fields = ids, fields
        self.bm25 = Bm25(None, fields, self.stack.language) if _takes_bm25(self.stack) else None
        if self.retriever is not None and vectors is None:
            vectors = self.retriever.embed_documents(self.texts()) if ids else np.zeros((0, size))
        self.vectors = vectors if self.retriever is not None else None

    def texts(self) -> list[str]:
        """Each document's text, as the models read it."""
        return [whole_text(texts) for texts in self.fields]

    def find(self, query: str, top: int | None = 10, without: int | None = None) -> list[Hit]:
        """The `top` documents for a query, best first; None gives all that the stack orders.

        `without` is the row of a document that is not searched, such as the query itself. Ties are by falling
        document_id. Documents without a word of the query are no hits of BM25.
        """
        if not query.strip():
            raise InputError(f"query: expected text, found {query!r}")
        scores = self._scores(query)
        if without is not None:
            for values in scores.values():
                values[without] = -np.inf
        lists = {name: self._list(name, scores[SCORED_BY[name]]) for name in self.stack.found_by}
        rows = sorted(set().union(*lists.values()))
        raw = {part: of_all[rows] for part, of_all in scores.items()}
        if self.ranker is not None:
            raw = {"cross_encoder": self._cross_encoder(self.ranker, query, rows)} | raw
        own = raw[SCORED_BY[self.stack.found_by[0]]]
        total, found = self.stack.scores(raw, own), replace(self.stack, order="as_found").scores(raw, own)
        parts = weighted({part: raw[part] for part in self.stack.summed if part in raw}, self.stack.weights)

        def hit(place: int) -> Hit:
            row = rows[place]
            ranks = {name: listed.get(row) for name, listed in lists.items()}
            score, rank = float(total[place]), as_found[place]
            return Hit(self.ids[row], row, score, rank, ranks, _at(place, raw), _at(place, parts))

        def order(scores: np.ndarray) -> list[int]:
            return sorted(range(len(rows)), key=lambda place: (scores[place], self.ids[rows[place]]), reverse=True)

        as_found = {place: rank for rank, place in enumerate(order(found), start=1)}
        return [hit(place) for place in order(total)[:top]]

    def _scores(self, query: str) -> dict[str, np.ndarray]:
        """Scores of all documents by part, float32 [documents]."""
        scores = {}
        if self.retriever is not None and self.vectors is not None:
            (vector,) = self.retriever.embed_queries([query])
            scores["cosine"] = self.vectors @ vector
        if self.bm25 is not None:
            scores["bm25"] = self.bm25.scores_of(query)
        return scores

    def _list(self, name: str, scores: np.ndarray) -> dict[int, int]:
        """Ranks from 1 of a list's best documents by row, as `ranker.retrieval.hits` orders and cuts them."""
        depth = self.stack.depth
        if name == "bm25":  # ties at the cut keep the largest ids
            last = np.partition(scores, -depth)[-depth] if len(scores) > depth else 0.0
            rows = np.flatnonzero(scores >= max(last, np.finfo(np.float32).tiny))
        else:  # ties at the cut keep the earlier documents
            rows = best(scores, depth)
            rows = rows[np.isfinite(scores[rows])]
        ranked = sorted(rows.tolist(), key=lambda row: (scores[row], self.ids[row]), reverse=True)[:depth]
        return {row: rank for rank, row in enumerate(ranked, start=1)}

    def _cross_encoder(self, ranker: Ranker, query: str, rows: Sequence[int]) -> np.ndarray:
        documents = ranker.encode_documents([whole_text(self.fields[row]) for row in rows])
        return ranker.score_unbatched(ranker.encode_query(query), documents)


def _at(place: int, scores: dict[str, np.ndarray]) -> dict[str, float]:
    return {part: float(values[place]) for part, values in scores.items()}


def _takes_bm25(stack: Stack) -> bool:
    return "bm25" in stack.found_by or (stack.order == "fused" and stack.weights["bm25"] > 0)


def check_searchable(stack: Stack, where: str = "stack") -> None:
    """InputError, naming the place `where`, if a first stage needs more than the exported folders."""
    for name in stack.found_by:
        if name in CANNOT:
            raise InputError(
                f"{where}: first_stage.retriever: expected bm25, dense or hybrid, because {CANNOT[name]}, found "
                f"{stack.first_stage}: set it in params.yaml and run dvc repro, or search in the engine"
            )


def read_searchable(path: Path) -> Stack:
    """The stack of stage package; InputError if there is none, or none that can be searched here."""
    if not path.is_file():
        raise InputError(f"{path}: expected the stack of stage package, found none: run dvc repro, or give --stack")
    stack = read_stack(path)
    check_searchable(stack, str(path))
    return stack


def chosen(path: Path, model: Model | None) -> dict[str, Model]:
    """The models to run, by MODELS: `model`, or those that stack.json's stack was measured with."""
    return read_models(path) if model is None else dict.fromkeys(MODELS, model)


def load_search(
    stack: Stack, retriever_dir: Path, ranker_dir: Path, models: Mapping[str, Model], threads: int = 0
) -> Search:
    """A search with the models that the stack runs, from their folders; no other is loaded.

    `models` are fp32 or int8, by MODELS; int8 is fp32 where export's gate let no int8 model pass. `threads` as in
    `Ranker`.
    """
    retriever = ranker = None
    if stack.vectors == "dense":
        from ranker.serving.retriever import Retriever

        retriever = Retriever(retriever_dir, served_model(retriever_dir, models["retriever"]), threads)
    if stack.runs_cross_encoder:
        ranker = Ranker(ranker_dir, served_model(ranker_dir, models["cross_encoder"]), threads)
    return Search(stack, retriever, ranker)

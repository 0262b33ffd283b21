"""Names of the parts of a search: first stages, the lists of hits that they join, and orders."""

from typing import Literal, get_args

FirstStageName = Literal["bm25", "dense", "base", "hybrid", "base_hybrid", "run"]
OrderName = Literal["as_found", "cross_encoder", "fused"]
FIRST_STAGES: tuple[FirstStageName, ...] = get_args(FirstStageName)
ORDERS: tuple[OrderName, ...] = get_args(OrderName)
PARTS = ("cross_encoder", "cosine", "bm25")  # of a sum of scores; the cosine is that of the first stage's vectors
LISTS = ("bm25", "dense", "base", "run")  # by BM25, the retriever's vectors, the base model's, the user's own engine
FOUND_BY: dict[FirstStageName, tuple[str, ...]] = {
    "bm25": ("bm25",),
    "dense": ("dense",),
    "base": ("base",),
    "hybrid": ("bm25", "dense"),
    "base_hybrid": ("bm25", "base"),
    "run": ("run",),
}
# The stacks that are compared and served, if their lists are there, beside the one that ships.
COMPARED: tuple[tuple[FirstStageName, OrderName], ...] = (
    ("bm25", "as_found"),
    ("base", "as_found"),
    ("base_hybrid", "as_found"),
    ("run", "as_found"),
    ("dense", "as_found"),
    ("hybrid", "as_found"),
    ("bm25", "cross_encoder"),
    ("base_hybrid", "fused"),
    ("dense", "cross_encoder"),
    ("dense", "fused"),
    ("hybrid", "cross_encoder"),
    ("hybrid", "fused"),
)


def trains_retriever(first_stage: FirstStageName) -> bool:
    """True if the first stage searches by the fine-tuned retriever.

    >>> trains_retriever("hybrid"), trains_retriever("base_hybrid")
    (True, False)
    """
    return "dense" in FOUND_BY[first_stage]

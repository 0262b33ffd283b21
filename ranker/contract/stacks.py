"""Names of the parts of a search: first stages, the lists of hits that they join, and orders."""

from typing import Literal, get_args

FirstStageName = Literal["bm25", "dense", "base", "hybrid", "base_hybrid", "run"]
OrderName = Literal["as_found", "cross_encoder", "fused"]
FIRST_STAGES: tuple[FirstStageName, ...] = get_args(FirstStageName)
ORDERS: tuple[OrderName, ...] = get_args(OrderName)
LISTS = ("bm25", "dense", "base", "run")  # by BM25, the retriever's vectors, the base model's, the user's own engine
FOUND_BY: dict[FirstStageName, tuple[str, ...]] = {
    "bm25": ("bm25",),
    "dense": ("dense",),
    "base": ("base",),
    "hybrid": ("bm25", "dense"),
    "base_hybrid": ("bm25", "base"),
    "run": ("run",),
}


def trains_retriever(first_stage: FirstStageName) -> bool:
    """True if the first stage searches by the fine-tuned retriever.

    >>> trains_retriever("hybrid"), trains_retriever("base_hybrid")
    (True, False)
    """
    return "dense" in FOUND_BY[first_stage]

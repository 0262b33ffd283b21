"""What is measured: each work, the systems that do it, and on how many pairs."""

from dataclasses import dataclass, field
from typing import Any

TUTORIAL, PEER, PEER_BF16, OURS = "tutorial", "sentence-transformers", "sentence-transformers bf16", "cord19-ranker"


@dataclass(frozen=True)
class Job:
    """One system's part of a work."""

    run: str  # modules and functions of this package, one after the other, each in a process of its own
    pairs: int = 0  # measured ones, drawn; 0: the folder's files
    options: dict[str, Any] = field(default_factory=dict)
    share: int = 0  # of the work's pairs, where less than the work is done: seconds are scaled up by it


@dataclass(frozen=True)
class Work:
    """One row of the table for each of its systems; `pairs` is what their seconds are for."""

    name: str
    data: str  # sample | real | full
    pairs: int
    jobs: dict[str, Job]


def scoring(data: str, pairs: int, slow: int, suffix: str) -> Work:
    """Scoring of `pairs` pairs, of which the tutorial's way does `slow`."""
    onnx, int8 = ({"ranker": "{work}/ranker", "model": model} for model in ("fp32", "int8"))
    return Work(
        f"scoring, {suffix}",
        data,
        pairs,
        {
            TUTORIAL: Job("tutorial.score", slow, share=slow),
            PEER: Job("peer.score", pairs, {"bf16": False}),
            PEER_BF16: Job("peer.score", pairs, {"bf16": True}),
            f"{OURS}, PyTorch": Job("ours.score", pairs, {"precision": "{precision}"}),
            f"{OURS}, PyTorch fp32": Job("ours.score", pairs, {"precision": "fp32"}),
            f"{OURS}, ONNX Runtime fp32": Job("ours.score_onnx", pairs, onnx),
            f"{OURS}, ONNX Runtime int8": Job("ours.score_onnx", pairs, int8),
        },
    )


def works(sample: int, real: int, full: int, share: int = 960) -> list[Work]:
    """All works, for so many pairs of each kind of data; what is slow is measured on `share` pairs, or a part of it."""
    some, fewer, fewest = (min(share // part, real) for part in (1, 4, 8))
    exact, int8 = ({"ranker": "{work}/ranker", "model": model} for model in ("fp32", "int8"))
    reranked = 30 * max(1, min(50, real // 30))
    return [
        Work(
            "encode: raw files to stored encodings",
            "full",
            full,
            {TUTORIAL: Job("tutorial.encode"), OURS: Job("ours.join ours.encode", options={"place": "{work}/place"})},
        ),
        Work(
            "head-only training, 3 epochs, from encodings",
            "full",
            3 * full,
            {
                TUTORIAL: Job("tutorial.train", fewer, {"head_only": True}, share=fewer),
                OURS: Job("ours.train_head"),
            },
        ),
        Work(
            "full fine-tuning, 1 epoch, batches of 16",
            "real",
            real,
            {
                TUTORIAL: Job("tutorial.train", fewest, {"head_only": False}, share=fewest),
                PEER: Job("peer.train", fewer, {"bf16": False}, share=fewer),
                PEER_BF16: Job("peer.train", some, {"bf16": True}, share=some),
                OURS: Job("ours.train", some, {"precision": "{precision}"}, share=some),
                f"{OURS}, fp32": Job("ours.train", fewer, {"precision": "fp32"}, share=fewer),
            },
        ),
        scoring("sample", sample, min(fewer, sample), "the sample's lengths"),
        scoring("real", real, fewer, "real lengths"),
        Work(
            "rerank 30 titles, p50 of one query",
            "real",
            30,
            {
                PEER: Job("peer.rerank", reranked, {"bf16": False}),
                PEER_BF16: Job("peer.rerank", reranked, {"bf16": True}),
                f"{OURS}, ONNX Runtime fp32": Job("ours.rerank", reranked, exact),
                f"{OURS}, ONNX Runtime int8": Job("ours.rerank", reranked, int8),
            },
        ),
        Work(
            "rerank 30 titles one by one, padded to 128 as Vespa does, p50",
            "real",
            30,
            {
                f"{OURS}, ONNX Runtime fp32": Job("ours.rerank_as_vespa", min(300, reranked), exact),
                f"{OURS}, ONNX Runtime int8": Job("ours.rerank_as_vespa", min(300, reranked), int8),
            },
        ),
        Work(
            "cold start: a new process ranks 30 titles",
            "real",
            30,
            {
                PEER: Job("peer.cold_start", 30, {"bf16": False}),
                f"{OURS}, ONNX Runtime fp32": Job("ours.cold_start", 30, exact),
                f"{OURS}, ONNX Runtime int8": Job("ours.cold_start", 30, int8),
            },
        ),
    ]

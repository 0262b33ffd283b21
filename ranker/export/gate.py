"""The gate of the eight-bit model: it is let through only where it ranks held-out pairs as the exact one does."""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from tqdm import tqdm

from ranker.contract.batching import scoring_batches
from ranker.contract.folder import MODEL_FILES
from ranker.contract.layout import relevance
from ranker.export.int8 import SCHEMES, Scheme, quantise, worst_matrices
from ranker.metrics.agreement import kendall_tau, top_overlap
from ranker.metrics.ranking import ranking_measures
from ranker.model.cross_encoder import CrossEncoder
from ranker.model.dataset import EncodedPairs
from ranker.project.params import Export
from ranker.serving.ranker import TOKENS, Ranker

TOP = 10
ALONE = 100  # pairs of a query that are scored one by one, at 5 ms each on two cores
FEW = 32  # pairs, to tell which matrices are worst
LEFT_OUT = (1 / 8, 1 / 4, 1 / 2)  # shares of all matrices, the worst ones, where no whole scheme passes


@dataclass(frozen=True)
class HeldOut:
    """Pairs that the model was not trained on, and what the exact model makes of them."""

    pairs: pd.DataFrame  # query_id, document_id, grade, relevant
    encoded: EncodedPairs
    logits: np.ndarray  # float32 [pairs, 2], of the exact model

    def ndcg(self, logits: np.ndarray) -> float:
        """Mean nDCG@10 of the rankings that logits, float32 [pairs, 2], give."""
        return float(ranking_measures(self.pairs, relevance(logits))["nDCG@10"].mean())

    def spread(self, count: int) -> "HeldOut":
        """At most `count` pairs of each query, evenly from the exact model's best to its worst."""
        order = np.argsort(-relevance(self.logits), kind="stable")
        ranked = pd.Series(order).groupby(self.pairs["query_id"].to_numpy()[order])
        rows = np.sort(np.concatenate([_evenly(group.to_numpy(), count) for _, group in ranked]))
        pairs = self.pairs.iloc[rows].reset_index(drop=True)
        return HeldOut(pairs, self.encoded.take(rows), self.logits[rows])


def _evenly(rows: np.ndarray, count: int) -> np.ndarray:
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]


def in_batches(ranker: Ranker, encoded: EncodedPairs) -> np.ndarray:
    """Logits, float32 [pairs, 2], in the order given, by the batches that Ranker.score has."""
    logits = np.empty((len(encoded), 2), np.float32)
    for rows in tqdm(scoring_batches(encoded.lengths, TOKENS), desc="score", unit="batch", disable=None):
        logits[rows] = ranker.logits(encoded.inputs(rows))
    return logits


def one_by_one(ranker: Ranker, encoded: EncodedPairs) -> np.ndarray:
    """Logits, float32 [pairs, 2], of each pair in a batch of its own, padded to the full length, as Vespa has it.

    In eight bits they differ from those of other batches: activations are rounded by their batch's range, and padding
    has activations too.
    """
    rows = tqdm(range(len(encoded)), desc="score", unit="pair", disable=None)
    return np.concatenate([ranker.logits(encoded.inputs([row], encoded.layout.max_length)) for row in rows])


def agreement(held_out: HeldOut, logits: np.ndarray) -> dict[str, float]:
    """What rounding does to the ranking: nDCG@10 and its loss, Kendall's tau, the overlap of top tens, logits.

    Means over queries; `logits` is float32 [pairs, 2]. Where one is not finite, none of them ranks anything, and the
    difference is larger than any bound.
    """
    finite = bool(np.isfinite(logits).all())
    logits = logits if finite else np.zeros_like(logits)
    exact, rounded = relevance(held_out.logits), relevance(logits)
    before, after = held_out.ndcg(held_out.logits), held_out.ndcg(logits)
    return {
        "nDCG@10 in fp32": before,
        "nDCG@10": after,
        "loss of nDCG@10": before - after,
        "Kendall's tau": kendall_tau(held_out.pairs, exact, rounded),
        f"overlap of top {TOP}": top_overlap(held_out.pairs, exact, rounded, TOP),
        "largest logit difference": float(np.abs(held_out.logits - logits).max()) if finite else sys.float_info.max,
    }


def passes(found: dict[str, float], params: Export) -> bool:
    """Whether rounding is within the gate's bounds."""
    return (
        found["loss of nDCG@10"] <= params.int8_max_ndcg_loss
        and found["Kendall's tau"] >= params.int8_min_tau
        and found[f"overlap of top {TOP}"] >= params.int8_min_overlap
        and found["largest logit difference"] <= params.int8_max_logit_difference
    )


def gate(
    model: CrossEncoder, prepared: onnx.ModelProto, folder: Path, held_out: HeldOut, params: Export
) -> list[dict[str, Any]]:
    """Write model.int8.onnx by the first scheme that passes, or by none; returns what was tried, the last one last.

    Each has `scheme`, `passed`, `left_out` (matrices in fp32) and what `agreement` tells of all pairs `in batches`, as
    `Ranker.score` has them, and of ALONE pairs a query `one by one`, as Vespa has them: it has to pass in both.
    """
    ways = {"in batches": (held_out, in_batches), "one by one": (held_out.spread(ALONE), one_by_one)}
    tried: list[dict[str, Any]] = []
    for scheme in _schemes(model, prepared, held_out):
        quantise(prepared, scheme, folder / MODEL_FILES["int8"], params)
        ranker = Ranker(folder, "int8", trusted=True)
        found = {way: agreement(pairs, logits(ranker, pairs.encoded)) for way, (pairs, logits) in ways.items()}
        passed = all(passes(measures, params) for measures in found.values())
        tried.append({"scheme": scheme.name, "passed": passed, "left_out": list(scheme.left_out), **found})
        if passed:
            return tried
    (folder / MODEL_FILES["int8"]).unlink()
    return tried


def _schemes(model: CrossEncoder, prepared: onnx.ModelProto, held_out: HeldOut) -> Iterator[Scheme]:
    """Whole schemes, then the first of them with ever more matrices left out, the worst first."""
    yield from SCHEMES
    few = np.linspace(0, len(held_out.encoded) - 1, min(FEW, len(held_out.encoded))).astype(int)
    worst = worst_matrices(model, prepared, held_out.encoded.inputs(few))
    for share in LEFT_OUT:
        left_out = tuple(worst[: math.ceil(share * len(worst))])
        yield replace(SCHEMES[0], name=f"U8S8, {len(left_out)} matrices left out", left_out=left_out)

"""The int8 model's gate: training-side queries choose a scheme, held-out queries measure it.

Choosing on the held-out queries would bias its measures upwards.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import onnx
import pandas as pd
from tqdm import tqdm

from ranker.export.int8 import Trial, few, try_schemes, worst_matrices
from ranker.metrics.agreement import kendall_tau, top_overlap
from ranker.metrics.comparison import Mean
from ranker.metrics.interval import interval
from ranker.metrics.ranking import MAIN, ranking_measures, relevant_queries
from ranker.model.cross_encoder import CrossEncoder
from ranker.model.dataset import EncodedPairs
from ranker.project.params import Export
from ranker.serving.ranker import Ranker

# A query's documents together, like Ranker.score, and each pair by itself, like Vespa. An int8 score depends on its
# batch, because activations are rounded by the batch's range.
WAYS: dict[str, Callable[..., np.ndarray]] = {"in batches": Ranker.score, "one by one": Ranker.score_unbatched}

Agreement = TypedDict(
    "Agreement",
    {
        "queries": int,
        "pairs": int,
        "Kendall's tau": float,
        "overlap of top 10": float,
        "score difference": float,
        "nDCG@10 in fp32": float,
        "nDCG@10": float,
        "loss of nDCG@10": Mean,
    },
)

QUERIES = 20  # at most, and of each
PAIRS = 100  # at most: 2,000 pairs one by one take 10 s on two cores, for each scheme tried
TOP = 10
PERCENTILE = 99  # of score differences, because their maximum grows with the number of pairs


@dataclass(frozen=True)
class Bounds:
    """The gate's bounds on the int8 model's differences from the fp32 one, on training-side queries."""

    tau: float = 0.95  # Kendall's, at least; mean over queries
    overlap: float = 0.95  # of the top tens, at least; mean over queries
    score_difference: float = 0.25  # at most, in standard deviations of the fp32 scores
    ndcg_loss: float = 0.01  # of nDCG@10; fails if the loss's whole 95% interval lies above it


BOUNDS = Bounds()


@dataclass(frozen=True)
class Judged:
    """Judged pairs with the fp32 model's scores."""

    pairs: pd.DataFrame  # query_id, document_id, grade, relevant
    encoded: EncodedPairs  # in the same order
    exact: np.ndarray  # float32 [pairs]

    def sample(self, seed: int) -> "Judged":
        """The pairs at `sampled_rows`."""
        rows = sampled_rows(self.pairs, seed)
        return Judged(self.pairs.iloc[rows].reset_index(drop=True), self.encoded.take(rows), self.exact[rows])

    def ndcg(self, scores: np.ndarray) -> np.ndarray:
        """nDCG@10 by scores, float32 [pairs], of the queries with a relevant document: float [queries]."""
        run = relevant_queries(self.pairs.assign(score=scores))
        if run.empty:  # no nDCG to lose
            return np.zeros(1)
        return ranking_measures(run, run["score"].to_numpy())[MAIN].to_numpy()


def judged(ranker: Ranker, pairs: pd.DataFrame, encoded: EncodedPairs, rows: np.ndarray) -> Judged:
    """The pairs at `rows`, with the scores of the fp32 model, `ranker`."""
    pairs, encoded = pairs.iloc[rows].reset_index(drop=True), encoded.take(rows)
    return Judged(pairs, encoded, score_queries(Ranker.score, ranker, pairs, encoded))


def sampled_rows(pairs: pd.DataFrame, seed: int) -> np.ndarray:
    """Rows, rising, of at most PAIRS pairs of each of at most QUERIES queries, drawn by `seed`."""
    random = np.random.default_rng(seed)
    groups = pairs.groupby("query_id").indices
    drawn = random.permutation(sorted(map(str, groups)))[:QUERIES]
    return np.sort(np.concatenate([random.permutation(groups[query])[:PAIRS] for query in drawn]))


def score_queries(
    way: Callable[..., np.ndarray], ranker: Ranker, pairs: pd.DataFrame, encoded: EncodedPairs
) -> np.ndarray:
    """Score each query with its documents by a method of WAYS: float32 [pairs], in input order."""
    scores = np.empty(len(pairs), np.float32)
    groups = pairs.groupby("query_id", sort=False).indices.values()
    for rows in tqdm(groups, desc="score", unit="query", disable=None):
        query = encoded[rows[0]][0]
        scores[rows] = way(ranker, query, [encoded[row][1] for row in rows])
    return scores


def agreement(judged: Judged, rounded: np.ndarray) -> Agreement:
    """Agreement of scores, float32 [pairs], with the fp32 model's.

    Kendall's tau and the overlap of top tens are means over queries. Score differences are in standard deviations of
    the fp32 scores. nDCG@10 covers the queries with a relevant document; its loss has a 95% interval over them. If a
    score is not finite, all count as 0, and the score difference exceeds any bound.
    """
    finite = bool(np.isfinite(rounded).all())
    rounded = rounded if finite else np.zeros_like(rounded)
    before, after = judged.ndcg(judged.exact), judged.ndcg(rounded)
    loss = interval(before - after, lowest=-1)
    differences = np.abs(judged.exact - rounded) / max(float(judged.exact.std()), np.finfo(np.float32).tiny)
    return {
        "queries": judged.pairs["query_id"].nunique(),
        "pairs": len(judged.pairs),
        "Kendall's tau": kendall_tau(judged.pairs, judged.exact, rounded),
        "overlap of top 10": top_overlap(judged.pairs, judged.exact, rounded, TOP),
        "score difference": float(np.percentile(differences, PERCENTILE)) if finite else sys.float_info.max,
        "nDCG@10 in fp32": float(before.mean()),
        "nDCG@10": float(after.mean()),
        "loss of nDCG@10": {"mean": loss.mean, "low": loss.low, "high": loss.high},
    }


def passes(found: Agreement, bounds: Bounds) -> bool:
    """True if all measures are within the bounds; nDCG@10 fails only if its loss's whole interval does."""
    return (
        found["Kendall's tau"] >= bounds.tau
        and found["overlap of top 10"] >= bounds.overlap
        and found["score difference"] <= bounds.score_difference
        and found["loss of nDCG@10"]["low"] <= bounds.ndcg_loss
    )


def gate(
    model: CrossEncoder,
    prepared: onnx.ModelProto,
    folder: Path,
    sample: Judged,
    params: Export,
    bounds: Bounds = BOUNDS,
) -> list[Trial]:
    """`try_schemes` on `sample`, training-side pairs.

    A trial has the `agreement` in each of WAYS. It must pass in both, and ends at its first failure.
    """

    def measure() -> tuple[bool, dict[str, Agreement]]:
        ranker, passed = Ranker(folder, "int8", trusted=True), True
        found: dict[str, Agreement] = {}
        for way in WAYS:
            if passed:
                found |= compare_ways(ranker, {way: sample})
                passed = passes(found[way], bounds)
        return passed, found

    def worst() -> list[str]:
        return worst_matrices(model, prepared, sample.encoded.inputs(few(len(sample.encoded))))

    return try_schemes(prepared, folder, params, worst, measure)


def compare_ways(ranker: Ranker, ways: dict[str, Judged]) -> dict[str, Agreement]:
    """The int8 model's `agreement` in each of WAYS, on that way's pairs."""
    return {
        way: agreement(judged, score_queries(WAYS[way], ranker, judged.pairs, judged.encoded))
        for way, judged in ways.items()
    }

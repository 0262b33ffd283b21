"""The retriever's batches and loss: a batch's queries against all of its documents.

The queries and documents of a batch's pairs make a grid, at no more forward cost than the pairs' own. A cell is judged,
if its pair is in the training judgements, or not; a cell without a judgement counts as not relevant, because a random
document is hardly ever relevant.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ranker.training.batches import WINDOW

SHARPNESS = 20.0  # of the cosines in `order_loss`: CoSENT's default in sentence-transformers
ORDER_WEIGHT = 0.1  # of `order_loss`, beside the cross-entropy of the judged cells
UNJUDGED = -1.0
PAIRS_A_QUERY = 4  # in a batch, so that a query's judged documents are compared with each other


@dataclass(frozen=True)
class Judgements:
    """Targets of pairs, by the rows of their texts."""

    keys: np.ndarray  # int64 [pairs], rising: query row * documents + document row
    targets: np.ndarray  # float32 [pairs], by `keys`
    documents: int  # that have a row

    @classmethod
    def of(cls, queries: np.ndarray, documents: np.ndarray, targets: np.ndarray, count: int) -> "Judgements":
        """Those of the training pairs: rows of their queries and documents, int64 [pairs] each, and their targets.

        `count` is the number of documents that have a row.
        """
        keys, first = np.unique(queries * count + documents, return_index=True)
        return cls(keys, targets[first].astype(np.float32), count)

    def grid(self, queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """The target of each query with each document, float32 [queries, documents]; UNJUDGED where there is none.

        >>> judged = Judgements.of(np.array([0, 0, 1]), np.array([5, 6, 6]), np.array([1, 0, 0.5]), 7)
        >>> judged.grid(np.array([0, 1]), np.array([5, 6])).tolist()
        [[1.0, 0.0], [-1.0, 0.5]]
        """
        wanted = queries[:, None] * self.documents + documents
        places = np.searchsorted(self.keys, wanted).clip(max=len(self.keys) - 1)
        return np.where(self.keys[places] == wanted, self.targets[places], np.float32(UNJUDGED))


def grouped_batches(
    queries: np.ndarray, targets: np.ndarray, lengths: np.ndarray, batch_size: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """Random batches of row numbers, in random order, drawn anew each epoch; equal arguments give equal ones.

    A query's pairs, the best first, are dealt like cards to the fewest groups of at most PAIRS_A_QUERY, so that each
    group has its share of every grade. A batch is batch_size // PAIRS_A_QUERY groups of similar lengths. Every row is
    in one batch. `queries` are rows, int64 [pairs], `lengths` tokens of the laid-out pairs.
    """
    random = np.random.default_rng([seed, epoch])
    groups: list[np.ndarray] = []
    for query in random.permutation(np.unique(queries)):
        rows = random.permutation(np.flatnonzero(queries == query))
        rows = rows[np.argsort(-targets[rows], kind="stable")]
        hands = -(-len(rows) // PAIRS_A_QUERY)
        groups += [rows[hand::hands] for hand in random.permutation(hands)]
    size = groups_a_batch(batch_size)
    order = random.permutation(len(groups))
    longest = np.array([lengths[group].max() for group in groups])
    windows = np.split(order, range(WINDOW * size, len(order), WINDOW * size))
    order = np.concatenate([window[np.argsort(longest[window], kind="stable")] for window in windows])
    parts = np.split(order, range(size, len(order), size))
    return [np.concatenate([groups[i] for i in parts[part]]) for part in random.permutation(len(parts))]


def groups_a_batch(batch_size: int) -> int:
    """Groups of a batch of about `batch_size` pairs."""
    return max(1, batch_size // PAIRS_A_QUERY)


def batches_an_epoch(queries: np.ndarray, batch_size: int) -> int:
    """The number of `grouped_batches`."""
    counts = np.unique(queries, return_counts=True)[1]
    return -(-int((-(-counts // PAIRS_A_QUERY)).sum()) // groups_a_batch(batch_size))


def order_loss(cosines: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """CoSENT: log(1 + the sum of exp(SHARPNESS * (cosine of j - cosine of i)) over all i with a higher target than j).

    `cosines` and `targets` are float32 [queries, documents]; UNJUDGED counts as 0. Cells of different queries are
    compared, too. 0 if all targets are equal. Su, CoSENT, 2022; sentence-transformers' CoSENTLoss.
    """
    values, known = SHARPNESS * cosines.float().flatten(), targets.clamp(min=0).flatten()
    differences = (values[None, :] - values[:, None])[known[:, None] > known[None, :]]
    return torch.logsumexp(torch.cat([differences.new_zeros(1), differences]), dim=0)


def retrieval_loss(
    cosines: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy (nats) of the judged cells, plus ORDER_WEIGHT times `order_loss` of all cells.

    `cosines` and `targets` are float32 [queries, documents]; the probability of relevance is sigmoid(scale * cosine +
    offset).
    """
    judged = targets > UNJUDGED
    logits = scale * cosines.float()[judged] + offset
    cross_entropy = nn.functional.binary_cross_entropy_with_logits(logits, targets[judged])
    return cross_entropy + ORDER_WEIGHT * order_loss(cosines, targets)

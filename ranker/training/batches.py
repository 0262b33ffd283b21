"""Random training batches of similar lengths, each process's share of a batch, and the grid of a retriever's batch.

The queries and documents of a retriever's batch make a grid, at no more forward cost than the pairs' own. A cell is
judged, if its pair is in the training judgements, or not.
"""

from dataclasses import dataclass

import numpy as np

UNJUDGED = -1.0
PAIRS_A_QUERY = 4  # in a retriever's batch, so that a query's judged documents are compared with each other
WINDOW = 20  # batches sorted by length at a time: more give less padding, fewer give more randomness


def training_batches(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Random batches of row numbers of similar lengths, in random order, drawn anew each epoch.

    Every row is in one batch; only the last batch may be smaller. Equal arguments give equal batches.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    windows = np.split(order, range(WINDOW * batch_size, len(order), WINDOW * batch_size))
    order = np.concatenate([window[np.argsort(lengths[window], kind="stable")] for window in windows])
    batches = np.split(order, range(batch_size, len(order), batch_size))
    short = [batches.pop()] if len(batches[-1]) < batch_size else []
    return [batches[i] for i in random.permutation(len(batches))] + short


def shares(batch: np.ndarray, processes: int) -> list[np.ndarray]:
    """Split a batch among processes. Rows sorted by length give shares of similar lengths.

    >>> [share.tolist() for share in shares(np.array([4, 2, 9, 7]), 2)]
    [[4, 9], [2, 7]]
    """
    return [batch[first::processes] for first in range(processes)]


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

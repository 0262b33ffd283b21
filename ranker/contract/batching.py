"""Pairs -> batches of like lengths, so that next to nothing is padding."""

import numpy as np

MULTIPLE = 8  # batches are padded up to a multiple of this: few distinct shapes, which bf16 kernels on a CPU ask for
TOKENS = 2048  # of a batch in PyTorch when nothing is learned, padding included; more leave the cache


def scoring_batches(lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Row numbers in batches of at most `tokens` tokens, padding included, longest pairs first.

    What does not fit in memory so fails at once. `lengths` is int [pairs]; returns int64 arrays that together hold
    every row once. A pair that is longer than `tokens` is a batch by itself.

    >>> [batch.tolist() for batch in scoring_batches(np.array([5, 30, 7, 16]), 32)]
    [[1], [3, 2], [0]]
    """
    order = np.argsort(-lengths, kind="stable")
    padded = -(-lengths[order] // MULTIPLE) * MULTIPLE
    batches, start = [], 0
    while start < len(order):
        end = start + max(1, tokens // int(padded[start]))
        batches.append(order[start:end])
        start = end
    return batches

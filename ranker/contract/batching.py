"""Pairs -> batches of similar length, which need little padding."""

import numpy as np

MULTIPLE = 8  # of a batch's padded length: bf16 kernels on a CPU need few distinct shapes
TOKENS = 2048  # of a PyTorch batch at inference, padding included; more do not fit in the CPU's cache


def scoring_batches(lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Row numbers in batches of at most `tokens` tokens, padding included, longest pairs first.

    Longest first: an out-of-memory error comes in the first batch. `lengths` is int [pairs]. Returns int64 arrays that
    together have every row once. A pair longer than `tokens` is a batch by itself.

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

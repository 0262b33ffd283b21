"""Random training batches of similar lengths, and each process's share of a batch."""

import numpy as np

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

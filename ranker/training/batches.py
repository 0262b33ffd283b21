"""Pairs -> random training batches of like lengths, and each process's share of one."""

import numpy as np

WINDOW = 20  # training sorts by length within this many batches at a time: less padding the more, less chance the fewer


def training_batches(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Row numbers in random batches of like lengths, in random order, other ones every epoch.

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
    """A batch in parts, one for each process: of rows that are sorted by length, parts that are as long as each other.

    >>> [share.tolist() for share in shares(np.array([4, 2, 9, 7]), 2)]
    [[4, 9], [2, 7]]
    """
    return [batch[first::processes] for first in range(processes)]

"""ranker.contract.batching and ranker.training.batches: every row once, little padding, fixed by seed and epoch."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ranker.contract.batching import scoring_batches
from ranker.training.batches import shares, training_batches

lengths_of_pairs = st.lists(st.integers(3, 128), max_size=300).map(lambda values: np.array(values, dtype=np.int64))


@given(lengths_of_pairs, st.integers(1, 64), st.integers(0, 5))
def test_training_batches_hold_every_row_once(lengths: np.ndarray, batch_size: int, epoch: int) -> None:
    batches = training_batches(lengths, batch_size, 13, epoch)
    rows = np.concatenate([*batches, np.array([], dtype=np.int64)])
    assert sorted(rows.tolist()) == list(range(len(lengths)))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert not batches or len(batches[-1]) <= batch_size


@given(lengths_of_pairs, st.integers(1, 4096))
def test_scoring_batches_hold_every_row_once_within_the_budget(lengths: np.ndarray, tokens: int) -> None:
    batches = scoring_batches(lengths, tokens)
    rows = np.concatenate([*batches, np.array([], dtype=np.int64)])
    assert sorted(rows.tolist()) == list(range(len(lengths)))
    assert lengths[rows].tolist() == sorted(lengths, reverse=True)
    for batch in batches:
        padded = -(-lengths[batch].max() // 8) * 8
        assert len(batch) == 1 or len(batch) * padded <= tokens
    for batch in batches[:-1]:  # the batch ends where the next pair would not fit
        assert (len(batch) + 1) * -(-lengths[batch].max() // 8) * 8 > tokens


def test_training_batches_follow_seed_and_epoch() -> None:
    lengths = np.random.default_rng(0).integers(8, 60, 500)

    def rows(seed: int, epoch: int) -> list[int]:
        return np.concatenate(training_batches(lengths, 16, seed, epoch)).tolist()

    assert rows(13, 0) == rows(13, 0)
    assert rows(13, 0) != rows(13, 1)
    assert rows(13, 0) != rows(14, 0)


def test_batches_are_hardly_padded() -> None:
    lengths = np.random.default_rng(0).integers(8, 60, 1000)

    def padded(batches: list[np.ndarray]) -> float:
        return sum(len(batch) * lengths[batch].max() for batch in batches) / lengths.sum()

    unsorted = np.split(np.arange(1000), range(16, 1000, 16))
    assert padded(unsorted) > 1.5
    assert padded(training_batches(lengths, 16, 13, 0)) < 1.1
    assert padded(scoring_batches(lengths, 2048)) < 1.1


def test_training_batches_do_not_go_through_the_lengths_in_order() -> None:
    lengths = np.random.default_rng(0).integers(8, 60, 1000)
    means = [lengths[batch].mean() for batch in training_batches(lengths, 16, 13, 0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_shares_are_balanced() -> None:
    """Lengths are those of real titles; halves of length-sorted batches would be unbalanced."""
    lengths = np.random.default_rng(1).poisson(26, 5000) + 3

    def longest_over_mean(parts: list[np.ndarray]) -> float:
        tokens = [len(part) * lengths[part].max() for part in parts]
        return max(tokens) / np.mean(tokens)

    batches = training_batches(lengths, 16, seed=1, epoch=0)[:-1]  # full batches
    for processes in (2, 4):
        for batch in batches:
            assert sorted(np.concatenate(shares(batch, processes))) == sorted(batch)
        dealt = np.mean([longest_over_mean(shares(batch, processes)) for batch in batches])
        cut = np.mean([longest_over_mean(np.array_split(batch, processes)) for batch in batches])
        assert dealt - 1 < (cut - 1) / 2

"""A retriever's batches (ranker.training.batches) by their rules, its losses by plain sums."""

from itertools import product
from math import exp, log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ranker.training.batches import PAIRS_A_QUERY, Judgements, batches_an_epoch, grouped_batches
from ranker.training.loss import ORDER_WEIGHT, SHARPNESS, order_loss, retrieval_loss

PAIRS = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from([0.0, 0.5, 1.0]), st.integers(3, 90)), min_size=1, max_size=90
)


@given(PAIRS, st.integers(1, 20), st.integers(0, 3))
def test_each_pair_is_in_one_batch_with_others_of_its_query(
    pairs: list[tuple[int, float, int]], size: int, epoch: int
) -> None:
    queries, targets, lengths = (np.array(column) for column in zip(*pairs, strict=True))
    batches = grouped_batches(queries, targets, lengths, size, 13, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(pairs)))
    assert len(batches) == batches_an_epoch(queries, size)
    for batch in batches:
        assert len(batch) <= max(PAIRS_A_QUERY, size)
    again = grouped_batches(queries, targets, lengths, size, 13, epoch)
    assert [batch.tolist() for batch in batches] == [batch.tolist() for batch in again]


def test_a_group_has_its_share_of_every_grade() -> None:
    """Sixteen pairs of one query, four of them relevant, are four groups with one relevant pair each."""
    targets = np.array([1.0] * 4 + [0.0] * 12)
    for epoch in range(3):
        batches = grouped_batches(np.zeros(16, int), targets, np.full(16, 9), PAIRS_A_QUERY, 13, epoch)
        assert [targets[batch].sum() for batch in batches] == [1] * 4
    first, second = (grouped_batches(np.zeros(16, int), targets, np.full(16, 9), 4, 13, epoch) for epoch in (0, 1))
    assert [batch.tolist() for batch in first] != [batch.tolist() for batch in second]


def test_a_pair_that_comes_twice_is_judged_once() -> None:
    judged = Judgements.of(np.array([0, 0]), np.array([1, 1]), np.array([1.0, 1.0]), 2)
    assert judged.grid(np.array([0, 1]), np.array([0, 1])).tolist() == [[-1, 1], [-1, -1]]


CELLS = st.lists(st.tuples(st.floats(-1, 1, width=32), st.sampled_from([-1.0, 0.0, 0.5, 1.0])), min_size=6, max_size=6)


@given(CELLS)
def test_losses_are_plain_sums(cells: list[tuple[float, float]]) -> None:
    cosines, targets = (torch.tensor(column, dtype=torch.float32).reshape(2, 3) for column in zip(*cells, strict=True))
    known = [(cosine, max(target, 0)) for cosine, target in cells]
    total = sum(exp(SHARPNESS * (low - high)) for (high, more), (low, less) in product(known, known) if more > less)
    assert order_loss(cosines, targets).item() == pytest.approx(log(1 + total), rel=1e-4, abs=1e-5)
    scale, offset = torch.tensor(8.0), torch.tensor(-4.0)
    judged = [(1 / (1 + exp(4 - 8 * cosine)), target) for cosine, target in cells if target >= 0]
    if judged:
        entropy = -sum(t * log(p) + (1 - t) * log(1 - p) for p, t in judged) / len(judged)
        found = retrieval_loss(cosines, scale, offset, targets).item()
        assert found == pytest.approx(entropy + ORDER_WEIGHT * log(1 + total), rel=1e-4, abs=1e-5)

"""ranker.metrics.agreement, by hand."""

import numpy as np
import pandas as pd
import pytest

from ranker.metrics.agreement import kendall_tau, top_overlap

# Query 1 has one of three document pairs in reverse order; query 2 agrees; query 3 has one document.
PAIRS = pd.DataFrame({"query_id": ["1", "2", "1", "1", "2", "3"]})
SCORES, OTHERS = np.array([3.0, 1, 2, 1, 2, 5]), np.array([9.0, 0, 1, 2, 7, 5])


def test_kendall_tau_by_hand() -> None:
    assert kendall_tau(PAIRS, SCORES, OTHERS) == pytest.approx(((2 - 1) / 3 + 1 + 1) / 3)
    assert kendall_tau(PAIRS, SCORES, -SCORES) == pytest.approx((-1 - 1 + 1) / 3)


def test_kendall_tau_without_an_order() -> None:
    assert kendall_tau(PAIRS, SCORES, np.zeros(6)) == pytest.approx((0 + 0 + 1) / 3)  # a tie agrees with no order
    assert kendall_tau(PAIRS, np.ones(6), np.zeros(6)) == 1


def test_top_overlap_by_hand() -> None:
    assert top_overlap(PAIRS, SCORES, OTHERS, 1) == 1
    assert top_overlap(PAIRS, SCORES, OTHERS, 2) == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert top_overlap(PAIRS, SCORES, OTHERS, 3) == 1  # there are no more documents

"""ranker.training.loss, by hand and against transformers'."""

from math import exp, log

import pytest
import torch

from ranker.training.loss import cross_entropy


def test_cross_entropy_by_hand() -> None:
    """Logits 0 and log 3: probabilities 1/4 and 3/4; targets 1, and 2/5."""
    logits = torch.tensor([[0.0, log(3)], [0.0, log(3)]])
    expected = -(log(3 / 4) + (2 / 5 * log(3 / 4) + 3 / 5 * log(1 / 4))) / 2
    assert cross_entropy(logits, torch.tensor([1.0, 0.4])).item() == pytest.approx(expected)


def test_cross_entropy_of_labels_is_that_of_classes() -> None:
    random = torch.Generator().manual_seed(1)
    logits, labels = torch.randn(50, 2, generator=random), torch.randint(0, 2, (50,), generator=random)
    expected = torch.nn.functional.cross_entropy(logits, labels)
    assert cross_entropy(logits, labels.float()).item() == pytest.approx(expected.item())


def test_cross_entropy_is_in_fp32_for_logits_of_any_type() -> None:
    logits = torch.tensor([[0.0, 4.0]], dtype=torch.bfloat16)
    found = cross_entropy(logits, torch.tensor([1.0]))
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(log(1 + exp(-4)), rel=1e-5)

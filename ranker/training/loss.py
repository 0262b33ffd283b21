"""The training loss."""

import torch
from torch import nn

from ranker.contract.layout import NOT_RELEVANT, RELEVANT


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy (nats) of logits [pairs, 2] against targets, probabilities of relevance [pairs].

    For targets of 0 and 1 it equals transformers' loss.
    """
    columns = {NOT_RELEVANT: 1 - targets, RELEVANT: targets}
    classes = torch.stack([columns[column] for column in sorted(columns)], dim=1)
    return nn.functional.cross_entropy(logits.float(), classes)

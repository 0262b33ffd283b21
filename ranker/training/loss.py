"""The training losses of cross-encoder and retriever."""

import torch
from torch import nn

from ranker.contract.layout import NOT_RELEVANT, RELEVANT
from ranker.training.batches import UNJUDGED

SHARPNESS = 20.0  # of the cosines in `order_loss`: CoSENT's default in sentence-transformers
ORDER_WEIGHT = 0.1  # of `order_loss`, beside the cross-entropy of the judged cells


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy (nats) of logits [pairs, 2] against targets, probabilities of relevance [pairs].

    For targets of 0 and 1 it equals transformers' loss.
    """
    columns = {NOT_RELEVANT: 1 - targets, RELEVANT: targets}
    classes = torch.stack([columns[column] for column in sorted(columns)], dim=1)
    return nn.functional.cross_entropy(logits.float(), classes)


def order_loss(cosines: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """CoSENT: log(1 + the sum of exp(SHARPNESS * (cosine of j - cosine of i)) over all i with a higher target than j).

    `cosines` and `targets` are float32 [queries, documents]; UNJUDGED counts as 0,
    because a random document is hardly ever relevant. Cells of different queries are
    compared, too. 0 if all targets are equal. Su, CoSENT, 2022; sentence-transformers' CoSENTLoss.
    """
    values, known = SHARPNESS * cosines.float().flatten(), targets.clamp(min=0).flatten()
    differences = (values[None, :] - values[:, None])[known[:, None] > known[None, :]]
    return torch.logsumexp(torch.cat([differences.new_zeros(1), differences]), dim=0)


def retrieval_loss(
    cosines: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy (nats) of the judged cells, plus ORDER_WEIGHT times `order_loss` of all cells.

    `cosines` and `targets` are float32 [queries, documents]; the probability of relevance is sigmoid(scale * cosine +
    offset).
    """
    judged = targets > UNJUDGED
    logits = scale * cosines.float()[judged] + offset
    cross_entropy = nn.functional.binary_cross_entropy_with_logits(logits, targets[judged])
    return cross_entropy + ORDER_WEIGHT * order_loss(cosines, targets)

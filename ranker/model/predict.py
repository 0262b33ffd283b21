"""Score pairs with the cross-encoder in PyTorch: sorted batches, the encoder in bf16 where asked, the head in fp32."""

import copy
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch import nn
from tqdm import tqdm
from transformers import BertForSequenceClassification

from ranker.common.errors import InputError
from ranker.contract.batching import scoring_batches
from ranker.contract.layout import relevance
from ranker.model.dataset import EncodedPairs


@torch.inference_mode()
def pooled_outputs(
    model: BertForSequenceClassification, pairs: EncodedPairs, tokens: int, precision: Literal["bf16", "fp32"]
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """The pooler's output in evaluation mode, batch by batch of at most `tokens` tokens.

    Yields row numbers and float32 [rows, hidden size]. The encoder runs in `precision`; the pooler in fp32, for of
    equal scores, which bf16's eight bits would give, no order can be made.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = copy.deepcopy(model.bert).eval().to(device)
    pooler, encoder.pooler = encoder.pooler, None
    encoder.to(torch.bfloat16 if precision == "bf16" else torch.float32)
    for rows in tqdm(scoring_batches(pairs.lengths, tokens), desc="score", unit="batch", disable=None):
        inputs = {name: torch.from_numpy(array).to(device) for name, array in pairs.inputs(rows).items()}
        yield rows, pooler(encoder(**inputs).last_hidden_state.float()).cpu()


def score(
    model: BertForSequenceClassification,
    pairs: EncodedPairs,
    tokens: int,
    precision: Literal["bf16", "fp32"] = "fp32",
) -> np.ndarray:
    """Logit 1 - logit 0, float32 [pairs], in the order given; InputError if one is not finite."""
    scores = np.empty(len(pairs), np.float32)
    for rows, pooled in pooled_outputs(model, pairs, tokens, precision):
        scores[rows] = score_pooled(model.classifier, pooled)
    return scores


@torch.inference_mode()
def score_pooled(classifier: nn.Linear, pooled: torch.Tensor) -> np.ndarray:
    """Logit 1 - logit 0, float32 [pairs], of pooled outputs, float32 [pairs, hidden size]; InputError as in `score`."""
    scores = relevance(classifier(pooled.to(classifier.weight.device)).cpu().numpy())
    if not np.isfinite(scores).all():
        raise InputError("training diverged: expected finite logits, found NaN or infinity; lower learning_rate")
    return scores

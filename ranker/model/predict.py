"""Score pairs in PyTorch: batches sorted by length, the encoder in bf16 or fp32, the head in fp32."""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, cast

import numpy as np
import torch
from torch import nn
from tqdm import tqdm
from transformers import BertForSequenceClassification

from ranker.common.errors import InputError
from ranker.contract.batching import TOKENS, scoring_batches
from ranker.contract.layout import relevance
from ranker.model.cross_encoder import CrossEncoder
from ranker.model.dataset import EncodedPairs
from ranker.model.segment_cosine import BertForSegmentCosine

Head = Callable[[torch.Tensor, dict[str, torch.Tensor]], torch.Tensor]  # (last layer's states, inputs) -> rows


@torch.inference_mode()
def outputs(
    model: CrossEncoder, pairs: EncodedPairs, tokens: int, precision: Literal["bf16", "fp32"], head: Head
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Apply `head` to the encoder's states, in evaluation mode and batches of at most `tokens` tokens.

    Yields row numbers and a tensor [rows, ...]. The encoder runs in `precision`, the head in fp32: bf16 has eight
    significant bits, and would tie scores that must be ordered.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = copy.deepcopy(model.bert).eval().to(device)
    encoder.pooler = None
    encoder.to(torch.bfloat16 if precision == "bf16" else torch.float32)
    for rows in tqdm(scoring_batches(pairs.lengths, tokens), desc="score", unit="batch", disable=None):
        inputs = {name: torch.from_numpy(array).to(device) for name, array in pairs.inputs(rows).items()}
        yield rows, head(encoder(**inputs).last_hidden_state.float(), inputs).cpu()


def score(
    model: CrossEncoder,
    pairs: EncodedPairs,
    tokens: int = TOKENS,
    precision: Literal["bf16", "fp32"] = "fp32",
) -> np.ndarray:
    """Logit 1 - logit 0, float32 [pairs], in input order; InputError if one is not finite."""
    found = np.empty((len(pairs), 2), np.float32)
    for rows, logits in outputs(model, pairs, tokens, precision, partial(_logits, model)):
        found[rows] = logits.numpy()
    return _checked(relevance(found))


def _logits(model: CrossEncoder, states: torch.Tensor, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    if isinstance(model, BertForSegmentCosine):
        return model.head(states, inputs["token_type_ids"], inputs["attention_mask"])
    return model.classifier(pooled(model, states, inputs))


def pooled(model: BertForSequenceClassification, states: torch.Tensor, _: dict[str, torch.Tensor]) -> torch.Tensor:
    """The pooler's output, float32 [rows, hidden size]: the classifier's input."""
    return cast(nn.Module, model.bert.pooler)(states)


@torch.inference_mode()
def score_features(model: BertForSequenceClassification, features: np.ndarray) -> np.ndarray:
    """Logit 1 - logit 0, float32 [pairs], of features, float16 [pairs, hidden size]; InputError as in `score`."""
    pooled = torch.from_numpy(features).float().to(model.classifier.weight.device)
    return _checked(relevance(model.classifier(pooled).cpu().numpy()))


def _checked(scores: np.ndarray) -> np.ndarray:
    if not np.isfinite(scores).all():
        raise InputError("training diverged: expected finite logits, found NaN or infinity; lower learning_rate")
    return scores

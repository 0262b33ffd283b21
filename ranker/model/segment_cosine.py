"""A cross-encoder that ranks like the base model's cosine before it is trained: the cosine of its segments' means.

    score = scale · cos(mean over [CLS] query [SEP], mean over document [SEP]) + offset

of the last layer's states. A sentence encoder's states give such a mean its meaning, so that training starts from what
costs nothing instead of from a head drawn at random. Attention and positions are plain BERT's.
"""

from typing import Any

import torch
from torch import nn
from transformers import BertConfig, BertModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.models.bert.modeling_bert import BertPreTrainedModel

SCALE = 8.0  # at first; cosines of unrelated and of equal texts then have probabilities of 0.02 and 0.98
OFFSET = -4.0
PACE = 20.0  # times the learning rate: how much faster these two move than weights, of which each is one of millions


class SegmentCosineConfig(BertConfig):
    """BERT's, of a model type that no other library knows: as `bert`, they would put a random head over the weights."""

    model_type = "cord19_ranker_segment_cosine"


class BertForSegmentCosine(BertPreTrainedModel):
    """BERT without a pooler, and two numbers; its config and safetensors are loaded by `from_pretrained`."""

    config_class = SegmentCosineConfig

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.scale = nn.Parameter(torch.tensor(SCALE / PACE))
        self.offset = nn.Parameter(torch.tensor(OFFSET / PACE))
        self.post_init()

    def forward(
        self, input_ids: torch.Tensor, token_type_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any
    ) -> SequenceClassifierOutput:
        """Logits, float32 [pairs, 2], whose difference is the score; inputs are those of the contract."""
        states = self.bert(input_ids=input_ids, token_type_ids=token_type_ids, attention_mask=attention_mask)
        return SequenceClassifierOutput(logits=self.head(states.last_hidden_state, token_type_ids, attention_mask))

    def head(self, states: torch.Tensor, token_type_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Logits of the last layer's states [pairs, tokens, hidden size]; in fp32, whatever these are in."""
        document = attention_mask * token_type_ids
        return self.logits(mean(states, attention_mask - document), mean(states, document))

    def logits(self, queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
        """Logits of two vectors of each pair, float32 [pairs, hidden size]."""
        half = PACE / 2 * (self.scale * cosine(queries, documents) + self.offset)
        return torch.stack([-half, half], dim=1)


def mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean of the states where the mask is 1, float32 [pairs, hidden size].

    By products and sums, not by a matrix product, which autocast would compute in bf16.
    """
    weights = mask.unsqueeze(-1).float()
    return (states.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Cosines of rows, float32 [rows]."""
    return (a * b).sum(dim=1) / (a.square().sum(dim=1) * b.square().sum(dim=1)).sqrt().clamp(min=1e-12)


class BertForBiEncoder(BertForSegmentCosine):
    """The same without attention between query and document, each behind a [CLS] of its own: the base model's cosine.

    What a search engine can serve at a hundredth of a cross-encoder's cost: a cross-encoder has to beat it.
    """

    def forward(
        self, input_ids: torch.Tensor, token_type_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any
    ) -> SequenceClassifierOutput:
        """The same of each text alone, taken out of the laid out pair."""
        query_mask = attention_mask * (1 - token_type_ids)
        document_ids, document_mask = own_document(input_ids, token_type_ids, attention_mask)
        vectors = []
        for ids, mask in ((input_ids, query_mask), (document_ids, document_mask)):
            longest = int(mask.sum(dim=1).max())
            ids, mask = ids[:, :longest], mask[:, :longest]
            vectors.append(mean(self.bert(input_ids=ids, attention_mask=mask).last_hidden_state, mask))
        return SequenceClassifierOutput(logits=self.logits(*vectors))


def own_document(
    input_ids: torch.Tensor, token_type_ids: torch.Tensor, attention_mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """`[CLS] document [SEP]` of each laid out pair, and its mask: int64 [pairs, tokens] each.

    >>> ids = torch.tensor([[101, 7, 102, 8, 9, 102, 0]])
    >>> own_document(ids, torch.tensor([[0, 0, 0, 1, 1, 1, 0]]), torch.tensor([[1, 1, 1, 1, 1, 1, 0]]))[0].tolist()
    [[101, 8, 9, 102, 0, 0, 0]]
    """
    before = (attention_mask * (1 - token_type_ids)).sum(dim=1, keepdim=True)
    end = attention_mask.sum(dim=1, keepdim=True)
    places = torch.arange(input_ids.shape[1], device=input_ids.device).unsqueeze(0)
    mask = (places <= end - before).long()
    ids = input_ids.gather(1, (before - 1 + places).clamp(max=input_ids.shape[1] - 1)) * mask
    return torch.cat([input_ids[:, :1], ids[:, 1:]], dim=1), mask

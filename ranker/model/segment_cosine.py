"""A cross-encoder that scores by its segments' cosine, and so ranks like the base model before training.

    score = scale · cos(mean over [CLS] query [SEP], mean over document [SEP]) + offset

Both means are over the last layer's states. A sentence encoder was trained to make such means comparable, so training
starts from its ranking and needs no random head. Attention and positions are plain BERT's.
"""

from typing import Any

import torch
from torch import nn
from transformers import BertConfig, BertModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.models.bert.modeling_bert import BertPreTrainedModel

SCALE = 8.0  # initial; unrelated and equal texts then have probabilities of 0.02 and 0.98
OFFSET = -4.0
PACE = 20.0  # times the learning rate: two numbers must move faster than millions of weights


class SegmentCosineConfig(BertConfig):
    """BERT's config under a model type of our own, because libraries would give a `bert` a random head."""

    model_type = "cord19_ranker_segment_cosine"


class BertForSegmentCosine(BertPreTrainedModel):
    """BERT without a pooler, with a scale and an offset; `from_pretrained` loads it."""

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
        """Logits, float32 [pairs, 2], whose difference is the score, of the contract's inputs."""
        states = self.bert(input_ids=input_ids, token_type_ids=token_type_ids, attention_mask=attention_mask)
        return SequenceClassifierOutput(logits=self.head(states.last_hidden_state, token_type_ids, attention_mask))

    def head(self, states: torch.Tensor, token_type_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """fp32 logits [pairs, 2] of the last layer's states [pairs, tokens, hidden size]."""
        document = attention_mask * token_type_ids
        return self.logits(mean(states, attention_mask - document), mean(states, document))

    def logits(self, queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
        """Logits, float32 [pairs, 2], of query and document vectors, float32 [pairs, hidden size]."""
        half = PACE / 2 * (self.scale * cosine(queries, documents) + self.offset)
        return torch.stack([-half, half], dim=1)


def mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean of the states where the mask is 1, float32 [pairs, hidden size].

    Uses products and sums, because autocast would compute a matrix product in bf16.
    """
    weights = mask.unsqueeze(-1).float()
    return (states.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Cosines of rows, float32 [rows]."""
    return (a * b).sum(dim=1) / (a.square().sum(dim=1) * b.square().sum(dim=1)).sqrt().clamp(min=1e-12)


class BertForBiEncoder(BertForSegmentCosine):
    """The same score without attention between query and document, each behind its own [CLS].

    A search engine serves it at a hundredth of a cross-encoder's cost, so a cross-encoder must beat it.
    """

    def forward(
        self, input_ids: torch.Tensor, token_type_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any
    ) -> SequenceClassifierOutput:
        """Logits, float32 [pairs, 2]; encodes each text of the laid-out pair on its own."""
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
    """`[CLS] document [SEP]` of each laid-out pair, and its mask: int64 [pairs, tokens] each.

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

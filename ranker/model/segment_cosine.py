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
    """The same weights as a retriever: each text behind its own [CLS], without attention between query and document.

    A search engine serves it at a hundredth of a cross-encoder's cost, so a cross-encoder must add to it.
    """

    def forward(  # type: ignore[override]
        self,
        query_ids: torch.Tensor,
        query_mask: torch.Tensor,
        document_ids: torch.Tensor,
        document_mask: torch.Tensor,
        **_: Any,
    ) -> torch.Tensor:
        """Cosine of each query with each document, float32 [queries, documents]; inputs are int64 [texts, tokens]."""
        queries, documents = self.vectors(query_ids, query_mask), self.vectors(document_ids, document_mask)
        return (queries[:, None] * documents[None]).sum(dim=2)  # no matrix product, as in `mean`

    def vectors(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Unit vectors, float32 [texts, hidden size]."""
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return nn.functional.normalize(mean(states, attention_mask), dim=1)

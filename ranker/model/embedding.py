"""Embed texts with the base model as it came: the mean of its last layer over a text's tokens, scaled to length 1."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ranker.contract.batching import MULTIPLE, scoring_batches
from ranker.contract.layout import TokenIds
from ranker.contract.tokens import special_ids
from ranker.model.cross_encoder import load_base_model

TOKENS = 2048  # a batch, padding included


class Embedder:
    """The base model in a folder, in fp32, cut to as many of a text's tokens as it has positions."""

    def __init__(self, folder: Path) -> None:
        self.model, self.ids = load_base_model(folder).eval(), special_ids(folder)
        self.positions = self.model.config.max_position_embeddings

    def __call__(self, texts: Sequence[TokenIds]) -> np.ndarray:
        """Embeddings, float32 [texts, hidden size], of token ids without special tokens, in the order given."""
        embeddings = np.empty((len(texts), self.model.config.hidden_size), dtype=np.float32)
        lengths = np.array([len(text) + 2 for text in texts], dtype=np.int64).clip(max=self.positions)
        batches = scoring_batches(lengths, TOKENS)
        for rows in tqdm(batches, desc="embed", unit="batch", disable=None):
            embeddings[rows] = self._embed([texts[i][: self.positions - 2] for i in rows])
        return embeddings

    @torch.inference_mode()
    def _embed(self, texts: Sequence[TokenIds]) -> np.ndarray:
        """[CLS] text [SEP], as sentence-transformers lays it out; both count in the mean."""
        length = min(-(-(max(map(len, texts)) + 2) // MULTIPLE) * MULTIPLE, self.positions)
        input_ids = np.full((len(texts), length), self.ids["pad_id"], dtype=np.int64)
        attention_mask = np.zeros((len(texts), length), dtype=np.int64)
        for row, text in enumerate(texts):
            input_ids[row, : len(text) + 2] = [self.ids["cls_id"], *text, self.ids["sep_id"]]
            attention_mask[row, : len(text) + 2] = 1
        mask = torch.from_numpy(attention_mask)
        states = self.model(input_ids=torch.from_numpy(input_ids), attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        means = (states * weights).sum(dim=1) / weights.sum(dim=1)
        return torch.nn.functional.normalize(means, dim=1).numpy()

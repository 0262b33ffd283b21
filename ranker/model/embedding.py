"""Embed texts with the base model as it came, pooled as its own files say, scaled to length 1."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from tqdm import tqdm

from ranker.common.files import read_json
from ranker.contract.batching import MULTIPLE, TOKENS, scoring_batches
from ranker.contract.layout import TokenIds
from ranker.contract.tokens import load_tokenizer, special_ids, tokenize
from ranker.model.cross_encoder import load_base_model
from ranker.project.paths import SENTENCE_ENCODER_FILE


class Embedder:
    """The base model in a folder that stage base_model wrote, in fp32.

    Vectors are those of sentence-transformers on the model's own folder: its pooling, its prompts for queries and
    documents, its longest text.
    """

    def __init__(self, folder: Path) -> None:
        self.model = load_base_model(folder).eval()
        self.ids = special_ids(folder)
        self.settings = read_json(folder / SENTENCE_ENCODER_FILE)
        positions = self.model.config.max_position_embeddings
        self.longest = min(positions, self.settings["max_length"] or positions)
        texts = [self.settings["query_prompt"], self.settings["document_prompt"]]
        self.prompts = dict(zip(("query", "document"), tokenize(load_tokenizer(folder), texts), strict=True))

    def __call__(self, texts: Sequence[TokenIds], side: Literal["query", "document"]) -> np.ndarray:
        """Embeddings, float32 [texts, hidden size], of token ids without special tokens, in the order given."""
        embeddings = np.empty((len(texts), self.model.config.hidden_size), dtype=np.float32)
        prompt = self.prompts[side]
        lengths = np.array([len(prompt) + len(text) + 2 for text in texts], dtype=np.int64).clip(max=self.longest)
        batches = scoring_batches(lengths, TOKENS)
        for rows in tqdm(batches, desc="embed", unit="batch", disable=None):
            cut = [[*prompt, *texts[i]][: self.longest - 2] for i in rows]
            embeddings[rows] = self._embed(cut, len(prompt))
        return embeddings

    @torch.inference_mode()
    def _embed(self, texts: Sequence[TokenIds], prompt: int) -> np.ndarray:
        """[CLS] text [SEP], as sentence-transformers lays it out; both count where tokens are pooled."""
        length = min(-(-(max(map(len, texts)) + 2) // MULTIPLE) * MULTIPLE, self.model.config.max_position_embeddings)
        input_ids = np.full((len(texts), length), self.ids["pad_id"], dtype=np.int64)
        attention_mask = np.zeros((len(texts), length), dtype=np.int64)
        for row, text in enumerate(texts):
            input_ids[row, : len(text) + 2] = [self.ids["cls_id"], *text, self.ids["sep_id"]]
            attention_mask[row, : len(text) + 2] = 1
        mask = torch.from_numpy(attention_mask)
        states = self.model(input_ids=torch.from_numpy(input_ids), attention_mask=mask).last_hidden_state
        if prompt and not self.settings["include_prompt"]:
            mask[:, : prompt + 1] = 0  # [CLS] with it, as sentence-transformers has it
        return torch.nn.functional.normalize(self._pool(states, mask.unsqueeze(-1)), dim=1).numpy()

    def _pool(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """One vector for each text, float32 [texts, hidden size], of float32 [texts, tokens, hidden size]."""
        if self.settings["pooling"] == "cls":  # or what comes first after a prompt that is not pooled
            return states[torch.arange(len(states)), mask[:, :, 0].argmax(dim=1)]
        if self.settings["pooling"] == "max":
            return states.masked_fill(mask == 0, -torch.inf).amax(dim=1)
        weights = mask.to(states.dtype)
        return (states * weights).sum(dim=1) / weights.sum(dim=1)

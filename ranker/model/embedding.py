"""Embed texts with the untrained base model, pooled as its own files say, at unit length."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from tqdm import tqdm

from ranker.common.files import read_json
from ranker.contract.batching import MULTIPLE, TOKENS, scoring_batches
from ranker.contract.embedding import TextLayout, lay_out_texts
from ranker.contract.layout import TokenIds, token_counts
from ranker.contract.tokens import load_tokenizer, special_ids, tokenize
from ranker.model.cross_encoder import load_base_model
from ranker.project.paths import SENTENCE_ENCODER_FILE


class Embedder:
    """A folder of stage base_model as an embedding model, in fp32.

    Gives the vectors of sentence-transformers: uses the model's own pooling, query and document prompts, and maximum
    length.
    """

    def __init__(self, folder: Path) -> None:
        self.model = load_base_model(folder).eval()
        self.settings = read_json(folder / SENTENCE_ENCODER_FILE)
        positions = self.model.config.max_position_embeddings
        self.layout = TextLayout(min(positions, self.settings["max_length"] or positions), **special_ids(folder))
        texts = [self.settings["query_prompt"], self.settings["document_prompt"]]
        self.prompts = dict(zip(("query", "document"), tokenize(load_tokenizer(folder), texts), strict=True))

    def __call__(self, texts: Sequence[TokenIds], side: Literal["query", "document"]) -> np.ndarray:
        """Embed token ids without special tokens: float32 [texts, hidden size], in input order."""
        embeddings = np.empty((len(texts), self.model.config.hidden_size), dtype=np.float32)
        prompt = self.prompts[side]
        lengths = np.minimum(len(prompt) + token_counts(texts), self.layout.max_tokens) + 2
        batches = scoring_batches(lengths, TOKENS)
        for rows in tqdm(batches, desc="embed", unit="batch", disable=None):
            embeddings[rows] = self._embed([[*prompt, *texts[i]] for i in rows], len(prompt))
        return embeddings

    @torch.inference_mode()
    def _embed(self, texts: Sequence[TokenIds], prompt: int) -> np.ndarray:
        """Embed [CLS] text [SEP]. Pooling includes both special tokens, as in sentence-transformers."""
        inputs = lay_out_texts(self.layout, texts, multiple_of=MULTIPLE)
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        states, mask = self.model(**tensors).last_hidden_state, tensors["attention_mask"]
        if prompt and not self.settings["include_prompt"]:
            mask[:, : prompt + 1] = 0  # sentence-transformers masks [CLS] with the prompt
        return torch.nn.functional.normalize(self._pool(states, mask.unsqueeze(-1)), dim=1).numpy()

    def _pool(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pool float32 [texts, tokens, hidden size] to float32 [texts, hidden size]."""
        if self.settings["pooling"] == "cls":  # the first unmasked token: after a prompt, its successor
            return states[torch.arange(len(states)), mask[:, :, 0].argmax(dim=1)]
        if self.settings["pooling"] == "max":
            return states.masked_fill(mask == 0, -torch.inf).amax(dim=1)
        weights = mask.to(states.dtype)
        return (states * weights).sum(dim=1) / weights.sum(dim=1)

"""ranker.model.embedding, against transformers, one text at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertModel

from ranker.model.embedding import Embedder


def test_embedder_gives_the_mean_of_the_last_layer(base_model: Path) -> None:
    """By transformers alone, without padding, and cut to the model's positions."""
    texts = [[7, 8, 9], [], list(range(10, 60)), list(range(5, 400))]
    found = Embedder(base_model)(texts)
    model = BertModel.from_pretrained(base_model).eval()
    for embedding, text in zip(found, texts, strict=True):
        ids = torch.tensor([[2, *text[:158], 3]])  # the tiny model has 160 positions
        with torch.inference_mode():
            mean = model(input_ids=ids).last_hidden_state[0].mean(dim=0).numpy()
        assert embedding == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)

"""ranker.model.embedding against transformers, one text at a time; test_sentence_encoder.py has other libraries."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertModel

from ranker.common.files import write_json
from ranker.model.embedding import Embedder
from ranker.project.paths import SENTENCE_ENCODER_FILE

TEXTS = [[7, 8, 9], [], list(range(10, 60)), list(range(5, 400))]


def states(folder: Path, tokens: list[int]) -> np.ndarray:
    """The last layer's states of [CLS] tokens [SEP], by transformers alone, without padding."""
    model = BertModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        return model(input_ids=torch.tensor([[2, *tokens, 3]])).last_hidden_state[0].numpy()


def test_embedder_gives_the_mean_of_the_last_layer(fetched_model: Path) -> None:
    """Texts are cut to the model's 160 positions; vectors have length 1."""
    embed = Embedder(fetched_model)
    assert np.array_equal(embed(TEXTS, "query"), embed(TEXTS, "document"))
    for embedding, text in zip(embed(TEXTS, "query"), TEXTS, strict=True):
        mean = states(fetched_model, text[:158]).mean(axis=0)
        assert embedding == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
@pytest.mark.parametrize("include_prompt", [True, False])
def test_embedder_follows_the_folders_settings(
    fetched_model: Path, tmp_path: Path, pooling: str, include_prompt: bool
) -> None:
    """A prompt stands before queries only; if the prompt is excluded from pooling, so is [CLS]."""
    folder = Path(shutil.copytree(fetched_model, tmp_path / "model"))
    file = folder / SENTENCE_ENCODER_FILE
    settings = {"pooling": pooling, "include_prompt": include_prompt, "query_prompt": "masks in", "max_length": 20}
    write_json(file, json.loads(file.read_text()) | settings)
    embed = Embedder(folder)
    prompt = embed.prompts["query"]
    assert len(prompt) >= 2
    for side, before in (("query", prompt), ("document", [])):
        for embedding, text in zip(embed(TEXTS, side), TEXTS, strict=True):  # type: ignore[arg-type]
            found = states(folder, [*before, *text][:18])
            pooled = found[0 if include_prompt or not before else len(before) + 1 :]
            expected = {"cls": pooled[0], "mean": pooled.mean(axis=0), "max": pooled.max(axis=0)}[pooling]
            assert embedding == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)

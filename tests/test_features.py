"""ranker.model.features: the encoder's output inside the model, stored in half precision."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification

from ranker.model import features as features_module
from ranker.model.cross_encoder import new_classifier
from ranker.model.features import features, write_features
from tests.factories import TRAIN, make_pairs


@pytest.fixture(scope="module")
def model(base_model: Path) -> BertForSequenceClassification:
    return new_classifier(base_model, TRAIN.seed).eval()


def test_features_are_the_poolers_output(model: BertForSequenceClassification) -> None:
    """transformers gets one pair at a time, without padding."""
    pairs = make_pairs(3)
    found = features(model, pairs, "fp32")
    assert found.dtype == np.float16
    assert found.shape == (30, 32)
    for row in range(30):
        inputs = {name: torch.from_numpy(array) for name, array in pairs.inputs([row], int(pairs.lengths[row])).items()}
        with torch.inference_mode():
            expected = model.bert(**inputs).pooler_output[0].numpy()
        assert found[row] == pytest.approx(expected, abs=6e-4)


def test_features_in_bf16_are_nearly_those_in_fp32(model: BertForSequenceClassification) -> None:
    """The tiny model's weights are large, and so are its rounding errors."""
    exact, rounded = (features(model, make_pairs(3), precision).astype(float) for precision in ("fp32", "bf16"))
    assert 0 < np.abs(exact - rounded).max() < 0.3
    assert np.corrcoef(exact.ravel(), rounded.ravel())[0, 1] > 0.99


def test_write_features_gives_the_same_in_parts_of_any_size(
    model: BertForSequenceClassification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = make_pairs(5)
    for part in (2**16, 7):
        monkeypatch.setattr(features_module, "PART", part)
        write_features(tmp_path / "pooled.npy", model, pairs, "fp32")
        found = np.load(tmp_path / "pooled.npy")
        assert found.dtype == np.float16
        assert found.astype(float) == pytest.approx(features(model, pairs, "fp32").astype(float), abs=1e-3)

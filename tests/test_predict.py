"""ranker.model.predict: scores in the order given, equal to those of single pairs, in either precision."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from ranker.metrics.ranking import ranking_measures
from ranker.model.cross_encoder import load_checkpoint, new_classifier
from ranker.model.predict import score
from ranker.training.trainer import collator, fine_tune
from tests.factories import LAYOUT, TRAIN, make_data, make_pairs


def test_score_is_that_of_single_pairs(base_model: Path) -> None:
    model, pairs = new_classifier(base_model, 7).eval(), make_pairs(3)
    together = score(model, pairs, 256)
    assert together.shape == (30,)
    assert together.dtype == np.float32
    for row in range(30):
        one = collator(LAYOUT)([pairs[row]])
        del one["labels"]
        logits = model(**one).logits[0]
        assert together[row] == pytest.approx((logits[1] - logits[0]).item(), abs=1e-5)


def test_score_in_bf16_ranks_as_in_fp32(base_model: Path) -> None:
    """nDCG@10 and Kendall's tau of a model trained on learnable pairs; all scores differ."""
    model = new_classifier(base_model, TRAIN.seed)
    fine_tune(model, make_pairs(20), TRAIN.model_copy(update={"epochs": 8}))
    frame, pairs = make_data(20, seed=2)
    exact, rounded = score(model, pairs, 256, "fp32"), score(model, pairs, 256, "bf16")
    assert not np.array_equal(exact, rounded)
    assert kendalltau(exact, rounded).statistic > 0.95
    assert len(np.unique(rounded)) == len(rounded)
    found = [ranking_measures(frame, scores)["nDCG@10"].mean() for scores in (exact, rounded)]
    assert found[0] == pytest.approx(found[1], abs=0.01)


def test_score_of_a_model_trained_in_bf16_is_in_fp32(base_model: Path, tmp_path: Path) -> None:
    model = new_classifier(base_model, TRAIN.seed)
    fine_tune(model, make_pairs(20), TRAIN.model_copy(update={"precision": "bf16"}))
    model.save_pretrained(tmp_path / "model")
    again = score(load_checkpoint(tmp_path / "model"), make_pairs(3), 256)
    assert score(model, make_pairs(3), 256) == pytest.approx(again, abs=1e-6)

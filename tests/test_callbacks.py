"""ranker.training.callbacks: the progress of a training on a terminal and in a log."""

import sys
from pathlib import Path

import pytest
from transformers import BertForSequenceClassification

from ranker.model.cross_encoder import new_classifier, set_trainable
from ranker.training.callbacks import LINES
from ranker.training.trainer import fine_tune
from tests.factories import TRAIN, make_pairs


@pytest.fixture
def model(base_model: Path) -> BertForSequenceClassification:
    model = new_classifier(base_model, 7)
    set_trainable(model, "head")
    return model


def test_show_progress_in_a_log_is_a_few_lines(
    model: BertForSequenceClassification, capfd: pytest.CaptureFixture[str]
) -> None:
    fine_tune(model, make_pairs(20), TRAIN.model_copy(update={"epochs": 4}))
    printed = capfd.readouterr()
    lines = [line for line in printed.out.splitlines() if line.startswith("training: step ")]
    assert [line.split(":")[1].strip() for line in lines] == [f"step {20 * i} of 100" for i in range(1, LINES + 1)]
    assert all(float(line.rsplit(" ", 1)[1]) > 0 for line in lines)
    assert "{" not in printed.out  # the Trainer prints dictionaries
    assert "it/s" not in printed.err


def test_show_progress_on_a_terminal_is_a_bar(
    model: BertForSequenceClassification, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fine_tune(model, make_pairs(20), TRAIN)
    printed = capfd.readouterr()
    assert "50/50" in printed.err
    assert "loss" not in printed.out + printed.err

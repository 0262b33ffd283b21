"""A training that was stopped goes on from its last checkpoint, and comes to what an undisturbed one comes to."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from transformers import BertForSequenceClassification, TrainerControl, TrainerState, TrainingArguments

from ranker.common.files import sha256
from ranker.model.cross_encoder import new_cross_encoder
from ranker.model.dataset import EncodedPairs, Example
from ranker.training import checkpoints
from ranker.training.callbacks import CheckpointCallback
from ranker.training.checkpoints import UNFINISHED, WHOLE, remove_checkpoints, run_digest
from ranker.training.curves import EvalLogger
from ranker.training.trainer import fine_tune
from tests.test_model import PARAMS, make_data, make_pairs

QUERIES, STEPS = 20, 2 * 25  # ten pairs a query, in batches of 8, twice
EVERY = 10


class Stopped(EncodedPairs):
    """Pairs of which so many can be read before somebody presses Ctrl-C."""

    def __getitem__(self, row: int) -> Example:
        Stopped.left -= 1
        if Stopped.left < 0:
            raise KeyboardInterrupt
        return super().__getitem__(row)

    left = 0


def stopping(pairs: EncodedPairs, after: int) -> Stopped:
    Stopped.left = after * PARAMS.batch_size
    return Stopped(**{field.name: getattr(pairs, field.name) for field in fields(pairs)})


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoints, "EVERY", EVERY)


def train(base_model: Path, pairs: EncodedPairs, curves: Path, **changes: object) -> BertForSequenceClassification:
    model = new_cross_encoder(base_model, seed=3).train()
    logger = EvalLogger(*make_data(4, seed=1), 1, curves)
    fine_tune(model, pairs, PARAMS.model_copy(update=changes), logger, name="train")
    remove_checkpoints("train")  # as stages do, once their outputs are written
    return model


def files(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256(path) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("after", [3, 11, 26, 37, 49])
def test_the_same_weights_and_curves(
    base_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], after: int
) -> None:
    """Stopped in each epoch, before and after checkpoints, and twice over."""
    pairs = make_pairs(QUERIES)
    undisturbed = train(base_model, pairs, tmp_path / "undisturbed")
    assert not (UNFINISHED / "train").exists()
    for more in (after, 1):
        with pytest.raises(KeyboardInterrupt):
            train(base_model, stopping(pairs, more), tmp_path / "curves")
    capsys.readouterr()
    again = train(base_model, pairs, tmp_path / "curves")
    reached = capsys.readouterr().out
    assert ("goes on from" in reached) == (after > EVERY)
    for name, tensor in undisturbed.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert files(tmp_path / "curves") == files(tmp_path / "undisturbed")
    assert not (UNFINISHED / "train").exists()


def test_a_checkpoint_that_was_not_written_to_its_end_is_not_gone_on_from(
    base_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = make_pairs(QUERIES)
    with pytest.raises(KeyboardInterrupt):
        train(base_model, stopping(pairs, 35), tmp_path / "curves")
    checkpoints = sorted((UNFINISHED / "train").glob("*/checkpoint-*"))
    assert [path.name for path in checkpoints] == ["checkpoint-20", "checkpoint-30"]  # two at most
    (checkpoints[1] / WHOLE).unlink()
    train(base_model, pairs, tmp_path / "curves")
    assert "checkpoint-20" in capsys.readouterr().out


def test_another_training_starts_anew(base_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = make_pairs(QUERIES)
    for changed, changes in ((make_pairs(QUERIES, seed=1), {}), (pairs, {"learning_rate": 2e-3}), (pairs, {"seed": 4})):
        with pytest.raises(KeyboardInterrupt):
            train(base_model, stopping(pairs, 25), tmp_path / "curves")
        train(base_model, changed, tmp_path / "curves", **changes)
        assert "goes on from" not in capsys.readouterr().out
        assert not (UNFINISHED / "train").exists()


def test_the_digest_sees_all_that_weights_and_curves_depend_on(base_model: Path, tmp_path: Path) -> None:
    pairs, model = make_pairs(4), new_cross_encoder(base_model, seed=3)
    others = [
        run_digest(new_cross_encoder(base_model, seed=4), pairs, PARAMS),
        run_digest(model, make_pairs(4, seed=1), PARAMS),
        run_digest(model, pairs.take(slice(1, None)), PARAMS),
        run_digest(model, pairs, PARAMS.model_copy(update={"epochs": 3})),
        run_digest(model, pairs, PARAMS, EvalLogger(*make_data(2, seed=1), 1, tmp_path / "a")),
        run_digest(model, pairs, PARAMS, EvalLogger(*make_data(2, seed=2), 1, tmp_path / "b")),
    ]
    model.bert.embeddings.requires_grad_(False)
    others.append(run_digest(model, pairs, PARAMS))
    model.requires_grad_(True)
    model.config.hidden_dropout_prob = 0.2
    others.append(run_digest(model, pairs, PARAMS))
    model.config.hidden_dropout_prob = 0.1
    digest = run_digest(model, pairs, PARAMS)
    assert digest == run_digest(new_cross_encoder(base_model, seed=3), make_pairs(4), PARAMS)
    assert len({digest, *others}) == 9


@pytest.mark.parametrize(
    ("epoch", "kept"), [(25, [10, 20, 30, 40, 60]), (10, []), (20, [10, 30, 50]), (1000, [10, 20, 30, 40, 50, 60])]
)
def test_an_epochs_last_step_is_kept_a_little_later(tmp_path: Path, epoch: int, kept: list[int]) -> None:
    """Steps up to 60, of which every tenth is logged."""
    keeper, control, found = CheckpointCallback(None, epoch), TrainerControl(), []
    for step in range(1, 61):
        keeper.on_step_end(TrainingArguments(str(tmp_path), logging_steps=10), TrainerState(global_step=step), control)
        found += [step] if control.should_save else []
    assert found == kept


def test_where_every_falls_on_the_ends_of_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "EVERY", 200)
    keeper, control, found = CheckpointCallback(None, 100), TrainerControl(), []
    for step in range(1, 1001):
        keeper.on_step_end(TrainingArguments(str(tmp_path), logging_steps=10), TrainerState(global_step=step), control)
        found += [step] if control.should_save else []
    assert found == [210, 410, 610, 810]


def test_without_a_name_nothing_is_kept(base_model: Path) -> None:
    model = new_cross_encoder(base_model, seed=3).train()
    with pytest.raises(KeyboardInterrupt):
        fine_tune(model, stopping(make_pairs(QUERIES), 25), PARAMS)
    assert not UNFINISHED.exists()

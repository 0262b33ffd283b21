"""ranker.training.checkpoints: a training that was interrupted resumes and ends at the uninterrupted one's weights."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from transformers import BertForSequenceClassification

from ranker.common.files import sha256
from ranker.model.cross_encoder import new_classifier
from ranker.model.dataset import EncodedPairs, Example
from ranker.training import checkpoints
from ranker.training.checkpoints import UNFINISHED, WHOLE, open_run, remove_checkpoints, run_digest
from ranker.training.trainer import fine_tune
from tests.factories import TRAIN, make_logger, make_pairs

QUERIES = 16  # ten pairs each: in batches of 8, two epochs of 20 steps
EVERY = 10


class Stopped(EncodedPairs):
    """Pairs that raise KeyboardInterrupt after so many reads, as Ctrl-C does."""

    def __getitem__(self, row: int) -> Example:
        Stopped.left -= 1
        if Stopped.left < 0:
            raise KeyboardInterrupt
        return super().__getitem__(row)

    left = 0


def stopping(pairs: EncodedPairs, after: int) -> Stopped:
    Stopped.left = after * TRAIN.batch_size
    return Stopped(**{field.name: getattr(pairs, field.name) for field in fields(pairs)})


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoints, "EVERY", EVERY)


def train(base_model: Path, pairs: EncodedPairs, curves: Path, **changes: object) -> BertForSequenceClassification:
    model = new_classifier(base_model, seed=3).train()
    fine_tune(model, pairs, TRAIN.model_copy(update=changes), make_logger(4, 1, curves), name="train")
    remove_checkpoints("train")  # as stages do after they have written their outputs
    return model


def files(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256(path) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def undisturbed(
    base_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[BertForSequenceClassification, Path]:
    """An uninterrupted training, and its curves."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return train(base_model, make_pairs(QUERIES), folder / "curves"), folder / "curves"


@pytest.mark.parametrize(("after", "every"), [(3, 10), (15, 10), (26, 10), (39, 10), (28, 20)])
def test_fine_tune_that_was_stopped_comes_to_the_same_weights_and_curves(
    base_model: Path,
    undisturbed: tuple[BertForSequenceClassification, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    after: int,
    every: int,
) -> None:
    """Stops fall in each epoch, before and after checkpoints, and twice; step 20 is an epoch's last."""
    monkeypatch.setattr(checkpoints, "EVERY", every)
    pairs = make_pairs(QUERIES)
    for more in (after, 1):
        with pytest.raises(KeyboardInterrupt):
            train(base_model, stopping(pairs, more), tmp_path / "curves")
    capsys.readouterr()
    again = train(base_model, pairs, tmp_path / "curves")
    reached = capsys.readouterr().out
    assert ("resumes from" in reached) == (after > every)
    for name, tensor in undisturbed[0].state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert files(tmp_path / "curves") == files(undisturbed[1])
    assert not (UNFINISHED / "train").exists()


def test_fine_tune_goes_on_from_the_last_whole_checkpoint(
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


def test_fine_tune_of_another_run_starts_anew(
    base_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(base_model, stopping(make_pairs(QUERIES), 25), tmp_path / "curves")
    train(base_model, make_pairs(QUERIES), tmp_path / "curves", seed=4)
    assert "resumes from" not in capsys.readouterr().out
    assert not (UNFINISHED / "train").exists()


def test_fine_tune_without_a_name_keeps_nothing(base_model: Path) -> None:
    model = new_classifier(base_model, seed=3).train()
    with pytest.raises(KeyboardInterrupt):
        fine_tune(model, stopping(make_pairs(QUERIES), 25), TRAIN)
    assert not UNFINISHED.exists()


def test_open_run_keeps_the_latest_whole_checkpoint_and_no_other_run(tmp_path: Path) -> None:
    own, other = tmp_path / "train/own", tmp_path / "train/other"
    assert open_run(own) is None
    assert own.is_dir()
    for folder, step, whole in ((own, 9, True), (own, 10, True), (own, 100, False), (other, 200, True)):
        (folder / f"checkpoint-{step}").mkdir(parents=True)
        if whole:
            (folder / f"checkpoint-{step}" / WHOLE).touch()
    assert open_run(own) == own / "checkpoint-10"  # by number, not by name
    assert [path.relative_to(tmp_path).as_posix() for path in sorted((tmp_path / "train").rglob("checkpoint-*"))] == [
        "train/own/checkpoint-10"
    ]


def test_run_digest_sees_all_that_weights_and_curves_depend_on(
    base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, pairs, some of them, settings, held-out pairs, trainable modules, config; threads and processes."""
    pairs, model, frozen, dropout, other = make_pairs(4), *(new_classifier(base_model, seed) for seed in (3, 3, 3, 4))
    frozen.bert.embeddings.requires_grad_(False)
    dropout.config.hidden_dropout_prob = 0.2
    usual = run_digest(model, pairs, TRAIN, None)
    assert run_digest(new_classifier(base_model, 3), make_pairs(4), TRAIN, None) == usual
    found = {
        usual,
        *(run_digest(changed, pairs, TRAIN, None) for changed in (frozen, dropout, other)),
        *(run_digest(model, changed, TRAIN, None) for changed in (make_pairs(4, seed=1), pairs.take(slice(1, None)))),
        *(run_digest(model, pairs, TRAIN.model_copy(update=change), None) for change in CHANGES),
        *(run_digest(model, pairs, TRAIN, make_logger(2, seed, tmp_path / str(seed))) for seed in (1, 2)),
    }
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    found.add(run_digest(model, pairs, TRAIN, None))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    found.add(run_digest(model, pairs, TRAIN, None))
    assert len(found) == 1 + 3 + 2 + 2 + 2 + 2


CHANGES: tuple[dict[str, object], ...] = ({"epochs": 3}, {"precision": "bf16"})

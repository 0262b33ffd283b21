"""Training by several processes, as torchrun starts them: the batches and measures of one, one log, one writer."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ranker.common.files import write_json
from ranker.training.batches import shares, skew, training_batches
from tests.conftest import ROOT, Run
from tests.test_model import PARAMS
from tests.train_together import QUERIES

TWO = "torchrun --standalone --nproc-per-node 2"


@pytest.fixture(scope="module")
def base(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base model without dropout, whose random numbers each process draws by itself."""
    folder = Path(shutil.copytree(base_model, tmp_path_factory.mktemp("base") / "model"))
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    return folder


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> dict[str, tuple[Path, str]]:
    """What one process and two of them left, and printed."""
    found = {}
    for name, launcher in (("one", "python"), ("two", TWO)):
        out = tmp_path_factory.mktemp(name)
        found[name] = out, together(run, launcher, base, out).stdout
    return found


def together(
    run: Run, launcher: str, base: Path, out: Path, size: int = PARAMS.batch_size, stop: str = ""
) -> "subprocess.CompletedProcess[str]":
    line = f"{launcher} -m tests.train_together {base} {out} {size} {stop}"
    return run(line, out, check=False, PYTHONPATH=str(ROOT))


def rows(file: Path) -> list[int]:
    return [int(row) for row in file.read_text().split()]


def test_the_same_batches(trained: dict[str, tuple[Path, str]]) -> None:
    size, half = PARAMS.batch_size, PARAMS.batch_size // 2
    one = rows(trained["one"][0] / "0.txt")
    first, second = (rows(trained["two"][0] / f"{number}.txt") for number in (0, 1))
    steps = QUERIES * 10 * PARAMS.epochs // size
    assert len(one) == steps * size
    assert len(first) == len(second) == steps * half
    for step in range(steps):
        together = first[step * half : (step + 1) * half] + second[step * half : (step + 1) * half]
        assert sorted(together) == sorted(one[step * size : (step + 1) * size])


def test_the_same_weights_and_measures_to_rounding(trained: dict[str, tuple[Path, str]]) -> None:
    one, first, second = (
        load_file(trained[name][0] / f"{number}.safetensors") for name, number in (("one", 0), ("two", 0), ("two", 1))
    )
    for name, weights in one.items():
        np.testing.assert_array_equal(first[name], second[name])
        if "key.bias" not in name:  # which moves no attention: its gradient is rounding, and Adam makes steps of it
            np.testing.assert_allclose(first[name], weights, atol=1e-3, err_msg=name)
    measures = [json.loads((out / "curves/metrics.json").read_text()) for out, _ in trained.values()]
    for side in ("eval", "training"):
        for name, value in measures[0][side].items():
            assert measures[1][side][name] == pytest.approx(value, abs=0.01), name


def test_one_of_them_logs_and_says_how_well_they_are_balanced(trained: dict[str, tuple[Path, str]]) -> None:
    alone, together = trained["one"][1], trained["two"][1]
    assert together.count("'train_runtime'") == 1
    assert together.count("{'loss'") == alone.count("{'loss'") > 1
    assert together.count("training: 2 processes; the one with most tokens of a batch has 0.") == 1
    assert "processes" not in alone


def test_shares_are_balanced() -> None:
    """Of real titles' lengths; halves of batches that are sorted by length would not be."""
    lengths = np.random.default_rng(1).poisson(26, 5000) + 3
    batches = training_batches(lengths, 16, seed=1, epoch=0)
    for processes in (1, 2, 4):
        assert 1 <= skew(lengths, batches, processes) < 1.1
        for batch in batches:
            assert sorted(np.concatenate(shares(batch, processes))) == sorted(batch)
    assert skew(lengths, [np.array([0])], 2) == 2  # one row: the other process has none
    assert skew(np.array([8, 8, 16, 16]), [np.array([0, 1, 2, 3])], 2) == 1


@pytest.mark.parametrize("stop", [130])  # pairs that each has read: of 80 an epoch, after a checkpoint
def test_two_that_were_stopped_go_on(
    base: Path, trained: dict[str, tuple[Path, str]], tmp_path: Path, run: Run, stop: int
) -> None:
    assert together(run, TWO, base, tmp_path, stop=str(stop)).returncode != 0
    result = together(run, TWO, base, tmp_path)
    assert result.stdout.count("training: goes on from .unfinished/together/") == 1
    for number in (0, 1):
        undisturbed, again = (rows(folder / f"{number}.txt") for folder in (trained["two"][0], tmp_path))
        assert 0 < len(again) < len(undisturbed)
        assert again == undisturbed[-len(again) :]
    expected, found = (load_file(folder / "0.safetensors") for folder in (trained["two"][0], tmp_path))
    for name, weights in expected.items():
        np.testing.assert_array_equal(found[name], weights)

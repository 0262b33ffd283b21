"""ranker.common.distributed and training by several processes under torchrun: batches and log equal one process's."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ranker.common.distributed import is_main_process, world_size
from ranker.common.files import write_json
from tests.factories import ROOT, TRAIN, Run
from tests.train_together import QUERIES

TWO = "torchrun --standalone --nproc-per-node 2"


def test_world_size_is_what_torchrun_says_and_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert (is_main_process(), world_size()) == (True, 1)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert (is_main_process(), world_size()) == (False, 4)
    monkeypatch.setenv("RANK", "0")
    assert is_main_process()


@pytest.fixture(scope="module")
def base(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base model without dropout, because each process draws its own random numbers."""
    folder = Path(shutil.copytree(base_model, tmp_path_factory.mktemp("base") / "model"))
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    return folder


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> dict[str, tuple[Path, str]]:
    """Output folders and printed lines of one process and of two."""
    found = {}
    for name, launcher in (("one", "python"), ("two", TWO)):
        out = tmp_path_factory.mktemp(name)
        found[name] = out, together(run, launcher, base, out).stdout
    return found


def together(run: Run, launcher: str, base: Path, out: Path, stop: str = "") -> "subprocess.CompletedProcess[str]":
    line = f"{launcher} -m tests.train_together {base} {out} {TRAIN.batch_size} {stop}"
    return run(line, out, check=False, PYTHONPATH=str(ROOT))


def rows(file: Path) -> list[int]:
    return [int(row) for row in file.read_text().split()]


def test_fine_tune_of_two_processes_shares_out_the_same_batches(trained: dict[str, tuple[Path, str]]) -> None:
    size, half = TRAIN.batch_size, TRAIN.batch_size // 2
    one = rows(trained["one"][0] / "0.txt")
    first, second = (rows(trained["two"][0] / f"{number}.txt") for number in (0, 1))
    steps = QUERIES * 10 * TRAIN.epochs // size
    assert len(one) == steps * size
    assert len(first) == len(second) == steps * half
    for step in range(steps):
        together = first[step * half : (step + 1) * half] + second[step * half : (step + 1) * half]
        assert sorted(together) == sorted(one[step * size : (step + 1) * size])


def test_fine_tune_of_two_processes_gives_the_weights_and_measures_of_one(trained: dict[str, tuple[Path, str]]) -> None:
    """Equal within rounding."""
    one, first, second = (
        load_file(trained[name][0] / f"{number}.safetensors") for name, number in (("one", 0), ("two", 0), ("two", 1))
    )
    for name, weights in one.items():
        np.testing.assert_array_equal(first[name], second[name])
        if "key.bias" not in name:  # its gradient is rounding, which Adam turns into steps
            np.testing.assert_allclose(first[name], weights, atol=1e-3, err_msg=name)
    measures = [json.loads((out / "curves/metrics.json").read_text()) for out, _ in trained.values()]
    assert measures[1] == pytest.approx(measures[0], abs=0.01)


def test_fine_tune_of_two_processes_has_one_that_logs(trained: dict[str, tuple[Path, str]]) -> None:
    lines = [[line for line in printed.splitlines() if ": step " in line] for _, printed in trained.values()]
    assert len(lines[0]) > 5
    assert [line.split(":")[1] for line in lines[1]] == [line.split(":")[1] for line in lines[0]]


@pytest.mark.parametrize("stop", [130])  # pairs that each process has read: of 80 an epoch, after a checkpoint
def test_fine_tune_of_two_processes_that_were_stopped_goes_on(
    base: Path, trained: dict[str, tuple[Path, str]], tmp_path: Path, run: Run, stop: int
) -> None:
    assert together(run, TWO, base, tmp_path, str(stop)).returncode != 0
    result = together(run, TWO, base, tmp_path)
    assert result.stdout.count("training: resumes from .unfinished/together/") == 1
    for number in (0, 1):
        undisturbed, again = (rows(folder / f"{number}.txt") for folder in (trained["two"][0], tmp_path))
        assert 0 < len(again) < len(undisturbed)
        assert again == undisturbed[-len(again) :]
    expected, found = (load_file(folder / "0.safetensors") for folder in (trained["two"][0], tmp_path))
    for name, weights in expected.items():
        np.testing.assert_array_equal(found[name], weights)

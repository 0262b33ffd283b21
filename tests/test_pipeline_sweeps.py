"""Sweeps by the README's own commands, with a tiny base model: what runs again, and what does not."""

import contextlib
import json
import os
import re
import time
from pathlib import Path

import psutil

from tests.conftest import Run
from tests.pipeline import ran
from tests.readme import command


def test_a_two_by_two_sweep(clean: Path, run: Run) -> None:
    run(command("dvc exp run --queue"), clean)
    result = run(command("dvc exp run --run-all"), clean)
    stages = ran(result.stdout)
    assert not {"fetch", "join", "encode", "embed", "distil", "split"} & set(stages)
    assert stages.count("features") == 1  # for both heads; the encoder runs once
    assert stages.count("train") == 3  # the fourth is what the workspace has
    shown = run(command("dvc exp show"), clean).stdout
    rows = {tuple(cell.strip() for cell in line.split("|")[-3:-1]) for line in shown.splitlines()}
    assert {(trainable, rate) for trainable in ("head", "all") for rate in ("5e-05", "0.001")} <= rows
    assert not re.findall(r"\|\s*!\s*\|", shown), shown
    kept = run("dvc exp run -S train.trainable=head -S train.learning_rate=0.001 evaluate", clean).stdout
    assert ran(kept) == ["export", "evaluate"]


def test_a_sweep_over_the_head_runs_the_encoder_once(clean: Path, run: Run) -> None:
    found = ran(run(command("dvc exp run train"), clean).stdout)
    assert found in (["features", "train"], ["train"])  # a sweep before may have left features in the cache
    shown = command("dvc metrics show results/train") + " --json"
    before = json.loads(run(shown, clean).stdout)
    others = ("seed=14", "epochs=2", "batch_size=8", "weight_decay=0.1", "warmup_steps=5", "learning_rate=0.003")
    changes = " ".join(f"-S train.{change}" for change in others)
    assert ran(run(f"dvc exp run train {changes}", clean).stdout) == ["train"]
    assert json.loads(run(shown, clean).stdout) != before


def test_sizes_do_not_re_encode(clean: Path, run: Run) -> None:
    result = run("dvc repro --dry", clean)
    assert ran(result.stdout) == []
    params = (clean / "params.yaml").read_text()
    (clean / "params.yaml").write_text(params.replace("query_input_size: 32", "query_input_size: 16"))
    assert ran(run("dvc repro --dry", clean).stdout)[:3] == ["distil", "features", "train"]


TRIALS = int(os.environ.get("TRIALS", "3"))


def kill_a_training(project: Path) -> None:
    """As the kernel does when memory is out: one `stages.train` of the queue's workers, wherever it is."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[1:] == ["-m", "stages.train"] and project in Path(process.cwd()).parents:
                    process.kill()
                    return
        time.sleep(0.05)
    raise AssertionError("no training was seen")


def losses(project: Path, run: Run) -> dict[int, float]:
    """The last held-out loss of each trial that succeeded, by its seed."""
    (baseline,) = [
        rows for rows in json.loads(run("dvc exp show --json", project).stdout) if rows["rev"] != "workspace"
    ]
    found = {}
    for trial in baseline["experiments"] or []:
        data = trial["revs"][0]["data"] or {}
        if "results/train/metrics.json" in data.get("metrics", {}) and trial["revs"][0]["error"] is None:
            seed = data["params"]["params.yaml"]["data"]["train"]["seed"]
            found[seed] = data["metrics"]["results/train/metrics.json"]["data"]["eval"]["loss"]
    return found


def test_a_queue_of_which_one_trial_is_killed(clean: Path, run: Run, tmp_path: Path) -> None:
    """On two workers: the others finish, each as it does by itself, and the killed one can be run again.

    TRIALS=20 for a longer haul.
    """
    run(f"git clone -q . {tmp_path / 'haul'}", clean)
    project, seeds = tmp_path / "haul", list(range(20, 20 + TRIALS))
    run(f"dvc cache dir --local {clean / '.dvc/cache'} && dvc checkout -q dvc.yaml", project)
    run(f"dvc exp run --queue -S train.seed={','.join(map(str, seeds))} train", project)
    run("dvc queue start --jobs 2 > queue.log 2>&1", project)  # workers would hold the pipe
    kill_a_training(project)
    while "Running" in (status := run("dvc queue status", project).stdout) or "Queued" in status:
        time.sleep(1)
    assert (status.count("Success"), status.count("Failed")) == (TRIALS - 1, 1), status
    found = losses(project, run)
    assert len(set(found.values())) == TRIALS - 1
    (killed,) = set(seeds) - set(found)
    alone, seed = tmp_path / "alone", min(found)  # in a place of its own
    run(f"git clone -q . {alone} && cd {alone} && dvc cache dir --local {clean / '.dvc/cache'}", clean)
    run(f"dvc checkout -q dvc.yaml && dvc exp run --force -S train.seed={seed} -s train", alone)
    assert json.loads((alone / "results/train/metrics.json").read_text())["eval"]["loss"] == found[seed]
    run(f"dvc exp run -S train.seed={killed} train", project)
    assert set(losses(project, run)) == set(seeds)

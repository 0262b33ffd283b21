"""More than one process, more than one clone: the README's own commands, with a tiny base model."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ranker.common.files import sole
from ranker.project import paths
from tests.conftest import Run
from tests.pipeline import outputs, ran
from tests.readme import command


def test_two_processes_train_what_one_does(clean: Path, run: Run) -> None:
    before = json.loads((clean / paths.CURVES / "metrics.json").read_text())
    result = run(command("dvc exp run -S 'train.launcher"), clean)
    assert {"distil", "train", "export", "evaluate"} <= set(ran(result.stdout))
    assert result.stdout.count("train: 1285 pairs") == 1  # one of them says it
    assert (
        len(re.findall(r"training: 2 processes; the one with most tokens of a batch has \d\.\d% more", result.stdout))
        == 2
    )
    found = json.loads((clean / paths.CURVES / "metrics.json").read_text())
    for side in ("training", "eval"):
        assert found[side]["loss"] == pytest.approx(before[side]["loss"], abs=0.05)  # dropout falls otherwise
    manifest = json.loads((clean / paths.RANKER / "manifest.json").read_text())
    assert manifest["params"]["train"]["launcher"] == "torchrun --standalone --nproc-per-node 2"


def test_a_process_that_is_killed_stops_the_others(clean: Path) -> None:
    """With a line that says which, and the last good checkpoint as it was."""
    before = outputs(clean)
    params = (clean / "params.yaml").read_text().replace("epochs: 1 ", "epochs: 50 ")
    (clean / "params.yaml").write_text(params)
    both = subprocess.Popen(
        [Path(sys.executable).parent / "torchrun", "--standalone", "--nproc-per-node", "2", "-m", "stages.train"],
        cwd=clean,
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert both.stdout
    while "'loss'" not in both.stdout.readline():
        assert both.poll() is None
    ranks = [child for child in psutil.Process(both.pid).children() if "stages.train" in child.cmdline()]
    assert len(ranks) == 2
    ranks[1].kill()
    printed, _ = both.communicate(timeout=300)
    assert both.returncode == 1
    assert f"Signal {signal.SIGKILL.value} (SIGKILL) received by PID {ranks[1].pid}" in printed
    assert not any(rank.is_running() and rank.status() != psutil.STATUS_ZOMBIE for rank in ranks)
    after = outputs(clean)
    curves = str(paths.CURVES)
    assert {path: digest for path, digest in after.items() if not path.startswith(curves)} == {
        path: digest for path, digest in before.items() if not path.startswith(curves)
    }


def test_two_clones_share_what_they_have_run(clean: Path, run: Run, tmp_path: Path) -> None:
    """Through a DVC remote and Git's: what one has run, the other takes."""
    run(f"git clone -q --bare . {tmp_path / 'origin.git'}", clean)
    folders = [tmp_path / name for name in ("one", "other")]
    lines = [
        command("dvc pull --run-cache"),
        command("dvc exp run --pull"),
        command("dvc push --run-cache"),
        command("dvc exp push"),
    ]
    run(f"dvc remote add --local --default storage {tmp_path / 'storage'} && dvc push -q --run-cache", clean)
    found = []
    for folder in folders:
        run(f"git clone -q {tmp_path / 'origin.git'} {folder}", tmp_path)
        run(f"dvc remote add --local --default storage {tmp_path / 'storage'}", folder)
        found.append([run(line, folder) for line in lines])
    assert ran(found[0][1].stdout) == ["train"]
    assert ran(found[1][1].stdout) == []  # nothing of it was run twice
    measures = [(folder / paths.CURVES / "metrics.json").read_text() for folder in folders]
    assert measures[0] == measures[1]
    listed = run("dvc exp list origin --all-commits --name-only", folders[0]).stdout.split()
    assert listed
    run("dvc config --local --unset core.remote; dvc remote remove --local storage", clean, check=False)


def test_a_search_goes_on_where_it_was_stopped(clean: Path, run: Run) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed: make test installs it (requirements-scale.txt)")
    search = command("python -m sweeps.search").replace("--trials 20", "--trials {}")
    process = subprocess.Popen(
        search.format(3).split(), cwd=clean, env=_path(), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    while "search: 1 of 3" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(4)  # into the second
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    result = run(search.format(2), clean)
    assert "search: 1 of" not in result.stdout
    assert result.stdout.count("search: 2 of 2: nDCG@10 0.") == 1
    assert re.search(r"search: best of 2: nDCG@10 0\.\d+ by \{'train.learning_rate': ", result.stdout)
    assert run(search.format(2), clean).stdout.startswith("search: best of 2")  # nothing is left to do
    run("git diff --exit-code && git check-ignore -q .unfinished/search.journal", clean)
    for option, message in (
        ("--fold 0", "--fold: expected one of 5 folds, but not split.held_out (0), found 0"),
        ("--trials 0", "--trials: expected 1 or more, found 0"),
    ):
        wrong = run(f"python -m sweeps.search {option}", clean, check=False)
        assert (wrong.returncode, wrong.stderr) == (1, f"search: {message}\n")
    with sole(clean / ".unfinished/search.journal"):
        assert "expected no other run that writes it" in run(search.format(2), clean, check=False).stderr
    asked = "python -c 'from sweeps.search import problem; print(problem())'"
    before = run(asked, clean).stdout
    with (clean / "ranker/training/trainer.py").open("a") as file:
        file.write("# changed\n")
    assert run(asked, clean).stdout != before  # code that was not run yet is another search


def _path() -> dict[str, str]:
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

"""Several processes and several clones, by the documents' own commands, with a tiny base model."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from ranker.common.files import exclusive
from ranker.project import paths
from tests.factories import Run, set_params
from tests.pipeline import outputs, ran
from tests.readme import command

ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def losses(project: Path) -> list[float]:
    """Losses on the held-out pairs, before and after training."""
    return pd.read_csv(project / paths.CURVES / "plots/metrics/eval/loss.tsv", sep="\t")["loss"].tolist()


def below(process: subprocess.Popen[str]) -> list[str]:
    """Command lines of all processes below `process`."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [" ".join(child.info["cmdline"] or []) for child in psutil.process_iter(["cmdline"]) if child in children]


def test_dvc_exp_run_of_two_processes_trains_what_one_does(clean: Path, run: Run) -> None:
    """Dropout differs here; test_distributed.py compares weights. It stops after train, as the rest is the same."""
    before = losses(clean)
    result = run(f"""{command("dvc exp run -S 'train.launcher")} train""", clean)
    assert "train" in ran(result.stdout)
    pairs = json.loads((clean / paths.SPLIT_COUNTS).read_text())["training"]["pairs"]
    assert result.stdout.count(f"train: {pairs} pairs") == 1  # one process prints it
    assert losses(clean) == pytest.approx(before, abs=0.05)


def test_torchrun_stops_all_where_one_process_is_killed(clean: Path) -> None:
    """One line names the process, and the last good checkpoint stays unchanged."""
    before = outputs(clean)
    set_params(clean, train__epochs=200)
    both = subprocess.Popen(
        ["torchrun", "--standalone", "--nproc-per-node", "2", "-m", "stages.train"],
        cwd=clean,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert both.stdout
    for line in iter(both.stdout.readline, ""):
        if "held out: log loss" in line:
            break
    assert both.poll() is None
    ranks = [child for child in psutil.Process(both.pid).children() if "stages.train" in child.cmdline()]
    assert len(ranks) == 2
    ranks[1].kill()
    printed, _ = both.communicate(timeout=300)
    assert both.returncode == 1
    assert f"Signal {signal.SIGKILL.value} (SIGKILL) received by PID {ranks[1].pid}" in printed
    assert not any(rank.is_running() and rank.status() != psutil.STATUS_ZOMBIE for rank in ranks)
    after, curves = outputs(clean), str(paths.CURVES)
    assert {path: digest for path, digest in after.items() if not path.startswith(curves)} == {
        path: digest for path, digest in before.items() if not path.startswith(curves)
    }


def test_dvc_remote_gives_one_clone_what_another_has_run(clean: Path, run: Run, tmp_path: Path) -> None:
    """Outputs go through a DVC remote, commits through a Git remote."""
    run(f"git clone -q --bare . {tmp_path / 'origin.git'}", clean)
    folders = [tmp_path / name for name in ("one", "other")]
    lines = [
        command("dvc pull --run-cache"),
        command("dvc exp run --pull"),
        command("dvc push --run-cache"),
        command("dvc exp push"),
    ]
    run(f"mkdir {tmp_path / 'storage'} && cp -r .dvc/cache/files .dvc/cache/runs {tmp_path / 'storage'}", clean)
    found = []
    for folder in folders:
        run(f"git clone -q {tmp_path / 'origin.git'} {folder}", tmp_path)
        run(f"dvc remote add --local --default storage {tmp_path / 'storage'}", folder)
        found.append([run(line, folder) for line in lines])
    assert ran(found[0][1].stdout) == ["train"]
    assert ran(found[1][1].stdout) == []  # every stage ran once only
    measures = [(folder / paths.TRAIN_METRICS).read_text() for folder in folders]
    assert measures[0] == measures[1] != (clean / paths.TRAIN_METRICS).read_text()
    listed = run("dvc exp list origin --all-commits --name-only", folders[0]).stdout.split()
    assert listed


def test_search_goes_on_where_it_was_stopped(clean: Path, run: Run) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed: make test installs it (requirements-scale.txt)")
    search = command("python -m sweeps.search").replace("--trials 20", "--trials {}")
    process = subprocess.Popen(
        search.format(3).split(), cwd=clean, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    for line in iter(process.stdout.readline, ""):
        if "search: 1 of 3" in line:
            break
    # DVC writes the trial's params into the workspace for a moment: once a stage runs, they are only in its copy.
    deadline = time.monotonic() + 600
    while not any("-m stages." in command_line for command_line in below(process)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    result = run(search.format(2), clean)
    assert "search: 1 of" not in result.stdout
    assert result.stdout.count("search: 2 of 2: nDCG@10 0.") == 1
    assert re.search(r"search: best of 2: nDCG@10 0\.\d+ by \{'train.learning_rate': ", result.stdout)
    assert run(search.format(2), clean).stdout.startswith("search: best of 2")  # all trials are done
    run("git diff --exit-code && git check-ignore -q .unfinished/search.journal", clean)


def test_search_names_a_mistake_in_one_line(clean: Path, run: Run) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed: make test installs it (requirements-scale.txt)")
    for option, message in (
        ("--fold 0", "--fold: expected one of 2 folds, but not split.held_out (0), found 0"),
        ("--trials 0", "--trials: expected 1 or more, found 0"),
    ):
        wrong = run(f"python -m sweeps.search {option}", clean, check=False)
        assert (wrong.returncode, wrong.stderr) == (1, f"search: {message}\n")
    (clean / ".unfinished").mkdir(exist_ok=True)
    with exclusive(clean / ".unfinished/search.lock"):
        refused = run(f"{command('python -m sweeps.search')}", clean, check=False).stderr
        assert refused == "search: .unfinished/search.lock: expected no other run that writes here, found one\n"


def test_search_problem_is_another_where_code_has_changed(clean: Path, run: Run) -> None:
    """Code that has not run yet is in no lock."""
    asked = "python -c 'from sweeps.search import problem; print(problem())'"
    before = run(asked, clean).stdout
    assert run(asked, clean).stdout == before
    with (clean / "ranker/training/trainer.py").open("a") as file:
        file.write("# changed\n")
    assert run(asked, clean).stdout != before

"""Faults in the real pipeline: kills, interrupts, a full disk, two runs at once; `dvc repro` must repair them all.

KILLS=20 pytest tests/test_pipeline_faults.py -k every_stage kills each stage that often.
"""

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import yaml

from ranker.project import paths
from tests.factories import Run, run_module, run_stages
from tests.pipeline import STAGES, outputs, ran
from tests.readme import command

KILLS = int(os.environ.get("KILLS", "1"))
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
ROOM = 1024  # the maximum size of a file on a full disk
IDLE = ("features", "last_release", "release_hits")  # they write less
# DVC's messages about a truncated dvc.lock; the last, without a reason, is for one truncated within `hash: md5`.
TORN = re.compile(r"'./dvc.lock' validation failed|'./dvc.lock' is invalid|failed to reproduce '\w+': *$", re.MULTILINE)
REMEDIES = {
    TORN: command("git checkout dvc.lock"),
    re.compile("Unable to read RWLock-file"): command("rm .dvc/tmp/rwlock"),
}


def start(line: str, folder: Path, **environment: str) -> "subprocess.Popen[str]":
    """Start a command in a process group of its own, as a shell does."""
    return subprocess.Popen(
        line.split(),
        cwd=folder,
        env=ENVIRONMENT | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def stop_all(process: "subprocess.Popen[str]", kind: signal.Signals) -> str:
    """Signal a command and all its children, as Ctrl-C or a dead machine does; return the rest of its output."""
    os.killpg(process.pid, kind)
    try:
        return process.communicate(timeout=300)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def stop_in(stage: str, line: str, folder: Path, seconds: float, kind: signal.Signals) -> bool:
    """Stop a command so many seconds into a stage that it runs; return True if the stage was running.

    If DVC reports a torn dvc.lock, restore the file.
    """
    process, printed = start(line, folder, **ELSEWHERE), ""
    assert process.stdout
    for printed_line in iter(process.stdout.readline, ""):
        printed += printed_line
        if ran(printed_line) == [stage]:
            time.sleep(seconds)
            if process.poll() is None:
                return ran(printed + stop_all(process, kind))[-1] == stage
    printed += process.communicate()[0]
    for fault, remedy in REMEDIES.items():
        if fault.search(printed):
            subprocess.run(remedy.split(), cwd=folder, check=True)
    return False


@pytest.fixture
def fresh(repository: Path, run: Run, tmp_path: Path) -> Path:
    """A clone in which nothing has run."""
    run(f"git clone -q . {tmp_path / 'fresh'}", repository)
    return tmp_path / "fresh"


HEAVY = {"embed", "retriever", "export_retriever", "train", "export"}  # they import torch
ELSEWHERE = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}


def test_dvc_repro_after_a_kill_in_every_stage_gives_the_same_bytes(repository: Path, fresh: Path, run: Run) -> None:
    """Kill each stage at a random moment in another clone, with another hash seed, time zone and locale, then finish.

    Each run resumes the one before; a stage that finished before its kill runs again by itself, for half as long.
    """
    draw, kinds = random.Random(KILLS), cycle((signal.SIGKILL, signal.SIGINT))
    for stage in STAGES * KILLS:
        line, longest = f"dvc repro {stage}", 4.0 if stage in HEAVY else 1.0
        while not stop_in(stage, line, fresh, draw.uniform(0, longest), next(kinds)):
            line, longest = f"dvc repro --force --single-item {stage}", longest / 2
    mend("dvc repro", fresh, run, **ELSEWHERE)
    finished(fresh, repository, run)


def mend(line: str, folder: Path, run: Run, **environment: str) -> bool:
    """Run the commands of docs/pipeline.md after a fault; return True if DVC needed its dvc.lock restored."""
    result = run(line, folder, check=False, **environment)
    remedies = [remedy for fault, remedy in REMEDIES.items() if fault.search(result.stderr)]
    if remedies:
        run(" && ".join([*remedies, line]), folder, **environment)
    assert remedies or result.returncode == 0, result
    return REMEDIES[TORN] in remedies


def finished(folder: Path, undisturbed: Path, run: Run) -> None:
    """Outputs and dvc.lock equal those of an undisturbed run, and DVC reports no change."""
    assert outputs(folder) == outputs(undisturbed)
    assert locked(folder) == locked(undisturbed)
    run("dvc status -q dvc.yaml", folder)  # 1 if an output differs from dvc.lock


def locked(folder: Path) -> dict[str, Any]:
    """Each stage of dvc.lock: its command, its params, and the digests of its dependencies and outputs.

    The order of stages is left out, because lost stages return at the file's end. Sizes are left out, because DVC keeps
    a size that has lost digits.
    """
    stages = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    return {
        name: stage | {side: {file["path"]: file["md5"] for file in stage.get(side, [])} for side in ("deps", "outs")}
        for name, stage in stages.items()
    }


def test_dvc_repro_mends_a_dvc_lock_that_was_written_by_half(repository: Path, tmp_path: Path, run: Run) -> None:
    """DVC writes dvc.lock in place, without a partial file: a kill can truncate it anywhere and leave valid YAML."""
    torn = Path(shutil.copytree(repository, tmp_path / "torn", symlinks=True))
    whole = (torn / "dvc.lock").read_text()
    last = whole.rindex("\n  ", 0, whole.rindex(":\n    cmd: ")) + 1  # where the last stage begins
    word = whole.rindex("path", 0, last) + 2
    kind = whole.rindex("hash: md5") + 8
    for cut, by_git in ((0, True), (word, True), (kind, True), (last, False)):
        (torn / "dvc.lock").write_text(whole[:cut])
        assert mend("dvc repro", torn, run) == by_git, whole[:cut][-100:]
        finished(torn, repository, run)


# Act as `python -m stages.train`, and as the kernel when memory runs out, as soon as there is a checkpoint.
KILLED = """
import os, signal
from ranker.training import callbacks, checkpoints

class Killed(callbacks.CheckpointCallback):
    def on_save(self, *arguments, **given):
        super().on_save(*arguments, **given)
        os.kill(os.getpid(), signal.SIGKILL)

checkpoints.EVERY = 10
import ranker.training.trainer
ranker.training.trainer.CheckpointCallback = Killed
from stages.train import main, run_stage
run_stage("train", main)
"""


def test_train_goes_on_after_a_kill(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = outputs(copy)
    shutil.rmtree(paths.CHECKPOINT)
    shutil.rmtree(paths.CURVES)
    process = subprocess.run([sys.executable, "-c", KILLED], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    assert process.returncode == -signal.SIGKILL
    assert list(copy.glob(".unfinished/train/*/checkpoint-10/whole"))
    run_stages("train")
    assert "training: resumes from .unfinished/train/" in capfd.readouterr().out
    assert not list(copy.glob(".unfinished/train/*"))
    assert outputs(copy) == before  # the same weights and curves


@contextmanager
def full_disk() -> Iterator[None]:
    """Limit each file to ROOM bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in IDLE])
def test_stages_say_that_there_is_no_room(copy: Path, capsys: pytest.CaptureFixture[str], stage: str) -> None:
    """One line, with existing outputs unchanged; train's curves are exempt, because they are written as it goes.

    capsys is used, because pytest's other captures go to a file.
    """
    before = outputs(copy)
    with full_disk():
        found = str(run_module(f"stages.{stage}"))
    assert found.startswith(f"{stage}: expected to write its outputs, found: ")
    assert ("disk I/O error" if stage == "train" else "File too large") in found  # the former is DVCLive's
    assert "\n" not in found
    after = {path: found for path, found in outputs(copy).items() if not path.startswith(str(paths.CURVES))}
    assert after == {path: digest for path, digest in before.items() if path in after}
    assert len(before) - len(after) <= sum(path.startswith(str(paths.CURVES)) for path in before)
    assert not list(copy.rglob(".*.partial"))


@pytest.mark.usefixtures("copy")
@pytest.mark.parametrize(
    ("stage", "folder"), [("join", paths.QUERIES.parent), ("encode", paths.ENCODED_QUERIES.parent)]
)
def test_stages_name_a_place_that_cannot_be_written(stage: str, folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("in the way")
    assert run_module(f"stages.{stage}") == f"{stage}: {folder}: File exists"


def test_dvc_repro_of_two_at_once_does_nothing_by_halves(repository: Path, fresh: Path, run: Run) -> None:
    """The second run waits, or reports that the first is running."""
    both = [start("dvc repro split", fresh) for _ in range(2)]
    printed = [process.communicate(timeout=300)[0] for process in both]
    assert any(process.returncode == 0 for process in both), printed
    for process, text in zip(both, printed, strict=True):
        assert process.returncode == 0 or "is busy" in text or "lock" in text, text
        assert "Traceback" not in text
    run("dvc repro split && dvc status -q split", fresh)
    found, undisturbed = outputs(fresh), outputs(repository)
    assert paths.SPLIT_PAIRS.as_posix() in found
    assert found.items() <= undisturbed.items()
    assert locked(fresh) == locked(repository)


def test_stages_name_what_a_refused_trial_has_left_in_params_yaml(clean: Path, run: Run) -> None:
    """`-S` writes params.yaml before a stage can refuse the value, and the next trial starts from it.

    test_bad_input.py tests many more mistakes, in the stages themselves.
    """
    before = outputs(clean)
    refused = run("dvc exp run -S split.folds=60 -S 'join.document_fields=[title]' split", clean, check=False)
    assert refused.returncode != 0
    assert "split: split.folds: expected queries in each of 60 folds, found none of 20 in" in refused.stderr
    assert "Traceback" not in refused.stderr
    hint = "\nparams.yaml differs from the last commit in split.folds (git checkout params.yaml takes it back)\n"
    assert hint in refused.stderr
    again = run("dvc exp run -S train.epochs=2 split", clean, check=False)
    assert again.returncode != 0
    assert hint.replace("split.folds", "split.folds, train.epochs") in again.stderr
    run("git checkout params.yaml && dvc repro -q split && dvc checkout -q dvc.yaml", clean)
    assert outputs(clean) == before

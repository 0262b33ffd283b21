"""Faults in the real pipeline: kills, interrupts, no room on the disk, two runs at once; then `dvc repro` mends it all.

KILLS=20 pytest tests/test_pipeline_faults.py -k every_stage: as many of each stage as one has time for.
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
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from ranker.project import paths
from tests.conftest import Run
from tests.pipeline import outputs
from tests.test_pipeline import STAGES

KILLS = int(os.environ.get("KILLS", "1"))
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
ROOM = 1024  # bytes that a file may have when the disk is full
# What DVC says of a dvc.lock that was cut; the last, without a reason, of one cut within `hash: md5`.
TORN = re.compile(r"'./dvc.lock' validation failed|'./dvc.lock' is invalid|failed to reproduce '\w+': *$", re.MULTILINE)


def start(command: str, folder: Path) -> "subprocess.Popen[str]":
    """A command in a process group of its own, as a shell starts it."""
    return subprocess.Popen(
        command.split(),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def stop_all(process: "subprocess.Popen[str]", kind: signal.Signals) -> None:
    """What Ctrl-C or a dead machine does to a command and all that it started."""
    os.killpg(process.pid, kind)
    try:
        process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def fresh(clean: Path, run: Run, tmp_path: Path) -> Path:
    """A clone in which nothing has run."""
    run(f"git clone -q . {tmp_path / 'fresh'}", clean)
    return tmp_path / "fresh"


def test_killed_and_interrupted_in_every_stage(clean: Path, fresh: Path, run: Run) -> None:
    """At random moments of each, then run to its end: what is there is what an undisturbed run has."""
    draw, stopped = random.Random(KILLS), Counter[str]()
    for stage in STAGES:
        longest = 4.0  # seconds into it
        while stopped[stage] < KILLS:
            process = start(f"dvc repro --force --single-item {stage}", fresh)
            assert process.stdout
            while f"Running stage '{stage}'" not in process.stdout.readline():
                assert process.poll() is None
            time.sleep(draw.uniform(0, longest))
            if process.poll() is None:
                stop_all(process, (signal.SIGKILL, signal.SIGINT)[stopped.total() % 2])
                stopped[stage] += 1
                mend(f"dvc repro --single-item {stage}", fresh, run)
            else:  # it was through
                process.communicate()
                longest /= 2
    run("dvc repro", fresh)  # what that brought back
    finished(fresh, clean, run)


def mend(command: str, folder: Path, run: Run) -> bool:
    """Run what README says to run after a fault; True where DVC had to be given its dvc.lock back."""
    result = run(command, folder, check=False)
    torn = TORN.search(result.stderr) is not None
    if torn:
        run(f"git checkout -q dvc.lock && {command}", folder)
    assert torn or result.returncode == 0, result
    return torn


def finished(folder: Path, clean: Path, run: Run) -> None:
    """The outputs and what dvc.lock says are those of an undisturbed run, and DVC knows it."""
    assert outputs(folder) == outputs(clean)
    assert locked(folder) == locked(clean)
    run("dvc status -q dvc.yaml", folder)  # 1 if anything of it is not what dvc.lock says


def locked(folder: Path) -> dict[str, Any]:
    """Each stage of dvc.lock: its command, its params, and the digests of its dependencies and outputs.

    The order of stages is left out, for what a torn file has lost comes back at its end, and so are sizes, for DVC
    keeps one of which digits are lost.
    """
    stages = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    return {
        name: stage | {side: {file["path"]: file["md5"] for file in stage.get(side, [])} for side in ("deps", "outs")}
        for name, stage in stages.items()
    }


def test_a_dvc_lock_that_was_written_by_half(clean: Path, run: Run) -> None:
    """DVC writes it in place, without a partial file: a kill cuts it anywhere, and many cuts leave valid YAML."""
    run("cp -r . ../torn", clean)
    torn, whole = clean.parent / "torn", (clean / "dvc.lock").read_text()
    last = whole.rindex("\n  ", 0, whole.rindex(":\n    cmd: ")) + 1  # where the last stage begins
    word = whole.rindex("path", 0, last) + 2
    kind, size = whole.rindex("hash: md5") + 8, whole.rindex("size: ") + 8
    for cut, by_git in ((0, True), (word, True), (kind, True), (last, False), (size, False)):
        (torn / "dvc.lock").write_text(whole[:cut])
        assert mend("dvc repro", torn, run) == by_git, whole[:cut][-100:]
        finished(torn, clean, run)
    shutil.rmtree(torn)


def test_a_training_that_is_killed_goes_on(clean: Path, run: Run) -> None:
    """By itself, as the kernel does when memory is out; DVC says so, and the next run resumes."""
    code = "import ranker.unfinished as u; u.EVERY = 10; import stages.train as s; s.run_stage('train', s.main)"
    shutil.rmtree(clean / paths.CHECKPOINT)
    shutil.rmtree(clean / paths.CURVES)
    process = subprocess.Popen([sys.executable, "-c", code], cwd=clean, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    whole = ".unfinished/train/*/checkpoint-*/whole"
    while not list(clean.glob(whole)):
        assert process.poll() is None, "it was through before it had a checkpoint"
        time.sleep(0.01)
    process.kill()
    process.wait()
    result = run("dvc repro --force --single-item train", clean)
    assert "training: goes on from .unfinished/train/" in result.stdout
    assert not list(clean.glob(whole))
    run("git diff --exit-code dvc.lock", clean)  # the same weights and curves


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "features"])  # whose folder is empty
def test_no_room(clean: Path, stage: str) -> None:
    before = outputs(clean)
    result = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=clean,
        env=ENVIRONMENT,
        preexec_fn=limit,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1, result.stderr
    line = result.stderr.splitlines()[-1]
    assert line.startswith(f"{stage}: expected to write its outputs, found: ")
    assert ("disk I/O error" if stage == "train" else "File too large") in line  # the former is DVCLive's
    assert "Traceback" not in result.stderr
    after = {path: digest for path, digest in outputs(clean).items() if not path.startswith(str(paths.CURVES))}
    assert after == {path: digest for path, digest in before.items() if path in after}
    assert len(before) - len(after) <= sum(path.startswith(str(paths.CURVES)) for path in before)
    assert not [path for path in clean.rglob(".*.partial") if ".venv" not in path.parts]


@pytest.mark.parametrize("stage", ["join", "encode"])
def test_a_place_that_cannot_be_written(clean: Path, run: Run, stage: str) -> None:
    folder = {"join": paths.QUERIES, "encode": paths.ENCODED_QUERIES}[stage].parent
    shutil.rmtree(clean / folder)
    (clean / folder).write_text("in the way")
    result = run(f"python -m stages.{stage}", clean, check=False)
    assert (result.returncode, result.stderr.splitlines()[-1]) == (1, f"{stage}: {folder}: File exists")
    (clean / folder).unlink()


def test_two_at_once(clean: Path, fresh: Path, run: Run) -> None:
    """The second waits, or is told that the first is at it; nothing is done by halves."""
    both = [start("dvc repro split", fresh) for _ in range(2)]
    printed = [process.communicate(timeout=300)[0] for process in both]
    assert any(process.returncode == 0 for process in both), printed
    for process, text in zip(both, printed, strict=True):
        assert process.returncode == 0 or "is busy" in text or "lock" in text, text
        assert "Traceback" not in text
    run("dvc repro split && dvc status -q split", fresh)
    found, undisturbed = outputs(fresh), outputs(clean)
    assert paths.FOLDS.as_posix() in found
    assert found.items() <= undisturbed.items()
    assert locked(fresh) == locked(clean)

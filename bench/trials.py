"""A sweep over the head in a scratch copy of the project: whole processes, from `dvc exp run` to its end."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.data import JUDGEMENTS, LABELLED
from bench.runs import Cost, Repeat
from bench.table import work_rows
from bench.works import OURS, TUTORIAL

AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "bench"), ("EMAIL", "bench@example.org"))
}


def copy_project(place: Path) -> None:
    """Copy the files of this project that Git knows."""
    for name in subprocess.check_output(["git", "ls-files", "-z"], text=True).split("\0")[:-1]:
        if Path(name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(name, place / name)


# A small process of its own: what forks from a large one is counted with its memory, whatever it runs.
LAUNCH = """
import resource, subprocess, sys
status = subprocess.call(["sh", "-c", sys.argv[1]])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=open(sys.argv[2], "w"))
sys.exit(status)
"""


def measure(command: str, place: Path) -> tuple[str, Cost]:
    """What a command line prints in a folder, and costs; memory is that of the largest process in it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.NamedTemporaryFile() as peak:
        began = time.perf_counter()
        result = subprocess.run(
            [sys.executable, "-S", "-c", LAUNCH, command, peak.name],
            cwd=place,
            env=os.environ | AUTHOR | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        seconds = time.perf_counter() - began
        if result.returncode != 0:
            raise RuntimeError(f"{command} gave {result.returncode}:\n{result.stdout}")
        return result.stdout, {"seconds": seconds, "peak_mib": int(Path(peak.name).read_text()) / 1024}


class Project:
    """A copy of this project that trains the head alone on a folder's files, all of it run once and committed."""

    def __init__(self, folder: Path, base_model: Path, place: Path) -> None:
        self.place = place
        copy_project(place)
        (place / "dvc.lock").unlink(missing_ok=True)
        changes = {
            "dataset": "files",
            "labelled_data": folder.absolute() / LABELLED,
            "judgements": folder.absolute() / JUDGEMENTS,
            "base_model": f"path:{base_model.absolute()}",
            "queries": 0,
            "trainable": "head",
        }
        params = (place / "params.yaml").read_text()
        for name, value in changes.items():
            params = re.sub(rf"(?m)^  {name}: \S+", f"  {name}: {value}", params)
        (place / "params.yaml").write_text(params)
        for command in (
            "git init -q",
            "git add -A",
            "git commit -qm bench",
            "dvc repro",
            "git add -A",
            "git commit -qm run",
        ):
            measure(command, place)

    def measure_stages(self, command: str, stages: set[str]) -> Cost:
        """Cost of a command that runs just these stages, by DVC's own word."""
        printed, cost = measure(command, self.place)
        if (found := set(re.findall(r"Running stage '(\w+)'", printed))) != stages:
            raise RuntimeError(f"{command}: expected DVC to run {stages}, found {found}")
        return cost


def trial_rows(folder: Path, base_model: Path, place: Path, tutorial: list[Repeat]) -> list[dict[str, Any]]:
    """A head-only sweep's further trials, against the tutorial's way of encoding and training once more."""
    print("bench: all stages once, for the sweep", flush=True)
    project = Project(folder, base_model, place)
    rows = []
    for name, command, stages in (
        ("one more trial of a head-only sweep: `dvc exp run train`", "dvc exp run train", {"train"}),
        (
            "one more trial of a head-only sweep: `dvc exp run`",
            "dvc exp run",
            {"train", "export", "package", "evaluate", "report"},
        ),
    ):
        repeats = []
        for number, once in enumerate(tutorial, start=1):
            rate = f"-S train.learning_rate=0.00{len(stages)}{number:03}"
            repeats.append({TUTORIAL: once[TUTORIAL], OURS: project.measure_stages(f"{command} {rate}", stages)})
        rows += work_rows(name, 0, repeats, {TUTORIAL: "its encode and head-only training, as above"})
    idle = [{OURS: project.measure_stages("dvc repro", set())} for _ in tutorial]
    return rows + work_rows("`dvc repro`, nothing to do", 0, idle, {})


def sum_of(repeats: list[Repeat], others: list[Repeat]) -> list[Repeat]:
    """The tutorial's seconds of two works, one after the other."""
    return [
        {
            TUTORIAL: {
                "seconds": a[TUTORIAL]["seconds"] + b[TUTORIAL]["seconds"],
                "peak_mib": max(a[TUTORIAL]["peak_mib"], b[TUTORIAL]["peak_mib"]),
            }
        }
        for a, b in zip(repeats, others, strict=True)
    ]

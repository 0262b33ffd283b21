"""Times trials of a sweep over the head: whole processes, from `dvc exp run` to its end, in a clone of this project.

python -m bench.studies.dvc_trials [--data FOLDER]

It writes bench/results/dvc_trials.md. What the same costs by the tutorial's way, table.md has: to encode, and to train
the head.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from bench.data import write_full_size
from bench.runner import Case, Job, command, run_case
from bench.table import OURS, case_rows, page
from ranker.common.files import atomic

RESULT = Path("bench/results/dvc_trials.md")
REPEATS = 3
TRIALS = {"one more trial of the head: `dvc exp run train`": ["train"], "the same, exported: `dvc exp run`": []}
AUTHOR = {f"GIT_{who}_{what}": "bench@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def trial_rows(work: Path, source: Path | None, trials: dict[str, list[str]], repeats: int) -> list[dict[str, Any]]:
    """A row for each kind of trial, after one that has run all stages before it."""
    os.environ.update(AUTHOR, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    place = work / "project"
    subprocess.run(["git", "clone", "-q", ".", place], check=True)
    settings = ["-Strain.head=classifier", "-Strain.trainable=head"]
    if source:
        write_full_size(source, work / "full")
        settings += [f"-Sfetch.folder={work / 'full'}"]
    rows = []
    for name, targets in trials.items():
        run = ["dvc", "exp", "run", *targets]
        subprocess.run([*run, *settings], cwd=place, check=True)
        turns = []
        for number in range(1, repeats + 1):
            trial = partial(command, *run, f"-Strain.learning_rate=0.00{number}", folder=place)
            case = Case(name, 0, {OURS: Job(trial)})
            turns += run_case(case, 1)
        rows += case_rows(case, turns)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with the tutorial's two files; else the sample")
    source = parser.parse_args().data
    with tempfile.TemporaryDirectory() as work:
        rows = trial_rows(Path(work), source, TRIALS, REPEATS)
    with atomic(RESULT) as file:
        file.write_text(page("Trials", {}, rows), "utf-8")


if __name__ == "__main__":
    main()

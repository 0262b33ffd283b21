"""Measure seconds and peak memory of jobs in paired turns, each job in its own process.

python -m bench.runner < JOB   # the process of one job: reads a pickled `Prepare`, prints a `Cost`
"""

import contextlib
import json
import os
import pickle
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

Calls = list[Callable[[], Any]]  # timed one by one; the result is the median
Prepare = partial[Calls]  # imports, loads and warms up, untimed


class Cost(NamedTuple):
    """A job's cost; memory is the increase in the timed part, or the peak of the largest child process."""

    seconds: float
    peak_mib: float


Turn = dict[str, Cost]  # by system


@dataclass(frozen=True)
class Job:
    """One system's part of a case."""

    prepare: Prepare
    share: int = 0  # pairs that are run, if fewer than the case's; seconds are scaled up
    note: str = ""


@dataclass(frozen=True)
class Case:
    """Jobs of several systems on the same pairs: a table row for each."""

    name: str
    pairs: int
    jobs: dict[str, Job]


def run_case(case: Case, repeats: int, here: bool = False) -> list[Turn]:
    """Costs of a case. Systems take turns, so that a slow minute of the machine hits all of them.

    With `here`, jobs run in this process, which imports everything once; the costs are then no measurement.
    """
    turns = []
    for _ in range(repeats):
        turn = {}
        for system, job in case.jobs.items():
            cost = measure_here(job.prepare) if here else measure_apart(job.prepare)
            turn[system] = cost._replace(seconds=cost.seconds * case.pairs / (job.share or case.pairs))
        turns.append(turn)
        print(f"bench: {case.name}: " + ", ".join(f"{system} {cost.seconds:.4g} s" for system, cost in turn.items()))
        sys.stdout.flush()
    return turns


def measure_apart(prepare: Prepare) -> Cost:
    """Cost of a job in its own process."""
    # OMP_WAIT_POLICY stays the caller's, because a user's threads spin by default, too. On two cores with a load of 3
    # to 7, PASSIVE made batches of 16 pairs 2.6 (scoring, bf16), 5 (fp32) and 10 times (training) as fast. Its effect
    # on an idle machine was not measured. No other program should run.
    environment = os.environ | {"TQDM_DISABLE": "1"}
    command = [sys.executable, "-m", "bench.runner"]
    result = subprocess.run(command, input=pickle.dumps(prepare), capture_output=True, env=environment)
    if result.returncode != 0:
        raise RuntimeError(f"{prepare.func.__name__} gave {result.returncode}:\n{result.stderr.decode()}")
    return Cost(*json.loads(result.stdout.splitlines()[-1]))


def measure_here(prepare: Prepare) -> Cost:
    """Cost of a job in this process."""
    seconds = []
    with contextlib.chdir("."):  # a job may change the folder
        calls = prepare()
        forget_peak()
        before, started = memory("VmRSS"), _largest_child()
        for call in calls:
            began = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - began)
    child = _largest_child()
    return Cost(median(seconds), child if child > started else memory("VmHWM") - before)


def memory(name: str) -> float:
    """Memory of this process in MiB: VmRSS now, VmHWM the peak since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def forget_peak() -> None:
    """Reset the kernel's peak, VmHWM."""
    Path("/proc/self/clear_refs").write_text("5")


def _largest_child() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def command(*words: str | Path, text: str = "", folder: Path = Path()) -> Calls:
    """One call of a command line that reads `text`.

    A child's peak includes the memory of the process that forks it, and this module imports little.
    """
    return [partial(subprocess.run, words, input=text, text=True, cwd=folder, check=True, stdout=subprocess.DEVNULL)]


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        found = measure_here(pickle.load(sys.stdin.buffer))
    print(json.dumps(found))

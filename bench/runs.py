"""Repeats of a work: its systems take turns, each in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.works import Job, Work

Cost = dict[str, float]  # seconds, peak_mib
Repeat = dict[str, Cost]  # by system
Measure = Callable[[dict[str, Any]], Cost]  # of one run: bench.worker


def alone(asked: dict[str, Any]) -> Cost:
    """Cost of one run, in a process of its own."""
    command = [sys.executable, "-m", "bench.worker", json.dumps(asked)]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TQDM_DISABLE": "1"})
    if result.returncode != 0:
        raise RuntimeError(f"{asked['run']} gave {result.returncode}:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def run_job(job: Job, folder: Path, base_model: Path, values: dict[str, str], measure: Measure = alone) -> Cost:
    """Cost of one job: the seconds of all its runs, the peak of the largest."""
    options = {name: v.format(**values) if isinstance(v, str) else v for name, v in job.options.items()}
    asked = {"folder": str(folder), "base_model": str(base_model), "pairs": job.pairs, "options": options}
    costs = [measure(asked | {"run": run}) for run in job.run.split()]
    return {"seconds": sum(cost["seconds"] for cost in costs), "peak_mib": max(cost["peak_mib"] for cost in costs)}


def run_work(
    work: Work, folder: Path, base_model: Path, values: dict[str, str], repeats: int, measure: Measure = alone
) -> list[Repeat]:
    """Repeats of a work, in each of which its systems take turns; seconds are those of all the work's pairs."""
    found = []
    for _ in range(repeats):
        repeat = {}
        for system, job in work.jobs.items():
            cost = run_job(job, folder, base_model, values, measure)
            scale = work.pairs / job.share if job.share else 1
            repeat[system] = cost | {"seconds": cost["seconds"] * scale}
        found.append(repeat)
        seconds = ", ".join(f"{system} {cost['seconds']:.4g} s" for system, cost in repeat.items())
        print(f"bench: {work.name}: {seconds}", flush=True)
    return found


def notes(work: Work) -> dict[str, str]:
    """By system, on how many pairs it was measured, where that is fewer than the work's."""
    return {
        system: f"on {job.share:,} pairs, scaled" for system, job in work.jobs.items() if 0 < job.share < work.pairs
    }

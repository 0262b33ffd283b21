"""Milliseconds and memory of two releases, side by side in one run: a process each, asked in turn.

python -m ranker.release.timing MODELS, with a query on each line of standard input
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ranker.common.errors import run_stage
from ranker.release.hits import load_over_collection
from ranker.release.package import stack_of

DOCUMENTS = 1_000  # the collection's first: more would take longer to embed than all the rest
ROUNDS = 3
READY = "ready"


def side_by_side(folders: Mapping[str, Path], queries: list[str]) -> dict[str, dict[str, float]]:
    """Median milliseconds a query and peak MiB of each folder's stack, by the names of `folders`; one thread each.

    A folder whose stack cannot be searched over today's documents is left out, and its process says why.
    """
    children = {name: _start(folder) for name, folder in folders.items()}
    try:
        ready = [name for name, child in children.items() if _read(child) == READY]
        times: dict[str, list[float]] = {name: [] for name in ready}
        memory: dict[str, float] = {}
        for query in queries * ROUNDS:
            for name in ready:
                found = _ask(children[name], query)
                times[name].append(found["ms"])
                memory[name] = found["MiB"]
    finally:
        for child in children.values():
            child.kill()
            child.wait()
    return {name: {"ms": float(np.median(times[name])), "MiB": memory[name]} for name in ready}


def _start(folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "ranker.release.timing", str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ask(child: "subprocess.Popen[str]", query: str) -> dict[str, float]:
    assert child.stdin is not None  # _start asks for it
    child.stdin.write(json.dumps(query) + "\n")
    child.stdin.flush()
    found: dict[str, float] = _read(child)
    return found


def _read(child: "subprocess.Popen[str]") -> Any:
    assert child.stdout is not None  # _start asks for it
    line = child.stdout.readline()
    return json.loads(line) if line else None


def main() -> None:
    folder = Path(sys.argv[1])
    stack, models = stack_of(folder)
    search = load_over_collection(folder, stack, models, threads=1, most=DOCUMENTS)
    print(json.dumps(READY), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        search.find(json.loads(line))
        ms = (time.perf_counter() - start) * 1000
        print(json.dumps({"ms": ms, "MiB": peak_memory()}), flush=True)


def peak_memory() -> float:
    """This process's own peak of resident memory, MiB; getrusage's would be the parent's, if that had more."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts in bytes


if __name__ == "__main__":
    run_stage("timing", main)

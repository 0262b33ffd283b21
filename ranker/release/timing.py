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

from ranker.common.errors import InputError, run_stage
from ranker.release.hits import load_over_collection
from ranker.release.package import stack_of

DOCUMENTS = 1_000  # the collection's first: more would take longer to embed than all the rest
ROUNDS = 3
READY = "ready"


def side_by_side(folders: Mapping[str, Path], queries: list[str]) -> dict[str, dict[str, float]]:
    """Median milliseconds a query and peak MiB of each folder's stack, by the names of `folders`; one thread each.

    InputError if a folder's stack cannot be searched.
    """
    children = {name: _start(folder) for name, folder in folders.items()}
    try:
        for name, child in children.items():
            if _read(child) != READY:
                raise InputError(f"{folders[name]}: expected a stack that searches, found none")
        times: dict[str, list[float]] = {name: [] for name in children}
        memory: dict[str, float] = {}
        for query in queries * ROUNDS:
            for name, child in children.items():
                found = _ask(child, query)
                times[name].append(found["ms"])
                memory[name] = found["MiB"]
    finally:
        for child in children.values():
            child.kill()
            child.wait()
    return {name: {"ms": float(np.median(times[name])), "MiB": memory[name]} for name in children}


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
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # Linux counts in KiB
        print(json.dumps({"ms": ms, "MiB": peak}), flush=True)


if __name__ == "__main__":
    run_stage("timing", main)

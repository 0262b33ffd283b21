"""Run one job in a process of its own and print what it cost, as a line of JSON.

python -m bench.worker '{"run": "tutorial.score", "folder": ..., "base_model": ..., "pairs": 64, "options": {}}'
"""

import contextlib
import importlib
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from bench.data import read_pairs


def memory(name: str) -> float:
    """MiB of this process: VmRSS is what it holds now, VmHWM the most since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def forget_peak() -> None:
    """Let the kernel count the peak from here."""
    Path("/proc/self/clear_refs").write_text("5")


def measure(job: dict[str, Any]) -> dict[str, float]:
    """Seconds of a job's timed part, of a list of them (single queries) the median; and the memory that it added."""
    module, name = job["run"].split(".")
    function = getattr(importlib.import_module(f"bench.{module}"), name)
    folder, base_model = Path(job["folder"]), Path(job["base_model"])
    data = read_pairs(folder).some(job["pairs"]) if job["pairs"] else folder
    with contextlib.chdir("."):  # a job may go elsewhere
        run = function(data, base_model, **job["options"])
        forget_peak()
        before, began = memory("VmRSS"), time.perf_counter()
        found = run()
        seconds = time.perf_counter() - began
    if isinstance(found, list) and all(isinstance(value, float) for value in found):
        seconds = statistics.median(found)
    return {"seconds": seconds, "peak_mib": memory("VmHWM") - before}


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        measured = measure(json.loads(sys.argv[1]))
    print(json.dumps(measured))

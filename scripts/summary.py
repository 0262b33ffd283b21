"""Summarise `make repro` in a few lines: measures, verdict, report, next commands.

python -m scripts.summary
"""

import shlex
import subprocess
from pathlib import Path
from textwrap import fill

from ranker.common.errors import one_line, run_stage
from ranker.common.files import read_json
from ranker.metrics.systems import SYSTEMS
from ranker.model.hardware import machine
from ranker.project import paths
from ranker.project.params import load_params
from ranker.report.files import read_last_release
from ranker.report.outcome import verdict_lines
from ranker.report.stacks import stack_lines
from stages.report import outcome

WIDTH = 110
SEE_ALSO = """\
see also: dvc metrics show · dvc plots show · dvc exp run -S train.epochs=3
      python -m ranker search {} --documents data/joined/documents.parquet --top 3 --explain
      (after: source .venv/bin/activate)"""


def table(folder: Path) -> list[str]:
    """A header and a line of metrics for each measured system."""
    found = {name: folder / f"{name}.json" for name in SYSTEMS}
    metrics = {name: read_json(file) for name, file in found.items() if file.is_file()}
    measures = list(metrics["cross_encoder"])
    lines = [f"{'':24}" + "".join(f"{measure:>10}" for measure in measures)]
    for name, values in metrics.items():
        lines.append(f"{SYSTEMS[name].label:24}" + "".join(f"{values[measure]:10.3f}" for measure in measures))
    return lines


def changed() -> list[str]:
    """Result files that differ from the last `git add`."""
    known = ["dvc.lock", paths.METRICS.parent.as_posix()]
    listed = subprocess.run(["git", "diff", "--name-only", "--", *known], capture_output=True, text=True)
    return listed.stdout.split() if listed.returncode == 0 else []


def other_machine() -> list[str]:
    """A line for each difference between the training's machine and this one, because DVC's cache ignores chips."""
    recorded, here = read_json(paths.CHECKPOINT / paths.TRAINING_FILE), machine(load_params().train.precision)
    return [
        f"trained with {name} {recorded[name]}, found {here[name]} here: training here rounds differently"
        for name in ("precision", "threads", "chip")
        if recorded[name] != here[name]
    ]


def main() -> None:
    params = load_params()
    if params.split.held_out == "none":
        last = read_last_release(params)
        compared = f", make release compares it with that of {last.name}" if last else ""
        print(
            f"Trained on all judgements: no query is left to measure on; make crossval measures the recipe{compared}."
        )
        return
    found = outcome(params)
    comparison = found.comparison
    print(*(stack_lines(comparison["stacks"]) if "stacks" in comparison else table(paths.METRICS)), sep="\n")
    for line in verdict_lines(found):
        print(line if "`" in line else fill(line, WIDTH, break_on_hyphens=False))  # a command stays on one line
    print(
        *other_machine(),
        f"report: {paths.REPORT}",
        SEE_ALSO.format(shlex.quote(one_line(min(found.per_query["query"], key=len)))),
        sep="\n",
    )
    if changed():
        print("dvc.lock or results/ differ from the commit: another chip or number of threads rounds differently,")
        print("unless params, data or code have changed. To undo: git checkout dvc.lock results")


if __name__ == "__main__":
    run_stage("summary", main)

"""The weekly job: merge new judgements, run the pipeline, compare with the last release, release or refuse.

JUDGEMENTS=grades.csv python -m scripts.weekly [--seeds 13]
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ranker.common.errors import InputError, run_stage
from ranker.fetch.registry import versions
from ranker.project import paths
from ranker.project.params import PARAMS_FILE, Params, load_params
from ranker.release.recipes import TODAY, experiment_ref
from scripts.release import called, fetch_tags, git, numbers

TO_JUDGE = Path("to_judge.csv")  # in no commit
CHANGED = (PARAMS_FILE.name, "dvc.lock", paths.METRICS.parent.as_posix())  # by a run, and undone if it is refused


def settings(params: Params) -> list[str]:
    """Params to set: the last release to compare with, and the next version."""
    fetch_tags()
    known = versions(params.export.name)
    if not known:
        return []
    last, asked = known[-1], [f"evaluate.against='{known[-1].tag}'", "evaluate.sha256=''"]
    if numbers(params.export.version) <= numbers(last.version):
        major, minor, _ = numbers(last.version)
        asked.append(f"export.version={major}.{minor + 1}.0")
    return asked


def merge(judgements: Path) -> None:
    """Merge a file of grades, and commit it: judgements are kept whether the release is refused or not."""
    step("python", "-m", "scripts.judge", str(judgements))
    file = load_params().fetch.judgements
    if git("status", "--porcelain", "--", file):
        git("commit", "--quiet", "--message", f"Judge more, by {judgements.name}", "--", file)


def step(*command: str) -> None:
    """Run a command on this screen; SystemExit with its status if it fails."""
    done = subprocess.run([sys.executable, *command[1:]] if command[0] == "python" else command)
    if done.returncode:
        raise SystemExit(done.returncode)


def save_list(params: Params) -> None:
    """Copy the list of what to judge next out of the run."""
    if params.split.held_out == "none":
        TO_JUDGE.write_text(git("show", f"{experiment_ref(TODAY)}:{paths.CROSSVAL_TO_JUDGE.as_posix()}"))
    else:
        shutil.copyfile(paths.TO_JUDGE, TO_JUDGE)
    rows = max(len(TO_JUDGE.read_text(encoding="utf-8").splitlines()) - 1, 0)
    print(f"weekly: {TO_JUDGE}: {rows} rows to judge next", flush=True)


def share() -> None:
    """Push commits and tags, if there is somewhere to."""
    if "origin" in git("remote").split():
        git("push", "--quiet", "origin", "HEAD", "--tags")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.weekly", description=__doc__)
    parser.add_argument("--seeds", default="13")
    asked = parser.parse_args()
    if changed := git("status", "--porcelain", "--untracked-files=no").split():
        raise InputError(
            f"the working tree: expected no changes, because a refused run undoes its own, found {changed[1]}"
        )
    if judgements := os.environ.get("JUDGEMENTS", "").strip():  # a path that no shell reads
        merge(Path(judgements))
    pull = ["--pull"] if called("dvc", "remote", "list").strip() else []
    step("dvc", "exp", "run", *pull, *(f"--set-param={setting}" for setting in settings(load_params())))
    released = subprocess.run([sys.executable, "-m", "scripts.release", "--seeds", asked.seeds]).returncode
    save_list(load_params())
    if released:
        git("checkout", "--quiet", "--", *CHANGED)
        print(f"weekly: refused: {paths.REPORT} has the comparison; {', '.join(CHANGED)} are as they were", flush=True)
    share()
    raise SystemExit(released)


if __name__ == "__main__":
    run_stage("weekly", main)

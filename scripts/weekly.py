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
from ranker.common.files import read_json
from ranker.contract.folder import MANIFEST_FILE
from ranker.fetch.registry import versions
from ranker.project import paths
from ranker.project.params import PARAMS_FILE, Params, load_params
from ranker.release.package import Release, read_release
from ranker.release.recipes import TODAY, experiment_ref
from scripts.release import RefusedError, called, changed, fetch_tags, git, numbers, reason_given, release, seeds_of

TO_JUDGE = Path("to_judge.csv")  # in no commit
CHANGED = (PARAMS_FILE.name, "dvc.lock", paths.METRICS.parent.as_posix())  # by a run; undone if it releases nothing


def settings(params: Params) -> list[str]:
    """Params to set: the last release to compare with, and the next version."""
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
    step("dvc", "repro", "--quiet", "--pull", "join")  # the merge reads the collection
    step(sys.executable, "-m", "scripts.judge", str(judgements))
    git("add", "--", load_params().fetch.judgements)
    if git("diff", "--cached", "--name-only"):
        git("commit", "--quiet", "--message", f"Judge more, by {judgements.name}")


def step(*command: str) -> None:
    """Run a command on this screen; InputError if it fails."""
    if subprocess.run(command).returncode:
        raise InputError(f"{' '.join(command[:3])}: expected it to succeed, found the errors above")


def is_as_before(before: Release | None, params: Params) -> bool:
    """True if the models are of the last release's data, base model, code and params."""
    if before is None or changed(before, params):
        return False
    for name, manifest in before.manifests.items():
        file = paths.RANKER.parent / name / MANIFEST_FILE
        made_of = read_json(file)["made_of"] if file.is_file() else {}
        if any(made_of.get(part) != manifest["made_of"][part] for part in ("data", "base_model", "code")):
            return False
    return True


def save_list(params: Params) -> None:
    """Copy the list of what to judge next out of the run."""
    if params.split.held_out == "none":
        TO_JUDGE.write_text(git("show", f"{experiment_ref(TODAY)}:./{paths.CROSSVAL_TO_JUDGE.as_posix()}"))
    else:
        shutil.copyfile(paths.TO_JUDGE, TO_JUDGE)
    rows = max(len(TO_JUDGE.read_text(encoding="utf-8").splitlines()) - 1, 0)
    print(f"weekly: {TO_JUDGE}: {rows} rows to judge next", flush=True)


def undo() -> None:
    """Take a run's changes of params.yaml, dvc.lock and results/ back, so that next week starts from a clean tree."""
    if tracked := git("ls-files", "--", *CHANGED).splitlines():
        git("checkout", "--quiet", "HEAD", "--", *tracked)
        print(f"weekly: no release: {', '.join(CHANGED)} are as they were, {paths.REPORT} is this run's", flush=True)


def share(tags: list[str]) -> None:
    """Push the commits, and with them these tags, or nothing; if there is somewhere to."""
    if "origin" in git("remote").split():
        git("push", "--quiet", "--atomic", "origin", "HEAD", *(f"refs/tags/{tag}" for tag in tags))


def run_week(seeds: list[int]) -> list[str]:
    """Run the pipeline and release it; returns the tags, none in a week that changed nothing."""
    fetch_tags()
    step("dvc", "exp", "run", "--pull", *(f"--set-param={setting}" for setting in settings(load_params())))
    params = load_params()
    if is_as_before(read_release(paths.LAST_RELEASE), params):
        print(f"weekly: nothing has changed since {params.evaluate.against}", flush=True)
        return []
    try:
        tags = release(seeds, reason_given())
    except RefusedError:
        save_list(params)
        raise
    save_list(params)
    return tags


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.weekly", description=__doc__)
    parser.add_argument("--seeds", default="13")
    seeds = seeds_of(parser.parse_args().seeds)
    if found := git("status", "--porcelain", "--untracked-files=no", "--", ".").split():
        raise InputError(
            f"the working tree: expected no changes, because a refused run undoes its own, found {found[1]}"
        )
    if not called("dvc", "remote", "list").strip():
        raise InputError("dvc remote: expected one, because a version's data would stay in this clone, found none")
    if judgements := os.environ.get("JUDGEMENTS", "").strip():  # a path that no shell reads
        merge(Path(judgements))
        share([])
    try:
        tags = run_week(seeds)
    except BaseException:
        undo()
        raise
    if tags:
        share(tags)
    else:
        undo()


if __name__ == "__main__":
    run_stage("weekly", main, params=None)  # it takes its changes back itself

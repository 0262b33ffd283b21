"""Register the retriever and the ranker as a release, if the comparison allows it: `make release`.

python -m scripts.release [--seeds 13,14,15]
"""

import argparse
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ranker.common.errors import InputError, one_line, run_stage
from ranker.common.files import atomic, read_json, sha256, write_json
from ranker.contract.folder import IDLE_FILE, MANIFEST_FILE
from ranker.fetch.registry import Registered, full_name, tag, used, versions
from ranker.metrics.comparison import Against
from ranker.project import paths, tables
from ranker.project.params import PARAMS_FILE, Params, flat, load_params
from ranker.release.compare import Decision, decide
from ranker.release.notes import cost_lines, notes
from ranker.release.package import Release, read_release, stack_of
from ranker.release.recipes import compare_recipes
from ranker.release.timing import side_by_side
from ranker.report.release import compared
from ranker.search.search import check_searchable
from ranker.stack.stack import Stack, model_bytes

QUERIES = 20  # timed
# Changes of a run and of `dvc remote add`, which the release commits. The first run's files are not tracked yet, and a
# tag without dvc.lock would have no data.
WRITTEN = (PARAMS_FILE.name, "dvc.lock", "results", "data/.gitignore", "models/.gitignore", ".dvc/config")
CODE = ("ranker", "stages", "crossval", "dvc.yaml", "requirements.txt")


class RefusedError(InputError):
    """The comparison does not allow the release."""


def git(*command: str) -> str:
    """The output of a Git command; InputError with its first line of error."""
    return called("git", *command)


def called(*command: str) -> str:
    """The output of a command; InputError if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{' '.join(command[:3])}: {one_line(done.stderr.strip() or done.stdout.strip())}")
    return done.stdout


def fetch_tags() -> None:
    """Fetch the tags of `origin`, if there is one: a clone without them would take a used version for a new one."""
    if "origin" in git("remote").split():
        git("fetch", "--quiet", "--tags", "origin")


def check_version(params: Params, known: list[Registered]) -> None:
    """InputError unless the version is above all registered ones, and evaluate.against names the last of them."""
    version, name, against = params.export.version, params.export.name, params.evaluate.against
    if known and numbers(version) <= numbers(known[-1].version):
        raise InputError(f"params.yaml: export.version: expected one above {known[-1].version}, found {version}")
    if version in used(name):
        raise InputError(f"params.yaml: export.version: expected one that was never registered, found {version}")
    if known and against != known[-1].tag:
        expected = f"{known[-1].tag}, the last release of {name}"
        raise InputError(f"params.yaml: evaluate.against: expected {expected}, found {against!r}")


def check_release(release: Release | None, known: list[Registered]) -> None:
    """InputError if the last release's tag has moved since stage last_release took it."""
    if known and release and release.commit != known[-1].commit:
        raise InputError(
            f"{known[-1].tag}: expected commit {release.commit}, which stage last_release took, found "
            f"{known[-1].commit}: `dvc repro --force --single-item last_release` takes it again"
        )


def numbers(version: str) -> tuple[int, ...]:
    """A version's numbers.

    >>> numbers("0.10.0") > numbers("0.9.0")
    True
    """
    return tuple(map(int, version.split(".")))


def check_outputs() -> None:
    """InputError if an output is not of today's params, data and code."""
    if changed := list(json.loads(called("dvc", "status", "--json", "dvc.yaml"))):
        raise InputError(
            f"dvc.yaml: expected outputs of today's params, data and code, found {', '.join(changed)} changed"
        )


def check_sources(params: Params) -> None:
    """InputError if code or data of the project are in no commit: a version could not be made again from its tag."""
    changed = set(git("diff", "--name-only", "--relative", "HEAD", "--", ".").splitlines())
    own = {name for name in changed if name.split("/")[0] in WRITTEN or name in (*WRITTEN, params.fetch.judgements)}
    places = [name for name in (*CODE, params.fetch.folder, params.fetch.judgements) if Path(name).exists()]
    new = git("ls-files", "--others", "--exclude-standard", "--", *places).splitlines()
    if found := [*sorted(changed - own), *new]:
        raise InputError(
            f"{found[0]}: expected code and data that are committed, found a change: git add and commit it"
        )


def both_compared(params: Params, release: Release | None, seeds: list[int]) -> tuple[Against | None, Against | None]:
    """The shipped stack against the strongest that costs nothing, and against the last release."""
    if params.split.held_out != "none":
        found = read_json(paths.COMPARISON)
        return found.get("free"), found.get("last_release")
    return compare_recipes(release.params if release else None, release.version if release else None, params, seeds)


def costs(release: Release | None) -> dict[str, dict[str, float]]:
    """Milliseconds, MiB of memory and MB of models of the new release and of the last one: `now` and `before`.

    None for a stack that cannot be searched here.
    """
    folders = {"now": paths.RANKER.parent} | ({"before": release.folder} if release else {})
    folders = {name: folder for name, folder in folders.items() if is_searchable(stack_of(folder)[0])}
    found = side_by_side(folders, tables.read_texts(paths.SPLIT_QUERIES)["query"].tolist()[:QUERIES])
    return {
        name: each | {"MB": model_bytes(folders[name], *stack_of(folders[name])) / 1e6} for name, each in found.items()
    }


def is_searchable(stack: Stack) -> bool:
    """True if the exported folders are all that the stack needs."""
    try:
        check_searchable(stack)
    except InputError:
        return False
    return True


def changed(release: Release | None, params: Params) -> dict[str, tuple[Any, Any]]:
    """The params of the last release that changed, with their values then and now."""
    then, now = release.params if release else {}, flat(params.model_dump())
    of_models = [name for name in then if name in now and not name.startswith("export.")]
    return {name: (then[name], now[name]) for name in of_models if then[name] != now[name]}


def artifacts(params: Params) -> dict[str, Path]:
    """The folders to register, by the names of their artifacts."""
    name = params.export.name
    found = {name: paths.RANKER, f"{name}-hub": paths.HUB}
    return found if (paths.RETRIEVER / IDLE_FILE).is_file() else found | {f"{name}-retriever": paths.RETRIEVER}


def digests(params: Params) -> dict[str, str]:
    """Hex SHA-256 of each artifact's manifest."""
    return {name: sha256(path / MANIFEST_FILE) for name, path in artifacts(params).items()}


def sentences(decision: Decision) -> Iterator[str]:
    """The verdict on each opponent, the queries that decided, and the smallest difference that they could show."""
    for name, found in decision.opponents.items():
        yield compared(found, f"Against {name}", power=False)
        for by in list(found["by"].values())[-1:]:
            power = f"they would show a difference of {by['could_show']:.3f} or more four times in five"
            yield f"{by['queries']} queries decide; {power if by['spread'] else 'the difference is the same on each'}."


def manifest(params: Params, decision: Decision, measured: dict[str, Any], reason: str | None) -> dict[str, Any]:
    """The release's manifest: what was registered, and by which figures."""
    return {
        "name": params.export.name,
        "version": params.export.version,
        "artifacts": digests(params),
        "stack": read_json(paths.STACK),
        "collection": read_json(paths.MANIFEST)["collection"],
        "against": params.evaluate.against,
        "compared": dict(decision.opponents),
        "cross_validated": params.split.held_out == "none",
        "costs": measured,
        "refusals": decision.refusals,
        "reason": reason,
    }


def write(params: Params, content: dict[str, Any], text: str) -> None:
    """Write the release's manifest and notes, and commit them with the run's own changes."""
    file = paths.RELEASES / f"{params.export.version}.json"
    write_json(file, content)
    with atomic(file.with_suffix(".md")) as partial:
        partial.write_text(text, encoding="utf-8")
    own = *WRITTEN, params.fetch.judgements, str(file), str(file.with_suffix(".md"))
    git("add", "--", *(name for name in own if Path(name).exists()))
    git("commit", "--quiet", "--message", f"Release {params.export.name} {params.export.version}")


def register(params: Params) -> list[str]:
    """Push the release's data, and tag it: the tags come last, when all else is there. Returns them."""
    if called("dvc", "remote", "list").strip():
        called("dvc", "push")
    else:
        print("release: no DVC remote: this version's data are in this machine's cache alone (docs/release.md)")
    tags, version, here = [], params.export.version, git("rev-parse", "HEAD").strip()
    for name in reversed(artifacts(params)):  # the ranker's tag, which the registry goes by, is the last
        if version not in used(name):  # a try that failed here may have tagged one
            called("gto", "register", full_name(name), "--version", f"v{version}")
        registered = tag(name, version)
        if registered.commit != here:
            raise InputError(
                f"{registered.tag}: expected commit {here}, found {registered.commit}: raise export.version"
            )
        tags.append(registered.tag)
        print(f"release: {registered.tag} registered", flush=True)
    return tags


def is_written(params: Params) -> bool:
    """True if an earlier try has committed the release of these very models, and failed before its tag."""
    file = paths.RELEASES / f"{params.export.version}.json"
    if not file.is_file() or git("status", "--porcelain", "--untracked-files=no", "--", "."):
        return False
    decided = read_json(file)
    same = decided["artifacts"] == digests(params) and decided["stack"] == read_json(paths.STACK)
    return bool(same and decided["against"] == params.evaluate.against)


def release(seeds: list[int], reason: str | None) -> list[str]:
    """Decide, and register the version of params.yaml; returns its tags.

    Refused if the comparison does not allow it and there is no `reason`; InputError if it cannot be decided.
    """
    params = load_params()
    fetch_tags()
    known = versions(params.export.name)
    check_version(params, known)
    check_sources(params)
    check_outputs()
    before = read_release(paths.LAST_RELEASE)
    check_release(before, known)
    if not is_written(params):
        free, last = both_compared(params, before, seeds)
        decision = decide(free, last, params.evaluate.against)
        measured = costs(before)
        lines = [*sentences(decision), *cost_lines(measured, last["by"] if last else {})]
        for line in lines:
            print(f"release: {line}", flush=True)
        if decision.refusals and not reason:
            raise RefusedError(
                f"{params.export.name} {params.export.version} is refused: {'; '.join(decision.refusals)}"
            )
        content = manifest(params, decision, measured, reason if decision.refusals else None)
        write(params, content, notes(content, lines, changed(before, params), before.reason if before else None))
    return register(params)


def reason_given() -> str | None:
    """REASON of the environment, because no shell reads it there."""
    return " ".join(os.environ.get("REASON", "").split()) or None


def seeds_of(text: str) -> list[int]:
    """Seeds from the command line.

    >>> seeds_of("[13,14]")
    [13, 14]
    """
    try:
        return [int(seed) for seed in text.strip("[]").split(",")]
    except ValueError as error:
        raise InputError(f"--seeds: expected whole numbers such as [13,14,15], found {text!r}") from error


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.release", description=__doc__)
    parser.add_argument("--seeds", default="13", help="of the cross-validations, where split.held_out is none")
    release(seeds_of(parser.parse_args().seeds), reason_given())
    file = paths.RELEASES / f"{load_params().export.version}.md"
    print(f"release: {file} has the notes; `git push --atomic origin HEAD --tags` shares the release")


if __name__ == "__main__":
    run_stage("release", main, params=None)  # a new version differs from the last commit

"""Write the application package that takes Vespa back to an earlier registered version, and say what else it takes.

python -m scripts.roll_back --served http://localhost:19071
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from ranker.common.errors import InputError, run_stage
from ranker.common.files import atomic
from ranker.fetch.registry import tag, versions
from ranker.project import paths
from ranker.project.params import load_params
from ranker.release.served import as_registered, lost_vectors, served, unlike_registered
from ranker.vespa.beside import versions_in, write_beside
from ranker.vespa.query import SETTINGS_FILE, read_settings


def write_back(package: Path, application: Path, out: Path) -> list[str]:
    """Write `package` to `out`, with the served application's version beside it if both can stand in one application.

    Returns the lines that say what the deploy keeps, what it takes, and how to deploy.
    """
    settings = read_settings(application)
    version, now = read_settings(package).names.version, settings.names.version
    lost = lost_vectors(package, application)
    if version == now:
        _copy(package, out)
        return [f"{out}: {version}, which is served already, as it was registered", *commands(out, lost)]
    try:
        write_beside(package, application, out)
    except InputError as error:
        _copy(package, out)
        why = str(error).replace(f"{package.parent}/", "")
        lines = [f"{out}: {version} alone, because {now} cannot stand beside it: {why}"]
        return lines + commands(out, f"the fields are others, and those of {now} go with the deploy")
    lines = [f"{out}: {version}, and {now} beside it, whose vectors stay", *commands(out, lost)]
    asked = settings.names.profile(settings.stack)
    return lines if lost is None else [*lines, f"until all are fed, ask for {asked} by its name"]


def _copy(package: Path, out: Path) -> None:
    with atomic(out) as partial:
        shutil.copytree(package, partial)


def commands(out: Path, lost: str | None) -> list[str]:
    """The next commands; `lost` is the reason why all documents must be fed again, None if they need not."""
    deploy = f"  vespa deploy --wait 300 {out}"
    if lost is None:
        return ["nothing to feed; deploy it:", deploy]
    feed = f"  python -m ranker feed {paths.DOCUMENTS} --application {out} --out feed.jsonl"
    return [f"{lost}: deploy it, then feed all documents again:", deploy, feed, "  vespa feed feed.jsonl"]


def version_before(name: str, served: str) -> str:
    """The registered version before the served one; InputError if there is none."""
    known = [each.version for each in versions(name)]
    older = known[: known.index(served)] if served in known else []
    if not older:
        raise InputError(f"--version: expected one to go back to, because none is registered before {served}: {known}")
    return older[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", help="a registered version (the one before that which serves)")
    place = "the package that serves now, or the address of its config server (the newest version's, as registered)"
    parser.add_argument("--served", metavar="FOLDER|URL", help=place)
    parser.add_argument("--out", type=Path, default=Path("rolled-back"), help="the folder to write (rolled-back)")
    asked = parser.parse_args()
    if asked.out.exists() and not (asked.out / SETTINGS_FILE).is_file():
        raise InputError(f"--out: expected a new folder or an application package to replace, found {asked.out}")
    name = load_params().export.name
    newest = tag(name, asked.version)  # it says which there are
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        place = asked.served or str(as_registered(name, [tag(name).version], folder))
        application = served(place, folder / "served")
        now = versions_in(application)
        assumed = "" if asked.served else " (assumed: say --served, if another package serves)"
        print(f"served: {', and beside it '.join(now)}{assumed}")
        for line in unlike_registered(name, application, folder):
            print(f"served: {line}")
        version = newest.version if asked.version else version_before(name, now[0])
        package = as_registered(name, now if now[0] == version else [version], folder)
        print(*write_back(package, application, asked.out), sep="\n")


if __name__ == "__main__":
    run_stage("roll_back", main)

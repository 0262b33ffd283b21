"""List the registered versions, and compare with them what Vespa serves: exit status 1 if it is not the newest.

python -m scripts.registered --served http://localhost:19071
"""

import argparse
import tempfile
from pathlib import Path

from ranker.common.errors import InputError, one_line, run_stage
from ranker.fetch.registry import Registered, tag, versions
from ranker.project.params import load_params
from ranker.release.served import served, unlike_registered
from ranker.vespa.beside import versions_in


def table(found: list[Registered]) -> list[str]:
    """A header and a line for each version."""
    rows = [("version", "commit", "registered at", "although refused, because")]
    rows += [(one.version, one.commit[:7], one.date, one_line(one.reason or "")) for one in found]
    return [f"{version:12}{commit:9}{date:22}{reason}".rstrip() for version, commit, date, reason in rows]


def check_served(name: str, newest: str, place: str, folder: Path) -> None:
    """Print the versions at `place`; InputError unless these are the newest and, byte by byte, as registered."""
    application = served(place, folder / "served")
    now = versions_in(application)
    print(f"served: {', and beside it '.join(now)}")
    unlike = unlike_registered(name, application, folder)
    if now[0] != newest:
        unlike.insert(0, f"{newest} is the newest registered version")
    if unlike:
        raise InputError(f"{place}: expected {newest} as it was registered, found {now[0]}: {'; '.join(unlike)}")
    print("it is the newest, and each file is as registered")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--served", metavar="FOLDER|URL", help="a package, or the address of Vespa's config server")
    asked = parser.parse_args()
    name = load_params().export.name
    newest = tag(name).version
    print(*table(versions(name)), sep="\n")
    if asked.served:
        with tempfile.TemporaryDirectory() as temporary:
            check_served(name, newest, asked.served, Path(temporary))


if __name__ == "__main__":
    run_stage("registered", main)

"""Take the last release that evaluate.against names, and check its digest; or write a note.

python -m stages.last_release
"""

from ranker.common.errors import run_stage
from ranker.common.files import atomic, write_json
from ranker.contract.folder import IDLE_FILE
from ranker.fetch.release import take_release
from ranker.project import paths
from ranker.project.params import load_params


def main() -> None:
    asked = load_params().evaluate
    with atomic(paths.LAST_RELEASE) as partial:
        partial.mkdir()
        if asked.against:
            digest = take_release(asked.against, asked.sha256, partial)
            print(f"last_release: {asked.against}: sha256 {digest}")
        else:
            write_json(partial / IDLE_FILE, {"note": "evaluate.against names no release"})


if __name__ == "__main__":
    run_stage("last_release", main)

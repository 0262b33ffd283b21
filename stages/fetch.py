"""Fetch the judgements, checked and in place whole or not at all.

python -m stages.fetch
"""

from ranker.common.errors import run_stage
from ranker.common.files import sha256
from ranker.data.source import take_files
from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE
from ranker.project import paths
from ranker.project.params import load_params


def main() -> None:
    params = load_params().fetch
    if params.format == "ir_datasets":
        from ranker.data.catalogue import fetch_catalogue  # takes seconds to import

        fetch_catalogue(params.id, paths.RAW_LABELLED_DATA, paths.RAW_JUDGEMENTS)
    else:
        take_files(params.folder, (LABELLED_DATA_FILE, JUDGEMENTS_FILE), paths.RAW, params.sha256)
    for path in (paths.RAW_LABELLED_DATA, paths.RAW_JUDGEMENTS):
        print(f"fetch: {path}: sha256 {sha256(path)}")


if __name__ == "__main__":
    run_stage("fetch", main)

"""Fetch the judgements, checked and in place whole or not at all.

python -m stages.fetch
"""

from ranker.common.errors import run_stage
from ranker.common.files import sha256
from ranker.data.download import fetch_file
from ranker.project import paths
from ranker.project.params import Fetch, load_params


def fetch_judgements(params: Fetch) -> None:
    """Put the tutorial's two files in place, whatever dataset they come from."""
    if params.dataset == "trec-covid":
        from ranker.data.trec_covid import fetch_trec_covid  # ir_datasets takes seconds to import

        fetch_trec_covid(paths.RAW_LABELLED_DATA, paths.RAW_JUDGEMENTS)
        return
    labelled_data, judgements = params.labelled_data, params.judgements
    if params.dataset == "sample":
        labelled_data, judgements = str(paths.SAMPLE_LABELLED_DATA), str(paths.SAMPLE_JUDGEMENTS)
    fetch_file(labelled_data, paths.RAW_LABELLED_DATA, params.labelled_data_sha256)
    fetch_file(judgements, paths.RAW_JUDGEMENTS, params.judgements_sha256)


def main() -> None:
    params = load_params().fetch
    fetch_judgements(params)
    for path in (paths.RAW_LABELLED_DATA, paths.RAW_JUDGEMENTS):
        print(f"fetch: {path}: sha256 {sha256(path)}")


if __name__ == "__main__":
    run_stage("fetch", main)

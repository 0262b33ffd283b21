"""Fetch queries, judgements and documents; replace the last copy only by a complete one.

python -m stages.fetch
"""

from ranker.common.errors import run_stage
from ranker.common.files import sha256
from ranker.data.beir import CORPUS, QRELS, QUERIES
from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE
from ranker.fetch.source import take_files
from ranker.project import paths
from ranker.project.params import Fetch, load_params


def files_of(params: Fetch) -> tuple[str, ...]:
    """The files of a format."""
    return {
        "tutorial": (LABELLED_DATA_FILE, JUDGEMENTS_FILE),
        "beir": (CORPUS, QUERIES, QRELS),
        "table": (params.qrels, params.corpus),
        "trec": (params.topics, params.qrels, params.corpus),
    }[params.format]


def main() -> None:
    params = load_params().fetch
    if params.format == "ir_datasets":
        from ranker.fetch.catalogue import fetch_catalogue  # takes seconds to import

        fetch_catalogue(params.id, params.query_field, paths.RAW)
    else:
        take_files(params.folder, files_of(params), paths.RAW, params.sha256)
    for path in sorted(file for file in paths.RAW.rglob("*") if file.is_file()):
        print(f"fetch: {path}: sha256 {sha256(path)}")


if __name__ == "__main__":
    run_stage("fetch", main)

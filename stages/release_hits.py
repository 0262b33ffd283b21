"""Search the collection with the last release, as it ships, for the queries that it was not trained on.

python -m stages.release_hits
"""

import pandas as pd

from ranker.common.errors import InputError, run_stage
from ranker.common.files import write_json
from ranker.project import paths, tables
from ranker.project.params import load_params
from ranker.project.preflight import say_other_versions
from ranker.release.hits import about, search_with, unseen_queries
from ranker.release.package import Release, read_release


def find(release: Release) -> pd.DataFrame:
    """The release's hits; writes what the page says of it, with the reason if it cannot be compared."""
    queries, why = None, None
    hits = pd.DataFrame(columns=tables.SCORES.names)
    try:
        queries = unseen_queries(release, load_params())
        hits = search_with(release, queries)
        print(f"release_hits: {release.stack.name} of {release.version}: {len(hits)} hits of {len(queries)} queries")
    except InputError as error:
        queries, why = None, str(error)
        print(f"release_hits: {release.against} cannot be compared: {why}")
    write_json(paths.RELEASE_ABOUT, about(release, queries, why))
    return hits


def main() -> None:
    say_other_versions("release_hits")
    release = read_release(paths.LAST_RELEASE)
    paths.RELEASE_ABOUT.parent.mkdir(parents=True, exist_ok=True)
    if release is None:
        write_json(paths.RELEASE_ABOUT, {})
        hits = pd.DataFrame(columns=tables.SCORES.names)
    else:
        hits = find(release)
    tables.write_table(paths.RELEASE_HITS, hits)


if __name__ == "__main__":
    run_stage("release_hits", main)

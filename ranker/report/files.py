"""Read the files of an outcome and of its page, stage report's or the cross-validation's, and write the page."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from ranker.common.files import atomic, read_json
from ranker.project import tables
from ranker.project.params import Fetch, Params
from ranker.report.answer import deciding
from ranker.report.outcome import Outcome
from ranker.report.page import Results


def read_outcome(params: Params, comparison: Path, per_query: Path, reranked: Path, **about: Any) -> Outcome:
    """Read the outcome in these files; `about` are its other fields.

    `per_query` is that of judged pairs, `reranked` that of the served rankings; one of them gives the verdict.
    """
    compared = read_json(comparison)
    file = per_query if deciding(compared) is compared else reranked
    queries = pd.read_csv(file, dtype={"query_id": str, "query": str}, keep_default_na=False)
    return Outcome(
        name=params.export.name,
        version=params.export.version,
        collection=collection(params.fetch),
        comparison=compared,
        per_query=queries,
        **about,
    )


def collection(fetch: Fetch) -> str:
    """The collection's short name: its id in the catalogue, or the last part of its folder or URL."""
    return fetch.id or Path(urlsplit(fetch.folder).path).name or fetch.folder


def read_results(outcome: Outcome, run: pd.DataFrame, reranked: Path, depths: Path, **about: Any) -> Results:
    """Read the page's other content; `about` are all other fields.

    `run` is that of judged pairs, `reranked` that of the served rankings, which the page shows if they give the
    verdict. `depths` is the depth curve, read if the comparison has served rankings.
    """
    if outcome.served:
        run = tables.read_run(reranked)
    if "reranked" in outcome.comparison:
        about["depths"] = pd.read_csv(depths).to_dict("records")
    return Results(**vars(outcome), run=run, **about)


def write_page(path: Path, page: str) -> None:
    """Write the page atomically."""
    with atomic(path) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")

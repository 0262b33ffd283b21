"""Read the files of a page, stage report's or the cross-validation's, and write the page."""

from pathlib import Path
from typing import Any

import pandas as pd

from ranker.common.files import atomic, read_json
from ranker.project import tables
from ranker.report.answer import deciding
from ranker.report.page import Results


def read_results(
    comparison: Path, per_query: Path, reranked: tuple[Path, Path], depths: Path, run: pd.DataFrame, **about: Any
) -> Results:
    """Read the Results in these files; `about` are all other fields.

    `per_query` and `run` are those of judged pairs. `reranked` are those of the served rankings, which the page shows
    if they give the verdict. `depths` is the depth curve, read if the comparison has served rankings.
    """
    compared = read_json(comparison)
    if deciding(compared) is not compared:
        per_query, run = reranked[0], tables.read_run(reranked[1])
    if "reranked" in compared:
        about["depths"] = pd.read_csv(depths).to_dict("records")
    queries = pd.read_csv(per_query, dtype={"query_id": str, "query": str}, keep_default_na=False)
    return Results(comparison=compared, per_query=queries, run=run, **about)


def write_page(path: Path, page: str) -> None:
    """Write the page atomically."""
    with atomic(path) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")

"""The files that both pages, stage report's and the cross-validation's, are made of."""

from pathlib import Path
from typing import Any

import pandas as pd

from ranker.common.files import atomic, read_json
from ranker.report.page import Results


def read_per_query(path: Path) -> pd.DataFrame:
    """One row per query, as `per_query_table` gives it."""
    return pd.read_csv(path, dtype={"query_id": str, "query": str}, keep_default_na=False)


def read_results(comparison: Path, per_query: Path, reranked: Path, depths: Path, **about: Any) -> Results:
    """The results that these files hold; `about` are all other fields of Results.

    `reranked`, one row per query, and `depths`, the depth curve, are read where the comparison has what is served.
    """
    compared = read_json(comparison)
    if "reranked" in compared:
        about["reranked_gains"] = read_per_query(reranked)["gain"].tolist()
        about["depths"] = pd.read_csv(depths).to_dict("records")
    return Results(comparison=compared, per_query=read_per_query(per_query), **about)


def write_page(path: Path, page: str) -> None:
    """Write the page whole."""
    with atomic(path) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")

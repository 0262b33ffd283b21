"""Means over queries of each system's measures: a file each, and a table on the screen."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ranker.common.files import atomic, write_json
from ranker.metrics.ranking import mean_measures


def write_means(
    folder: Path, measured: Mapping[str, pd.DataFrame], inner: Mapping[str, Mapping[str, pd.DataFrame]] | None = None
) -> None:
    """Write `SYSTEM.json` for each system, flat, so that `dvc metrics show` prints a table of them.

    `measured` maps systems to tables with query_id and measures, one row per query; `inner` has the same by the names
    of folders in `folder`, which takes its place whole.
    """
    with atomic(folder) as partial:
        partial.mkdir()
        for system, table in measured.items():
            write_json(partial / f"{system}.json", mean_measures(table))
        for name, tables in (inner or {}).items():
            write_means(partial / name, tables)


def means_table(measured: Mapping[str, pd.DataFrame]) -> str:
    """The means as text, a line for each system."""
    means = {system: mean_measures(table) for system, table in measured.items()}
    return pd.DataFrame(means).T.to_string(float_format="{:.3f}".format)

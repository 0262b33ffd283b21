"""The file of what to judge next, which its user fills in: made of what is served, and never written over grades."""

from pathlib import Path

import pandas as pd

from ranker.common.errors import InputError
from ranker.judging.to_judge import COLUMNS, to_judge, unmerged
from ranker.project import paths, tables


def write_list(path: Path, judged: pd.DataFrame, ordered: pd.DataFrame, systems: list[str]) -> None:
    """Write what nobody judged of the systems' first ten, first what could move the first two's difference.

    `judged` are judged pairs, `ordered` the hits with a column of scores for each of `systems`. What stage join dropped
    was judged, whatever became of it, and is not listed.
    """
    found = pd.read_csv(paths.JOIN_FINDINGS, dtype=str, keep_default_na=False)
    dropped = pd.MultiIndex.from_frame(found.loc[found["kept"] == "False", tables.IDS])
    ordered = ordered[~pd.MultiIndex.from_frame(ordered[tables.IDS]).isin(dropped)]
    run = ordered.merge(judged[[*tables.IDS, "grade"]], how="outer").astype({"grade": "Int32"})
    queries, documents = tables.read_texts(paths.SPLIT_QUERIES), tables.read_texts(paths.HIT_DOCUMENTS)
    tables.write_csv(path, to_judge(run, systems, queries, documents[["document_id", "title"]]))


def write_empty_list(path: Path) -> None:
    """Where no hit was scored: DVC wants every output, and an older list would be of other judgements."""
    tables.write_csv(path, pd.DataFrame(columns=COLUMNS))


def check_merged(path: Path) -> None:
    """InputError where grades that were filled in would be lost."""
    pairs = tables.read_table(paths.SPLIT_PAIRS)
    if lost := unmerged(path, pairs.loc[pairs["judged"], [*tables.IDS, "grade"]]):
        raise InputError(
            f"{path}: expected grades that are merged, found {lost} that are not: python -m scripts.judge {path}, "
            "or delete the file"
        )

"""The file of what to judge next, which its user fills in: made of what is served, and never written over grades."""

from pathlib import Path

import numpy as np
import pandas as pd

from ranker.common.errors import InputError
from ranker.judging.to_judge import COLUMNS, to_judge, unmerged
from ranker.project import paths, tables
from ranker.project.alike import among, with_readings


def write_list(path: Path, judged: pd.DataFrame, ordered: pd.DataFrame, systems: list[str]) -> None:
    """Write what nobody judged of the systems' first ten, first what could move the first two's difference.

    `judged` are judged pairs, `ordered` the hits with a column of scores for each of `systems`. What stage join dropped
    was judged, whatever became of it, and is not listed; nor is a pair that reads like one which is judged or listed.
    """
    found = pd.read_csv(paths.JOIN_FINDINGS, dtype=str, keep_default_na=False)
    dropped = found.loc[found["kept"] == "False", tables.IDS]
    ordered = ordered[~among(ordered, dropped, tables.IDS)]
    run = ordered.merge(judged[[*tables.IDS, "grade"]], how="outer").astype({"grade": "Int32"})
    queries, documents = tables.read_judged_texts(paths.SPLIT_QUERIES), tables.read_judged_texts(paths.HIT_DOCUMENTS)
    listed = to_judge(run, systems, queries, documents[["document_id", "title"]])
    tables.write_csv(path, listed[~_known(listed, dropped)])


def _known(listed: pd.DataFrame, dropped: pd.DataFrame) -> np.ndarray:
    """Whether the query and document of a row read like those of a judged pair, or of a row before: bool [rows]."""
    pairs = tables.read_table(paths.SPLIT_PAIRS)
    tokens = tables.read_tokens(paths.SPLIT_DOCUMENTS, paths.HIT_DOCUMENTS)
    texts = tables.read_as(tokens).loc[lambda found: ~found.index.duplicated()]
    asked = tables.read_as(tables.read_tokens(paths.SPLIT_QUERIES))
    known = pd.concat([pairs.loc[pairs["judged"], tables.IDS], dropped, listed[tables.IDS]], ignore_index=True)
    alike = with_readings(known, asked, texts)[["asked", "text"]]
    return alike.duplicated().to_numpy()[len(known) - len(listed) :]


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

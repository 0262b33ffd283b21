"""Runs and judgements in TREC's formats, so that trec_eval, ir_measures and PyTerrier can check every figure."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from ranker.common.files import atomic


def write_trec_files(run: pd.DataFrame, systems: Iterable[str], folder: Path) -> None:
    """Write `SYSTEM.trec`, six columns, for each system whose scores `run` has, and `qrels.trec`, four columns.

    `run` has query_id, document_id, grade and judged; what stands in for judged documents is in the runs alone. Ranks
    are those of trec_eval: by falling score in single precision, then by falling document_id. White space in an id,
    which ends a column there, is written as %20 and the like.
    """
    ids = run[["query_id", "document_id"]].map(_quoted)
    with atomic(folder) as partial:
        partial.mkdir()
        qrels = ids.assign(zero=0, grade=run["grade"])[["query_id", "zero", "document_id", "grade"]]
        _write(partial / "qrels.trec", qrels[run["judged"]])
        for system in systems:
            table = ids.assign(q0="Q0", score=run[system].astype(np.float32), tag=system)
            table = table.sort_values(["query_id", "score", "document_id"], ascending=[True, False, False])
            table["rank"] = table.groupby("query_id").cumcount() + 1
            _write(partial / f"{system}.trec", table[["query_id", "q0", "document_id", "rank", "score", "tag"]])


def _quoted(name: str) -> str:
    return re.sub(r"[\s%]", lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), name)


def _write(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, sep=" ", header=False, index=False, lineterminator="\n", quoting=3, float_format="%.9g")

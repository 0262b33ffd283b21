"""Runs and judgements in TREC's formats, so that trec_eval, ir_measures and PyTerrier can check every figure."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ranker.common.files import atomic
from ranker.metrics.ranking import trec_order


def write_trec_files(judged: Mapping[str, pd.DataFrame], runs: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Write `NAME.trec`, four columns for each of `judged`, which are judgements, and six for each of `runs`.

    Judgements have query_id, document_id, grade and judged; unjudged stand-ins are left out. A run has query_id,
    document_id and score. Ranks follow trec_eval (`trec_order`). Tools break ties differently, so each tied score is
    written as the next smaller number. White space in an id would end its column, so it is written as %20 and the like.
    """
    with atomic(folder) as partial:
        partial.mkdir()
        for name, pairs in judged.items():
            qrels = _quoted(pairs).assign(zero=0, grade=pairs["grade"])[["query_id", "zero", "document_id", "grade"]]
            _write(partial / f"{name}.trec", qrels[pairs["judged"]])
        for name, run in runs.items():
            table = trec_order(_quoted(run).assign(q0="Q0", score=run["score"], tag=name))
            table["rank"] = table.groupby("query_id").cumcount() + 1
            table["score"] = table.groupby("query_id")["score"].transform(falling)
            _write(partial / f"{name}.trec", table[["query_id", "q0", "document_id", "rank", "score", "tag"]])


def runs_of(table: pd.DataFrame, systems: Iterable[str], prefix: str = "") -> dict[str, pd.DataFrame]:
    """A run for each named column of scores."""
    ids = table[["query_id", "document_id"]]
    return {prefix + system: ids.assign(score=table[system]) for system in systems}


def falling(scores: "pd.Series[float]") -> np.ndarray:
    """Make non-rising scores, float32, strictly falling, by the fewest last bits."""
    bits = (scores.to_numpy(np.float32) + np.float32(0)).view(np.int32).astype(np.int64)  # -0.0 becomes 0.0
    steps = np.arange(len(bits))
    places = np.minimum.accumulate(np.where(bits < 0, -(bits & 0x7FFFFFFF), bits) + steps) - steps
    return np.where(places < 0, -places | 0x80000000, places).astype(np.uint32).view(np.float32)


def _quoted(table: pd.DataFrame) -> pd.DataFrame:
    return table[["query_id", "document_id"]].map(_quote)


def _quote(name: str) -> str:
    return re.sub(r"[\s%]", lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), name)


def _write(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, sep=" ", header=False, index=False, lineterminator="\n", quoting=3, float_format="%.9g")

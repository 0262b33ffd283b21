"""Data of the benchmark: the sample, or a folder, as the tutorial's two files."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE

SAMPLE = Path("data/sample")
SEED = 13
SHOWN = 30  # documents ranked for one query


@dataclass(frozen=True)
class Pairs:
    """Texts and labels of judged pairs."""

    queries: list[str]
    documents: list[str]
    labels: list[int]

    def __len__(self) -> int:
        return len(self.labels)

    def some(self, count: int) -> "Pairs":
        """At most `count` pairs, drawn without replacement, the same every time."""
        rows = np.random.default_rng(SEED).permutation(len(self))[:count]
        queries, documents = [self.queries[row] for row in rows], [self.documents[row] for row in rows]
        return Pairs(queries, documents, [self.labels[row] for row in rows])

    def rankings(self) -> Iterator[tuple[str, list[str]]]:
        """One query and SHOWN documents for each SHOWN pairs."""
        for start in range(0, len(self) - SHOWN + 1, SHOWN):
            yield self.queries[start], self.documents[start : start + SHOWN]


def read_pairs(folder: Path) -> Pairs:
    """Pairs of a folder, as the tutorial reads them: the query's text from the JSON, all else from the CSV."""
    queries = {
        str(entry["query_id"]): entry["query"] for entry in json.loads((folder / LABELLED_DATA_FILE).read_text("utf-8"))
    }
    rows = pd.read_csv(folder / JUDGEMENTS_FILE, dtype={"query_id": str, "title-full": str}, keep_default_na=False)
    labels = (rows["label"].astype(int) > 0).astype(int)
    return Pairs([queries[query_id] for query_id in rows["query_id"]], rows["title-full"].tolist(), labels.tolist())

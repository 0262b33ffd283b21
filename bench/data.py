"""What is measured on: the sample, a folder of judgements, and that at full size, each as the tutorial's two files."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE

SAMPLE = Path("data/sample")
SEED = 13


@dataclass(frozen=True)
class Pairs:
    """Texts and labels of judged pairs."""

    queries: list[str]
    documents: list[str]
    labels: list[int]

    def __len__(self) -> int:
        return len(self.labels)

    def some(self, count: int) -> "Pairs":
        """`count` pairs drawn without replacement, the same every time; all of them where there are no more."""
        rows = np.random.default_rng(SEED).permutation(len(self))[:count]
        return Pairs(*([texts[row] for row in rows] for texts in (self.queries, self.documents, self.labels)))


def read_pairs(folder: Path) -> Pairs:
    """Pairs of a folder, as the tutorial reads them: the query's text from the JSON, all else from the CSV."""
    queries = {
        str(entry["query_id"]): entry["query"] for entry in json.loads((folder / LABELLED_DATA_FILE).read_text("utf-8"))
    }
    rows = pd.read_csv(folder / JUDGEMENTS_FILE, dtype={"query_id": str, "title-full": str}, keep_default_na=False)
    labels = (rows["label"].astype(int) > 0).astype(int)
    return Pairs([queries[query_id] for query_id in rows["query_id"]], rows["title-full"].tolist(), labels.tolist())


def write_full_size(source: Path, destination: Path) -> None:
    """Every judgement of `source`'s JSON with a title; for speed only.

    A document without a title gets one of `source`'s, drawn with replacement.
    """
    rows = pd.read_csv(source / JUDGEMENTS_FILE, dtype=str, keep_default_na=False)
    titles = rows[rows["title-full"].str.strip() != ""].drop_duplicates("document_id").set_index("document_id")
    labelled = (source / LABELLED_DATA_FILE).read_text("utf-8")
    judged = pd.json_normalize(json.loads(labelled), "relevant_docs", "query_id")
    judged = judged.rename(columns={"id": "document_id", "score": "label"})
    known = titles["title-full"].reindex(judged["document_id"].unique())
    drawn = np.random.default_rng(SEED).choice(titles["title-full"].to_numpy(), len(known))
    judged["title-full"] = judged["document_id"].map(known.fillna(pd.Series(drawn, known.index)))
    destination.mkdir(parents=True)
    (destination / LABELLED_DATA_FILE).write_text(labelled, "utf-8")
    judged.to_csv(destination / JUDGEMENTS_FILE, index=False)

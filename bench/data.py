"""What is measured on: the sample, a folder of judgements, and that at full size, each as the tutorial's two files."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

LABELLED, JUDGEMENTS = "labelled_data_all.json", "training_all_jugdments_data.csv"
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
    queries = {str(entry["query_id"]): entry["query"] for entry in json.loads((folder / LABELLED).read_text("utf-8"))}
    rows = pd.read_csv(folder / JUDGEMENTS, dtype={"query_id": str, "title-full": str}, keep_default_na=False)
    labels = (rows["label"].astype(int) > 0).astype(int)
    return Pairs([queries[query_id] for query_id in rows["query_id"]], rows["title-full"].tolist(), labels.tolist())


def write_some(source: Path, destination: Path, queries: int) -> None:
    """The first so many queries of a folder."""
    labelled = json.loads((source / LABELLED).read_text("utf-8"))[:queries]
    rows = pd.read_csv(source / JUDGEMENTS, dtype=str, keep_default_na=False)
    destination.mkdir()
    (destination / LABELLED).write_text(json.dumps(labelled), "utf-8")
    kept = rows[rows["query_id"].isin({str(entry["query_id"]) for entry in labelled})]
    kept.to_csv(destination / JUDGEMENTS, index=False)


def write_full_size(source: Path, destination: Path, times: int = 1) -> None:
    """Every judgement of `source`'s JSON with a title, `times` over; for speed only.

    A document without a title gets one of `source`'s, drawn with replacement. Each further copy has documents of its
    own, with the same titles, and so adds pairs and documents alike.
    """
    titles = pd.read_csv(source / JUDGEMENTS, dtype=str, keep_default_na=False)
    titles = titles[titles["title-full"].str.strip() != ""].drop_duplicates("document_id")
    known = dict(zip(titles["document_id"], titles["title-full"], strict=True))
    pool, random = titles["title-full"].to_numpy(), np.random.default_rng(SEED)
    labelled = json.loads((source / LABELLED).read_text("utf-8"))
    rows = pd.DataFrame(
        [
            (document["id"], str(entry["query_id"]), document["score"])
            for entry in labelled
            for document in entry["relevant_docs"]
        ],
        columns=["document_id", "query_id", "label"],
    )
    for document_id in rows["document_id"].unique():
        known.setdefault(document_id, random.choice(pool))
    rows["title-full"] = rows["document_id"].map(known)
    copies = [rows.assign(document_id=rows["document_id"] + (f"-{i}" if i else "")) for i in range(times)]
    entries = [
        entry
        | {
            "relevant_docs": [
                document | {"id": document["id"] + (f"-{i}" if i else "")}
                for i in range(times)
                for document in entry["relevant_docs"]
            ]
        }
        for entry in labelled
    ]
    destination.mkdir(parents=True, exist_ok=True)
    (destination / LABELLED).write_text(json.dumps(entries), "utf-8")
    pd.concat(copies).to_csv(destination / JUDGEMENTS, index=False)

"""The Parquet tables, and every path of the project: schema, read, check, write."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ranker.errors import InputError
from ranker.files import atomic

SAMPLE_LABELLED_DATA = Path("data/sample/labelled_data_all.json")
SAMPLE_JUDGEMENTS = Path("data/sample/training_all_jugdments_data.csv")

RAW_LABELLED_DATA = Path("data/raw/labelled_data.json")
RAW_JUDGEMENTS = Path("data/raw/judgements.csv")
BASE_MODEL = Path("data/raw/base_model")

QUERIES = Path("data/joined/queries.parquet")
DOCUMENTS = Path("data/joined/documents.parquet")
PAIRS = Path("data/joined/pairs.parquet")
JOIN_FINDINGS = Path("data/joined/findings.csv")
JOIN_COUNTS = Path("results/join.json")

ENCODED_QUERIES = Path("data/encoded/queries.parquet")
ENCODED_DOCUMENTS = Path("data/encoded/documents.parquet")

FOLDS = Path("data/split/folds.parquet")
SPLIT_COUNTS = Path("results/split.json")

CHECKPOINT = Path("models/checkpoint")
CURVES = Path("results/train")

RANKER = Path("models/ranker")
EXPORT_REPORT = Path("results/export.json")

MEASURES = Path("results/metrics.json")
RUN = Path("results/run.parquet")
PER_QUERY = Path("results/per_query.csv")

# One schema per file, named by its path.
SCHEMAS = {
    QUERIES: pa.schema([("query_id", pa.string()), ("query", pa.string())]),
    DOCUMENTS: pa.schema([("document_id", pa.string()), ("title", pa.string())]),
    PAIRS: pa.schema(
        [
            ("query_id", pa.string()),
            ("document_id", pa.string()),
            ("grade", pa.int32()),  # as judged
            ("label", pa.int8()),  # 1 where grade >= join.relevant_from
        ]
    ),
    ENCODED_QUERIES: pa.schema([("query_id", pa.string()), ("tokens", pa.list_(pa.int32()))]),
    ENCODED_DOCUMENTS: pa.schema([("document_id", pa.string()), ("tokens", pa.list_(pa.int32()))]),
    FOLDS: pa.schema([("query_id", pa.string()), ("fold", pa.int8())]),
    RUN: pa.schema(
        [
            ("query_id", pa.string()),
            ("document_id", pa.string()),
            ("grade", pa.int32()),
            ("label", pa.int8()),
            ("ranker", pa.float32()),  # logit 1 - logit 0
            ("bm25", pa.float32()),
            ("random", pa.float32()),
        ]
    ),
}


@dataclass(frozen=True)
class Tokens:
    """Ragged token ids of many texts: text i is `values[offsets[i]:offsets[i + 1]]`.

    `index` maps a text's id to i; `values` is int32 [all tokens], `offsets` int64 [texts + 1].
    """

    index: dict[str, int]
    values: np.ndarray
    offsets: np.ndarray

    def __getitem__(self, text_id: str) -> np.ndarray:
        i = self.index[text_id]
        return self.values[self.offsets[i] : self.offsets[i + 1]]


def read_table(path: Path) -> pd.DataFrame:
    """Read one of SCHEMAS's tables; InputError if the file has other columns or types."""
    return _read(path).to_pandas()


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write one of SCHEMAS's tables, atomically; equal rows give equal bytes: no pandas metadata goes in."""
    table = pa.Table.from_pandas(frame, schema=SCHEMAS[path], preserve_index=False)
    with atomic(path) as partial:
        pq.write_table(table.replace_schema_metadata(None), partial, compression="zstd")


def read_tokens(path: Path) -> Tokens:
    """Read an encoded table without copying its token ids into Python objects."""
    ids, tokens = _read(path).combine_chunks().columns
    ragged = tokens.combine_chunks() if tokens.num_chunks != 1 else tokens.chunk(0)
    return Tokens(
        index={text_id: i for i, text_id in enumerate(ids.to_pylist())},
        values=ragged.values.to_numpy(),
        offsets=ragged.offsets.to_numpy().astype(np.int64),
    )


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: expected a Parquet file, found: {error}") from error
    expected = SCHEMAS[path]
    if not table.schema.equals(expected):
        raise InputError(f"{path}: expected columns {_columns(expected)}, found {_columns(table.schema)}")
    return table


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)

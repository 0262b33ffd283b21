"""Tables of documents, read and written CHUNK documents at a time, because a collection may exceed memory."""

from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ranker.common.files import atomic
from ranker.contract.document import whole_text
from ranker.project import paths, tables
from ranker.project.tables import CHUNK, Tokens


def write_documents(path: Path, documents: Iterable[tuple[str, list[str]]], fields: Sequence[str]) -> None:
    """Write document_id and each of `fields`, CHUNK documents at a time."""
    schema = pa.schema([("document_id", pa.string()), *((name, pa.string()) for name in fields)])
    documents = iter(documents)
    with atomic(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        while part := list(islice(documents, CHUNK)):
            ids = [document_id for document_id, _ in part]
            texts = zip(*(values for _, values in part), strict=True)
            writer.write_table(pa.table([ids, *map(list, texts)], schema=schema))


def read_documents(path: Path = paths.DOCUMENTS) -> Iterator[tuple[list[str], list[str], list[str]]]:
    """Ids, titles (the first field) and whole texts (all fields) of all documents, CHUNK at a time."""
    for ids, fields in read_fields(path):
        yield ids, [texts[0] for texts in fields], [whole_text(texts) for texts in fields]


def read_fields(path: Path = paths.DOCUMENTS) -> Iterator[tuple[list[str], list[tuple[str, ...]]]]:
    """Ids and the texts of each field of all documents, CHUNK at a time."""
    with tables.reading(path):
        for batch in _batches(path):
            ids, *texts = (column.to_pylist() for column in batch.columns)
            yield ids, list(zip(*texts, strict=True))


def count_documents(path: Path = paths.DOCUMENTS) -> int:
    """Number of documents of the collection."""
    with tables.reading(path):
        return int(pq.read_metadata(path).num_rows)


def read_documents_at(rows: np.ndarray) -> pd.DataFrame:
    """document_id and whole text of the documents at `rows`, int64 [rows], in that order."""
    wanted, places = np.unique(rows, return_inverse=True)
    found, first, parts = list[tuple[str, str]](), 0, read_documents()
    while len(found) < len(wanted):
        ids, _, texts = next(parts)
        start, end = np.searchsorted(wanted, [first, first + len(ids)])
        found += [(ids[row], texts[row]) for row in wanted[start:end] - first]
        first += len(ids)
    return pd.DataFrame(found, columns=["document_id", "text"], dtype=str).iloc[places].reset_index(drop=True)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    # Arrow's default pre_buffer holds the whole compressed file: 167 MB for 10^6 documents of 48 words.
    return pq.ParquetFile(path, pre_buffer=False).iter_batches(CHUNK)


def read_some_documents(wanted: Container[str]) -> pd.DataFrame:
    """document_id, title and text of the documents whose ids are `wanted`, in the table's order."""
    rows: list[tuple[str, str, str]] = []
    for part in read_documents():
        rows += [row for row in zip(*part, strict=True) if row[0] in wanted]
    return pd.DataFrame(rows, columns=["document_id", "title", "text"], dtype=str)


def read_some_fields(wanted: Iterable[str]) -> pd.DataFrame:
    """document_id and each field of the documents whose ids are `wanted`, in the table's order."""
    ids = pa.array(sorted(set(wanted)), pa.string())
    with tables.reading(paths.DOCUMENTS):
        parts = [batch.filter(pc.is_in(batch.column(0), value_set=ids)) for batch in _batches(paths.DOCUMENTS)]
        return pa.Table.from_batches(parts).to_pandas()


def read_paired_tokens() -> Tokens:
    """Token ids of the documents in a pair."""
    with tables.reading(paths.ENCODED_DOCUMENTS):
        paired = [batch.filter(pc.field("paired")) for batch in _batches(paths.ENCODED_DOCUMENTS)]
        return tables.as_tokens(pa.Table.from_batches(paired, tables.SCHEMAS[paths.ENCODED_DOCUMENTS]))


def read_token_parts(wanted: pa.Array | None = None) -> Iterator[Tokens]:
    """Token ids of all documents, or of those in `wanted`, from CHUNK documents at a time; a part may be empty."""
    with tables.reading(paths.ENCODED_DOCUMENTS):
        for batch in _batches(paths.ENCODED_DOCUMENTS):
            kept = batch if wanted is None else batch.filter(pc.is_in(batch.column(0), value_set=wanted))
            if kept.num_rows:
                yield tables.as_tokens(pa.Table.from_batches([kept]))


def read_some_tokens(wanted: pa.Array) -> Tokens:
    """Token ids of the documents whose ids are `wanted`, in the table's order."""
    parts = list(read_token_parts(wanted))
    ids = pa.chunked_array([part.ids for part in parts], pa.string()).to_pylist()
    return tables.pack(ids, list(chain.from_iterable(parts)))

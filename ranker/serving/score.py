"""Score a corpus of pairs with the exported model, on this machine or on a Ray cluster."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ranker.common.errors import InputError
from ranker.common.files import sha256
from ranker.common.table import ROWS, SYNONYMS, Row, Synonyms, Wanted, needed, read_table
from ranker.contract.document import whole_text
from ranker.contract.folder import CONTRACT_FILE, MODEL_FILES, TOKENIZER_FILE, Model
from ranker.serving.ranker import Ranker
from ranker.serving.run import run
from ranker.serving.shards import Make, pending, plan

COLUMNS = ("query_id", "query", "document_id")  # plus the contract's document_fields


def score_table(ranker: Ranker, table: pa.Table, path: Path, name: str) -> None:
    """Write the scores of a shard's pairs (ranker.serving.shards); each distinct text is tokenised once.

    A missing text of a document is empty. InputError, with the shard's `name` and a line counted from 1, if a query or
    an id is missing.
    """
    for column in COLUMNS:
        if table[column].null_count:
            line = table[column].is_null().index(True).as_py() + 1
            raise InputError(f"{name}: line {line}: expected a {column} in text, found None")
    fields = (pc.fill_null(table[name], "").to_pylist() for name in ranker.document_fields)
    query_rows, queries = _distinct(table["query"])
    whole = pa.array([whole_text(texts) for texts in zip(*fields, strict=True)], pa.string())
    text_rows, texts = _distinct(pa.chunked_array([whole]))
    encoded, documents = [ranker.encode_query(query) for query in queries], ranker.encode_documents(texts)
    scores = ranker.score_pairs([encoded[row] for row in query_rows], [documents[row] for row in text_rows])
    scored = table.select(["query_id", "document_id"]).append_column("score", pa.array(scores))
    pq.write_table(scored.replace_schema_metadata(None), path, compression="zstd")


def _distinct(column: pa.ChunkedArray) -> tuple[list[int], list[str]]:
    """Index of each row's text among the distinct texts, and these."""
    found = pc.dictionary_encode(column.cast(pa.string()).combine_chunks())
    return found.indices.to_pylist(), found.dictionary.to_pylist()


def worker(folder: Path, model: Model, threads: int) -> Make:
    """Load the session, once a process, for scoring shards."""
    return partial(score_table, Ranker(folder, model, threads))


def score_corpus(
    pairs: Path,
    out: Path,
    folder: Path,
    model: Model,
    ray_address: str | None = None,
    names: Synonyms = SYNONYMS,
) -> str:
    """Score a table of pairs, or a folder of Parquet files, into the folder `out`; returns a summary line.

    Pairs have query_id, query, document_id and the contract's document_fields. Each row group becomes a file with
    query_id, document_id and score (float32, logit 1 - logit 0), in the order given.
    """
    columns = (*COLUMNS, *Ranker(folder, model).document_fields)  # fails before any worker starts
    if pairs.suffix == ".parquet" or pairs.is_dir():
        return _score_shards(pairs, Wanted(needed(*columns), [], names), out, folder, model, ray_address)
    if ray_address:
        raise InputError(f"--ray-address: expected Parquet, found {pairs}")
    with TemporaryDirectory() as work:
        parquet = Path(work) / f"{pairs.name}.parquet"
        _write_parquet(parquet, read_table(pairs, needed(*columns), [], names), columns)
        return _score_shards(parquet, Wanted(needed(*columns), [], SYNONYMS), out, folder, model, None)


def _write_parquet(path: Path, rows: Iterator[Row], columns: Sequence[str]) -> None:
    """Write a table with ROWS rows a row group; InputError names a row without a query or an id."""
    schema = pa.schema(dict.fromkeys(columns, pa.string()))
    with pq.ParquetWriter(path, schema) as writer:
        while part := list(islice(map(_checked, rows), ROWS)):
            writer.write_table(pa.Table.from_pylist(part, schema))


def _checked(row: Row) -> dict[str, str]:
    where, cells = row
    for column in COLUMNS:
        if not cells[column].strip():
            raise InputError(f"{where}: expected a {column} in text, found {cells[column]!r}")
    return cells


def _score_shards(pairs: Path, columns: Wanted, out: Path, folder: Path, model: Model, ray_address: str | None) -> str:
    shards = plan(pairs, columns, out, ".parquet")
    made_by = {file: sha256(folder / file) for file in (MODEL_FILES[model], TOKENIZER_FILE, CONTRACT_FILE)}
    left = pending(shards, out, made_by)
    threads = 1 if ray_address else 0  # one core a worker
    run(left, columns, partial(worker, folder.resolve(), model, threads), ray_address, "pair")
    rows = sum(shard.rows for shard in shards)
    return f"{out}: {rows} pairs in {len(shards)} files, of which {len(left)} are new"

"""The Parquet tables: schema, read, check, write."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ranker.common.errors import InputError
from ranker.common.files import atomic
from ranker.contract.stacks import LISTS
from ranker.contract.tokens import Ragged, ragged, readings
from ranker.project import paths

PAIR = pa.schema(
    [
        ("query_id", pa.string()),
        ("document_id", pa.string()),
        ("grade", pa.int32()),  # as judged
        ("relevant", pa.bool_()),  # grade >= join.min_relevant_grade
        ("judged", pa.bool_()),  # false for random documents in place of judged negatives
    ]
)

# Each query's best documents by each list of a first stage (ranker.stack.stack.FOUND_BY). Ranks are from 1, and null
# where a list lacks the document.
HIT = pa.schema(
    [
        ("query_id", pa.string()),
        ("document_id", pa.string()),
        *((f"{name}_rank", pa.int32()) for name in LISTS),
        ("bm25", pa.float32()),  # scores of every hit, whichever list found it
        ("base_cosine", pa.float32()),
        ("retriever", pa.float32()),  # cosine; null without a retriever
    ]
)

TEXTS = pa.schema(
    [
        ("document_id", pa.string()),
        ("title", pa.string()),  # the first field
        ("text", pa.string()),  # all fields
        ("tokens", pa.list_(pa.int32())),
    ]
)

# The tables of paths.crossval_scores.
SCORES = pa.schema([("query_id", pa.string()), ("document_id", pa.string()), ("score", pa.float32())])

# Each stack's measures of each query, by seed of training.
BY_QUERY = pa.schema(
    [
        ("stack", pa.string()),
        ("seed", pa.int64()),
        ("query_id", pa.string()),
        ("nDCG@10", pa.float64()),
        ("nDCG@10, condensed", pa.float64()),
        ("Judged@10", pa.float64()),  # null without hits
    ]
)

# The queries on which the shipped stack differs most from the last release, with the first ten of both.
CHANGED = pa.schema(
    [
        ("query_id", pa.string()),
        ("query", pa.string()),
        ("before", pa.float64()),  # the last release's nDCG@10
        ("now", pa.float64()),
        ("side", pa.string()),  # before or now
        ("rank", pa.int32()),
        ("document_id", pa.string()),
        ("grade", pa.int32()),  # null if unjudged
        ("title", pa.string()),
    ]
)

FOLDED = pa.schema([*PAIR, ("fold", pa.int8()), ("unseen", pa.bool_())])

# One schema per file, named by its path.
SCHEMAS = {
    paths.QUERIES: pa.schema([("query_id", pa.string()), ("query", pa.string())]),
    paths.PAIRS: PAIR,
    # The splits that judge a query.
    paths.QRELS_SPLITS: pa.schema([("query_id", pa.string()), ("qrels_split", pa.string())]),
    paths.ENCODED_QUERIES: pa.schema([("query_id", pa.string()), ("tokens", pa.list_(pa.int32()))]),
    paths.ENCODED_DOCUMENTS: pa.schema(
        [("document_id", pa.string()), ("paired", pa.bool_()), ("tokens", pa.list_(pa.int32()))]
    ),
    # Vectors have length 1.
    paths.EMBEDDED_QUERIES: pa.schema([("query_id", pa.string()), ("embedding", pa.list_(pa.float32()))]),
    paths.EMBEDDED_DOCUMENTS: pa.schema([("document_id", pa.string()), ("embedding", pa.list_(pa.float32()))]),
    # The judged texts in full, with their token ids: the only texts that training and evaluation read.
    paths.SPLIT_QUERIES: pa.schema(
        [("query_id", pa.string()), ("query", pa.string()), ("tokens", pa.list_(pa.int32()))]
    ),
    paths.SPLIT_DOCUMENTS: TEXTS,
    # unseen: no other fold judges the document or one with a near-duplicate title
    paths.SPLIT_PAIRS: FOLDED,
    paths.HITS: HIT,
    paths.SCORED_HITS: pa.schema([*HIT, ("cross_encoder", pa.float32())]),  # by the served model
    paths.HIT_DOCUMENTS: TEXTS,
    # A release's order of what it finds, of the queries that it was not trained on.
    paths.RELEASE_HITS: pa.schema([*SCORES]),
    paths.BY_QUERY: BY_QUERY,
    paths.CROSSVAL_BY_QUERY: BY_QUERY,
    paths.CHANGED: CHANGED,
    paths.CROSSVAL_CHANGED: CHANGED,
    paths.MINED_PAIRS: FOLDED,  # judged, relevant and unseen are false
    paths.MINED_DOCUMENTS: TEXTS,
    paths.CROSSVAL_RUN: pa.schema(
        [
            ("system", pa.string()),
            ("seed", pa.int64()),  # of training; null for untrained systems
            ("query_id", pa.string()),
            ("document_id", pa.string()),
            ("grade", pa.int32()),
            ("relevant", pa.bool_()),
            ("score", pa.float32()),
        ]
    ),
}

IDS = ["query_id", "document_id"]  # of a pair

CHUNK = 8192  # texts in memory at a time


@dataclass(frozen=True)
class Tokens(Ragged):
    """Token ids of many texts, with the texts' ids, a string array [texts]."""

    ids: pa.Array

    def rows(self, ids: "pd.Series[str]") -> np.ndarray:
        """The row of each id, int64 [ids]; KeyError if one is missing."""
        rows = pc.index_in(pa.array(ids, pa.string()), value_set=self.ids)
        if rows.null_count:
            raise KeyError(f"no token ids for {ids.iloc[rows.is_null().index(True).as_py()]}")
        return rows.to_numpy().astype(np.int64)


def read_as(tokens: Tokens) -> "pd.Series[int]":
    """The texts' `readings`, int64, by id."""
    return pd.Series(readings(tokens), index=tokens.ids.to_pylist())


def pack(ids: Iterable[str], texts: Sequence[Sequence[int] | np.ndarray]) -> Tokens:
    """Tokens from lists of token ids."""
    packed = ragged(texts)
    return Tokens(packed.values, packed.offsets, pa.array(ids, pa.string()))


@dataclass(frozen=True)
class Embeddings:
    """Unit vectors of many texts.

    `index` maps a text's id to its row of `values`, float32 [texts, size].
    """

    index: dict[str, int]
    values: np.ndarray


def cosine_scores(run: pd.DataFrame, queries: Embeddings, documents: Embeddings) -> np.ndarray:
    """Cosine of each pair's two embeddings, float32 [pairs]: the untrained baseline."""
    rows = queries.values[[queries.index[query_id] for query_id in run["query_id"]]]
    columns = documents.values[[documents.index[document_id] for document_id in run["document_id"]]]
    return np.einsum("ij,ij->i", rows, columns, dtype=np.float32)


def read_table(path: Path, schema: pa.Schema | None = None) -> pd.DataFrame:
    """Read a table of SCHEMAS or of `schema`; InputError if the file has other columns or types."""
    return _read(path, schema or SCHEMAS[path]).to_pandas()


def columns(path: Path) -> list[str]:
    """The names of a Parquet file's columns."""
    with reading(path):
        return list(pq.read_schema(path).names)


def write_table(path: Path, frame: pd.DataFrame, schema: pa.Schema | None = None) -> None:
    """Write a table of SCHEMAS or of `schema` atomically.

    Equal rows give equal bytes, because pandas' metadata are left out.
    """
    table = pa.Table.from_pandas(frame, schema=schema or SCHEMAS[path], preserve_index=False)
    with atomic(path) as partial:
        pq.write_table(table.replace_schema_metadata(None), partial, compression="zstd")


def write_run(path: Path, run: pd.DataFrame) -> None:
    """Write judged pairs, with a column of scores for each system."""
    systems = [name for name in run.columns if name not in PAIR.names]
    write_table(path, run, pa.schema([*PAIR, *((name, pa.float32()) for name in systems)]))


def read_run(path: Path) -> pd.DataFrame:
    """Read what `write_run` wrote."""
    with reading(path):
        schema = pq.read_schema(path)
    _check_columns(path, pa.schema(list(schema)[: len(PAIR)]), PAIR)
    return read_table(path, schema)


def write_tokens(path: Path, parts: Iterable[tuple[Tokens, Sequence[pa.Array]]]) -> None:
    """Write an encoded table atomically, in parts: token ids, and the columns between ids and tokens."""
    with atomic(path) as partial, pq.ParquetWriter(partial, SCHEMAS[path], compression="zstd") as writer:
        for tokens, columns in parts:
            writer.write_table(pa.table([tokens.ids, *columns, _lists(tokens)], schema=SCHEMAS[path]))


def write_texts(path: Path, texts: pd.DataFrame, tokens: Tokens) -> None:
    """Write ids and texts with their token ids; `tokens` may be in any order. KeyError if one is missing."""
    table = pa.Table.from_pandas(texts, preserve_index=False).replace_schema_metadata(None)
    ordered = tokens.take(tokens.rows(texts.iloc[:, 0]).tolist())
    table = table.append_column("tokens", _lists(ordered)).cast(SCHEMAS[path])
    with atomic(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def _lists(tokens: Ragged) -> pa.Array:
    return pa.ListArray.from_arrays(tokens.offsets.astype(np.int32), pa.array(tokens.values, pa.int32()))


def read_tokens(*files: Path) -> Tokens:
    """Ids and token ids of one or more tables, in turn, as arrays."""
    return as_tokens(pa.concat_tables([_read(path, SCHEMAS[path]) for path in files]))


def token_counts(pairs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of each pair's query and document, uncut, from stage split's tables: int64 [pairs] each."""
    queries, documents = read_tokens(paths.SPLIT_QUERIES), read_tokens(paths.SPLIT_DOCUMENTS)
    return queries.lengths[queries.rows(pairs["query_id"])], documents.lengths[documents.rows(pairs["document_id"])]


def as_tokens(table: pa.Table) -> Tokens:
    """Tokens from the first column, ids, and the column `tokens`."""
    ids, tokens = _whole(table.column(0)), _whole(table.column("tokens"))
    return Tokens(tokens.values.to_numpy(), tokens.offsets.to_numpy().astype(np.int64), ids)


def read_texts(*files: Path) -> pd.DataFrame:
    """Ids and texts of tables of one schema that `write_texts` wrote, each id once."""
    texts = pd.concat([_read(path, SCHEMAS[path]).drop_columns("tokens").to_pandas() for path in files])
    return texts.drop_duplicates(texts.columns[0], ignore_index=True)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def read_embeddings(path: Path) -> Embeddings:
    """Read an embedded table."""
    ids, embeddings = (_whole(column) for column in _read(path, SCHEMAS[path]).columns)
    index = {text_id: i for i, text_id in enumerate(ids.to_pylist())}
    return Embeddings(index, embeddings.values.to_numpy().reshape(len(index), -1))


def _read(path: Path, expected: pa.Schema) -> pa.Table:
    with reading(path):
        table = pq.read_table(path)
    _check_columns(path, table.schema, expected)
    return table


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected a Parquet file, found none") from error
    except (pa.ArrowException, OSError) as error:  # pyarrow's OSErrors omit the file
        raise InputError(f"{path}: expected a Parquet file, found: {error}") from error


def _check_columns(path: Path, found: pa.Schema, expected: pa.Schema) -> None:
    if not found.equals(expected):
        raise InputError(f"{path}: expected columns {_columns(expected)}, found {_columns(found)}")


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV with a header, without its index."""
    with atomic(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")

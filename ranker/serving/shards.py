"""Process a corpus shard by shard; a stopped run resumes with the missing shards.

A shard is a row group of a Parquet file, and becomes one file, written atomically. So a run that was stopped, or lost a
machine, loses only unfinished shards, and no row is written twice. A worker holds one row group in memory, so smaller
row groups need less. One machine and a cluster write the same bytes.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from ranker.common.errors import InputError
from ranker.common.files import code_digest, read_json, remove, write_json
from ranker.common.table import Wanted

PLAN = "plan.json"  # in the output folder: inputs, model and code of the shards
PACKAGE = Path(__file__).parents[1]
CODE = tuple(PACKAGE / wing for wing in ("common", "contract", "serving", "vespa"))  # the code that makes a shard
Make = Callable[[pa.Table, Path, str], None]  # rows, output file, name of the shard in errors


@dataclass(frozen=True)
class Shard:
    """A row group and its output file."""

    file: str
    row_group: int
    rows: int
    out: str


def plan(source: Path, columns: Wanted, out: Path, suffix: str) -> list[Shard]:
    """Shards of a Parquet file, or of all in a folder, in order; InputError if a column is missing."""
    files = sorted(source.glob("*.parquet")) if source.is_dir() else [source]
    if not files:
        raise InputError(f"{source}: expected Parquet files, found none")
    shards: list[Shard] = []
    for file in files:
        metadata = _checked(file, columns)
        for group in range(metadata.num_row_groups):
            name = out.resolve() / f"part-{len(shards):06}{suffix}"
            shards.append(Shard(str(file.resolve()), group, metadata.row_group(group).num_rows, str(name)))
    return shards


def _checked(file: Path, columns: Wanted) -> pq.FileMetaData:
    try:
        metadata = pq.read_metadata(file)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file}: expected a Parquet file, found: {error}") from error
    schema = metadata.schema.to_arrow_schema()
    for name in columns.of(str(file), schema.names):
        kind = schema.field(name).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
            raise InputError(f"{file}: {name}: expected strings or whole numbers, found {kind}")
    return metadata


def pending(shards: Sequence[Shard], out: Path, made_by: dict[str, str]) -> list[Shard]:
    """The shards whose files are missing.

    InputError if the existing ones have other inputs, or were made by other files than the digests in `made_by`.
    """
    made_by = made_by | {"code": code_digest(*CODE)} | versions()
    content = {"made_of": _digest(shards), "made_by": made_by, "shards": len(shards)}
    if (out / PLAN).is_file():
        if read_json(out / PLAN) != content:
            raise InputError(f"{out / PLAN}: expected the plan of this very run, found another: remove {out}")
    elif out.exists() and (out.is_file() or any(out.iterdir())):
        raise InputError(f"{out}: expected an empty folder or one that has {PLAN}, found another")
    write_json(out / PLAN, content)
    return [shard for shard in shards if not Path(shard.out).is_file()]


def versions() -> dict[str, str]:
    """Versions of the packages that a shard's bytes depend on."""
    return {name: version(name) for name in ("onnxruntime", "tokenizers")}


def _digest(shards: Sequence[Shard]) -> str:
    """SHA-256 of the files' names, sizes and footers, which have every column's counts and bounds by row group.

    The content is left out, because hashing it would read the whole corpus twice.
    """
    digest = hashlib.sha256()
    for file in map(Path, dict.fromkeys(shard.file for shard in shards)):
        with file.open("rb") as content:
            size = content.seek(-8, os.SEEK_END) + 8  # a file ends in footer, footer length, PAR1
            content.seek(-8 - int.from_bytes(content.read(4), "little"), os.SEEK_END)
            digest.update(f"{file.name} {size} ".encode() + content.read())
    return digest.hexdigest()


def make_shard(shard: Shard, columns: Wanted, make: Make) -> int:
    """Write one shard's file atomically; returns its rows.

    Two workers may write the same shard, because a cluster can declare a live worker dead; their bytes are equal.
    """
    name, out = f"{shard.file}: row group {shard.row_group}", Path(shard.out)
    try:
        file = pq.ParquetFile(shard.file)
        names = columns.of(shard.file, file.schema_arrow.names)
        table = file.read_row_group(shard.row_group, columns=list(names)).select(list(names))
        table.validate(full=True)  # includes UTF-8
        table = table.rename_columns(list(names.values())).cast(pa.schema(dict.fromkeys(names.values(), pa.string())))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{name}: expected rows of a Parquet file, found: {error}") from error
    for left in out.parent.glob(f".{out.name}.*.partial"):
        remove(left)
    partial = out.with_name(f".{out.name}.{uuid4().hex}.partial")
    try:
        make(table, partial, name)
        partial.replace(out)
    finally:
        remove(partial)
    return shard.rows

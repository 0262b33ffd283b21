"""A corpus, shard by shard: what is there already is not made again.

A shard is a row group of a Parquet file; what is made of it is one file, in place whole or not at all. So a run that
was stopped, or lost a machine, loses the shards that were being made and nothing else, and no row is there twice. A
worker's memory holds one row group: with smaller ones it holds less. Both ways make the same bytes.
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

PLAN = "plan.json"  # in the output's folder: of what and by what its shards are made
PACKAGE = Path(__file__).parents[1]
CODE = tuple(PACKAGE / wing for wing in ("common", "contract", "serving", "vespa"))  # all that makes a shard
Make = Callable[[pa.Table, Path, str], None]  # makes a file of a shard's rows, which errors call by the last


@dataclass(frozen=True)
class Shard:
    """A row group, and the file that is made of it."""

    file: str
    row_group: int
    rows: int
    out: str


def plan(source: Path, columns: Sequence[str], out: Path, suffix: str) -> list[Shard]:
    """The shards of a Parquet file, or of all in a folder, in order; InputError where one lacks a string column."""
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


def _checked(file: Path, columns: Sequence[str]) -> pq.FileMetaData:
    try:
        metadata = pq.read_metadata(file)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file}: expected a Parquet file, found: {error}") from error
    fields = list(metadata.schema.to_arrow_schema())
    for column in columns:
        types = [field.type for field in fields if field.name == column]
        if types not in ([pa.string()], [pa.large_string()]):
            found = ", ".join(f"{field.name} {field.type}" for field in fields)
            raise InputError(f"{file}: expected a column {column} of strings, found {found}")
    return metadata


def pending(shards: Sequence[Shard], out: Path, made_by: dict[str, str]) -> list[Shard]:
    """The shards whose files are not there yet.

    InputError where those that are there are of other rows, or were made by something else than `made_by`, its digests.
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
    """Of what a shard's bytes depend on beside this package."""
    return {name: version(name) for name in ("onnxruntime", "tokenizers")}


def _digest(shards: Sequence[Shard]) -> str:
    """SHA-256 of the files' names, sizes and footers, which have counts and bounds of every column of each row group.

    Not of their content: that would be a second reading of all of it.
    """
    digest = hashlib.sha256()
    for file in map(Path, dict.fromkeys(shard.file for shard in shards)):
        with file.open("rb") as content:
            size = content.seek(-8, os.SEEK_END) + 8  # a file ends in its footer, the length of that, and PAR1
            content.seek(-8 - int.from_bytes(content.read(4), "little"), os.SEEK_END)
            digest.update(f"{file.name} {size} ".encode() + content.read())
    return digest.hexdigest()


def make_shard(shard: Shard, columns: Sequence[str], make: Make) -> int:
    """Make one shard's file, in place whole or not at all; returns its rows.

    Beside another worker too, which a cluster may take for dead while it still writes: both make the same bytes.
    """
    name, out = f"{shard.file}: row group {shard.row_group}", Path(shard.out)
    try:
        table = pq.ParquetFile(shard.file).read_row_group(shard.row_group, columns=list(columns)).select(list(columns))
        table.validate(full=True)  # that strings are UTF-8, too
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

"""A corpus, shard by shard: on this machine, or on a Ray cluster; what is there already is not made again.

A shard is a row group of a Parquet file; what is made of it is one file, in place whole or not at all. So a run that
was stopped, or lost a machine, loses the shards that were being made and nothing else, and no row is there twice. A
worker's memory holds one row group: with smaller ones it holds less. Both ways make the same bytes.
"""

import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from ranker.errors import InputError
from ranker.files import remove, sha256, sole, write_json

PLAN = "plan.json"  # in the output's folder: of what and by what its shards are made
DEATHS = 3  # of workers, at a shard: one that takes its worker with it must not go on for ever
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
    code = hashlib.sha256("".join(sha256(file) for file in sorted(Path(__file__).parent.glob("*.py"))).encode())
    made_by = made_by | {"code": code.hexdigest()} | _versions()
    content = {"made_of": _digest(shards), "made_by": made_by, "shards": len(shards)}
    if (out / PLAN).is_file():
        if json.loads((out / PLAN).read_text(encoding="utf-8")) != content:
            raise InputError(f"{out / PLAN}: expected the plan of this very run, found another: remove {out}")
    elif out.exists() and (out.is_file() or any(out.iterdir())):
        raise InputError(f"{out}: expected an empty folder or one that has {PLAN}, found another")
    write_json(out / PLAN, content)
    return [shard for shard in shards if not Path(shard.out).is_file()]


def _versions() -> dict[str, str]:
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


def run(
    shards: Sequence[Shard], columns: Sequence[str], worker: Callable[[], Make], ray_address: str | None, unit: str
) -> None:
    """Make all shards, on this machine or, given Ray's address of a cluster, there; shows how far it is, in rows.

    InputError where another run is at it.
    """
    if not shards:
        return
    made = _on_ray(shards, columns, worker, ray_address) if ray_address else _here(shards, columns, worker)
    total = sum(shard.rows for shard in shards)
    with sole(Path(shards[0].out).parent), tqdm(total=total, unit=unit, unit_scale=True, disable=None) as bar:
        for rows in made:
            bar.update(rows)


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


def _here(shards: Sequence[Shard], columns: Sequence[str], worker: Callable[[], Make]) -> Iterator[int]:
    make = worker()
    for shard in shards:
        yield make_shard(shard, columns, make)


class Maker:
    """An actor of Ray Data: it holds what `worker` gives, a session say, and makes a shard at a time."""

    def __init__(self, columns: Sequence[str], worker: Callable[[], Make], versions: dict[str, str]) -> None:
        self.columns, self.worker, self.versions = columns, worker, versions
        self.make: Make | None = None

    def _start(self) -> Make:
        if (found := _versions()) != self.versions:
            raise InputError(f"{socket.gethostname()}: expected {self.versions}, found {found}")
        return self.worker()

    def _try(self, shard: Shard) -> int:
        """Its rows, once it is made; whoever dies of it leaves a byte in a file beside it, for Ray does not count."""
        out = Path(shard.out)
        tries = out.with_name(f".{out.name}.tries")
        with tries.open("ab") as file:
            file.write(b".")
            died = file.tell() - 1
        if died >= DEATHS:
            raise InputError(f"{shard.file}: row group {shard.row_group}: expected a worker to live, found {died} dead")
        self.make = self.make or self._start()
        rows = make_shard(shard, self.columns, self.make)
        remove(tries)
        return rows

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        shard = Shard(str(batch["file"][0]), int(batch["row_group"][0]), int(batch["rows"][0]), str(batch["out"][0]))
        try:
            return {"rows": [self._try(shard)], "mistake": [""]}
        except InputError as error:  # Ray would hand it on as a text of many lines
            return {"rows": [0], "mistake": [str(error)]}
        except OSError as error:
            return {"rows": [0], "mistake": [f"{socket.gethostname()}: expected to write {shard.out}, found: {error}"]}


def _on_ray(shards: Sequence[Shard], columns: Sequence[str], worker: Callable[[], Make], address: str) -> Iterator[int]:
    """On all CPUs of a cluster, whose machines see the files under the same paths; `local` makes one of this one.

    Ray Data replaces workers that die, and has their shards made again, without bound: `Maker` sets one.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("--ray-address: expected Ray (requirements-scale.txt), found none installed") from error
    _check_address(address)
    try:
        ray.init(address, log_to_driver=False, runtime_env={"py_modules": [str(Path(__file__).parent)]})
    except (ValueError, ConnectionError, RuntimeError) as error:
        raise InputError(f"--ray-address: expected a Ray cluster at {address}, found: {error}") from error
    _forget_tries(shards)
    workers = max(1, min(len(shards), int(ray.cluster_resources().get("CPU", 1))))
    made = ray.data.from_items([asdict(shard) for shard in shards], override_num_blocks=len(shards)).map_batches(
        Maker,
        fn_constructor_args=(tuple(columns), worker, _versions()),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
    )
    try:
        for row in made.iter_rows():
            if row["mistake"]:
                raise InputError(row["mistake"])
            yield int(row["rows"])
    finally:
        _forget_tries(shards)


def _forget_tries(shards: Sequence[Shard]) -> None:
    for left in Path(shards[0].out).parent.glob(".*.tries"):
        remove(left)


def _check_address(address: str) -> None:
    """InputError where nobody listens: Ray itself would try for minutes, and then exit."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host:
            socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise InputError(f"--ray-address: expected a Ray cluster at {address}, found: {error}") from error

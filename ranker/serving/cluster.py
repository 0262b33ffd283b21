"""Shards on a Ray cluster: dead workers are replaced, and a worker's InputError reaches the user as one line."""

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ranker.common.errors import InputError
from ranker.common.files import remove
from ranker.common.table import Wanted
from ranker.serving.shards import PACKAGE, Make, Shard, make_shard, versions

DEATHS = 3  # of workers at one shard; a shard that kills its workers then fails, because Ray would retry for ever


class Maker:
    """A Ray Data actor: calls `worker` once, to load a session for example, and makes one shard at a time."""

    def __init__(self, columns: Wanted, worker: Callable[[], Make], found_versions: dict[str, str]) -> None:
        self.columns = columns
        self.worker = worker
        self.versions = found_versions
        self.make: Make | None = None

    def _start(self) -> Make:
        if (found := versions()) != self.versions:
            raise InputError(f"{socket.gethostname()}: expected {self.versions}, found {found}")
        return self.worker()

    def _try(self, shard: Shard) -> int:
        """Make a shard and return its rows. Each attempt appends a byte to `.tries`; Ray does not bound restarts."""
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
        except InputError as error:  # Ray would add a traceback of many lines
            return {"rows": [0], "mistake": [str(error)]}
        except OSError as error:
            return {"rows": [0], "mistake": [f"{socket.gethostname()}: expected to write {shard.out}, found: {error}"]}


def on_ray(shards: Sequence[Shard], columns: Wanted, worker: Callable[[], Make], address: str) -> Iterator[int]:
    """Make shards on all CPUs of the cluster at `address`, whose machines share paths; yields the rows of each.

    `local` starts a cluster on this machine. Ray Data restarts dead workers without bound; `Maker` sets one.
    """
    import ray  # requirements-scale.txt, and an extra of the wheel

    _check_address(address)
    try:
        ray.init(address, log_to_driver=False, runtime_env={"py_modules": [str(PACKAGE)]})
    except (ValueError, ConnectionError, RuntimeError) as error:
        raise InputError(f"--ray-address: expected a Ray cluster at {address}, found: {error}") from error
    _forget_tries(shards)
    workers = max(1, min(len(shards), int(ray.cluster_resources().get("CPU", 1))))
    made = ray.data.from_items([asdict(shard) for shard in shards], override_num_blocks=len(shards)).map_batches(
        Maker,
        fn_constructor_args=(columns, worker, versions()),
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
    """InputError if the port is closed, because Ray would retry for minutes and then exit."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host:
            socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise InputError(f"--ray-address: expected a Ray cluster at {address}, found: {error}") from error

"""Shards on a Ray cluster: workers that die are replaced, mistakes come back as one line."""

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ranker.common.errors import InputError
from ranker.common.files import remove
from ranker.serving.shards import PACKAGE, Make, Shard, make_shard, versions

DEATHS = 3  # of workers, at a shard: one that takes its worker with it must not go on for ever


class Maker:
    """An actor of Ray Data: it holds what `worker` gives, a session say, and makes a shard at a time."""

    def __init__(self, columns: Sequence[str], worker: Callable[[], Make], found_versions: dict[str, str]) -> None:
        self.columns = columns
        self.worker = worker
        self.versions = found_versions
        self.make: Make | None = None

    def _start(self) -> Make:
        if (found := versions()) != self.versions:
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


def on_ray(shards: Sequence[Shard], columns: Sequence[str], worker: Callable[[], Make], address: str) -> Iterator[int]:
    """On all CPUs of a cluster, whose machines see the files under the same paths; `local` makes one of this one.

    Ray Data replaces workers that die, and has their shards made again, without bound: `Maker` sets one.
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
        fn_constructor_args=(tuple(columns), worker, versions()),
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

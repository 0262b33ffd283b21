"""Make all shards of a corpus, on this machine or on a Ray cluster."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from ranker.common.files import exclusive
from ranker.common.table import Wanted
from ranker.serving.cluster import on_ray
from ranker.serving.shards import Make, Shard, make_shard

LOCK = ".lock"  # in the output's folder: held while shards are made


def run(
    shards: Sequence[Shard], columns: Wanted, worker: Callable[[], Make], ray_address: str | None, unit: str
) -> None:
    """Make all shards, on the Ray cluster at `ray_address` if given; a progress bar counts rows.

    InputError if another run writes to the same folder.
    """
    if not shards:
        return
    out = Path(shards[0].out).parent
    made = on_ray(shards, columns, worker, ray_address) if ray_address else _here(shards, columns, worker)
    total = sum(shard.rows for shard in shards)
    with exclusive(out / LOCK), tqdm(total=total, unit=unit, unit_scale=True, disable=None) as bar:
        for rows in made:
            bar.update(rows)


def _here(shards: Sequence[Shard], columns: Wanted, worker: Callable[[], Make]) -> Iterator[int]:
    make = worker()
    for shard in shards:
        yield make_shard(shard, columns, make)

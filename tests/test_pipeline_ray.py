"""ranker.serving.cluster gives the local run's bytes, on one machine and on a cluster of two nodes, one of which dies.

All its tests are in one file, because two clusters on one machine disturb each other.
"""

import re
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from ranker.common.files import sha256
from ranker.project import paths
from tests.factories import ROOT, Run, run_module
from tests.readme import command

pytest.importorskip("ray", reason="Ray is not installed: make test installs it (requirements-scale.txt)")

SHARDS, ROWS = 30, 500
# For all clusters here, because Ray would ask for a token only if one lies in the user's folder.
RAY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}


# Every worker that gets this row group dies.
DEADLY = """
import os, sys
from pathlib import Path
from ranker.common.errors import run_stage
from ranker.common.table import SYNONYMS, Wanted
from ranker.serving.run import run
from ranker.serving.shards import pending, plan

TITLE = Wanted([['title']], [], SYNONYMS)

def worker():
    return lambda table, path, name: os._exit(1)

def main():
    shards = plan(Path(sys.argv[1]), TITLE, Path(sys.argv[2]), '.parquet')[:1]
    run(pending(shards, Path(sys.argv[2]), {}), TITLE, worker, sys.argv[3], 'pair')

run_stage('deadly', main)
"""


def start_cluster(folder: Path) -> Any:
    """Start a head without CPUs and two nodes of one CPU each; retry if a busy machine exceeds Ray's 30 seconds."""
    from ray.cluster_utils import Cluster

    one: dict[str, Any] = {"object_store_memory": 100_000_000, "wait": False}
    head: dict[str, Any] = {"num_cpus": 0, "include_dashboard": False, "temp_dir": str(folder)}
    for again in (True, True, False):
        found = Cluster()
        try:
            found.add_node(**head, **one)
            for _ in range(2):
                found.add_node(num_cpus=1, **one)
            found.wait_for_nodes(timeout=240)
            return found
        except Exception as error:  # Ray's error has no narrower class
            found.shutdown()
            if not again or "timed out during startup" not in str(error):
                raise
    raise AssertionError


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster in its own folder, set by Ray's own variable, which child processes inherit.

    Ray's Cluster writes a file into a folder that an earlier Ray would have made. The folder is under /tmp, because
    socket paths must be short.
    """
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        for name, value in (RAY | {"RAY_TMPDIR": temporary}).items():
            patch.setenv(name, value)
        (Path(temporary) / "ray").mkdir()
        found = start_cluster(Path(temporary) / "ray")
        try:
            yield found
        finally:
            found.shutdown()


def works(node: Any) -> bool:
    """True if one of our workers runs on a node."""
    (raylet,) = node.all_processes["raylet"]
    return any("Maker" in " ".join(child.cmdline()) for child in psutil.Process(raylet.process.pid).children())


def test_on_ray_replaces_a_node_that_dies(cluster: Any, ranker_folder: Path, tmp_path: Path, run: Run) -> None:
    rows = [(f"q{i % 9}", f"masks {i % 9}", str(i), "virus in bats " * (i % 11)) for i in range(SHARDS * ROWS)]
    frame = pd.DataFrame(rows, columns=["query_id", "query", "document_id", "title"])
    frame.to_parquet(tmp_path / "pairs.parquet", row_group_size=ROWS)
    line = f"python -m ranker score {tmp_path / 'pairs.parquet'} --model-dir {ranker_folder} --model int8 --out "
    run(f"{line} {tmp_path / 'here'}", ROOT)
    there = f"{line} {tmp_path / 'there'} --ray-address {cluster.address}"
    nodes = sorted(cluster.worker_nodes, key=str)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(run, there, ROOT, check=False, **RAY)
        deadline = time.monotonic() + 300
        while not (all(map(works, nodes)) and len(list((tmp_path / "there").glob("part-*"))) >= 2):
            assert not running.done(), running.result()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        cluster.remove_node(nodes[0], allow_graceful=False)
        assert running.result(timeout=600).returncode == 0, running.result()
    expected, found = ({file.name: sha256(file) for file in (tmp_path / name).iterdir()} for name in ("here", "there"))
    assert len(expected) == SHARDS + len([".lock", "plan.json"])
    assert found == expected
    deadly = f'python -c "{DEADLY}" {tmp_path / "pairs.parquet"} {tmp_path / "none"} {cluster.address}'
    result = run(deadly, ROOT, check=False, **RAY)
    message = f"deadly: {tmp_path}/pairs.parquet: row group 0: expected a worker to live, found 3 dead"
    assert (result.returncode, result.stderr.splitlines()[-1]) == (1, message)


def test_on_ray_makes_what_this_machine_makes(cluster: Any, clean: Path, run: Run) -> None:
    """On a local Ray, and on the cluster with the node that the test above has left."""
    documents, queries = (pd.read_parquet(clean / path) for path in (paths.DOCUMENTS, paths.QUERIES))
    documents.to_parquet(clean / "documents.parquet", row_group_size=100)
    queries.head(3).merge(documents, how="cross").to_parquet(clean / "pairs.parquet", row_group_size=250)
    score, feed = command("python -m ranker score"), command("python -m ranker feed documents.parquet")
    if not (clean / paths.RANKER / "model.int8.onnx").is_file():  # int8 passes the gate on some chips only
        score = score.replace("--model int8", "--model fp32")
    for there, out in ((score, "scores"), (feed.replace("address local", f"address {cluster.address}"), "feed")):
        run(there, clean, **RAY)
        run(re.sub(" --ray-address .*", "", there).replace(f"--out {out}", f"--out {out}-here"), clean)
        found, expected = (
            {file.name: sha256(file) for file in (clean / folder).iterdir()} for folder in (out, f"{out}-here")
        )
        assert found == expected
        rows, group = {"scores": (3 * len(documents), 250), "feed": (len(documents), 100)}[out]
        assert len(found) == -(-rows // group) + len([".lock", "plan.json"])
    documents.assign(document_id=documents["document_id"].mask(documents.index == 0)).to_parquet(clean / "bad.parquet")
    wrong = f"{clean}/bad.parquet: row group 0: line 1: document_id: expected an id, found ''"
    bad = f"python -m ranker feed bad.parquet --out bad --ray-address {cluster.address}"
    result = run(bad, clean, check=False, **RAY)
    assert (result.returncode, result.stderr.splitlines()[-1]) == (1, f"feed: {wrong}")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("address", "found"), [("127.0.0.1:9", "[Errno 111] Connection refused"), ("locla", "")])
def test_on_ray_names_an_address_without_a_cluster(tmp_path: Path, address: str, found: str) -> None:
    titles = {"document_id": ["a"], "title": ["Masks"]}
    pd.DataFrame(titles).to_parquet(tmp_path / "documents.parquet")
    asked = ("feed", f"{tmp_path}/documents.parquet", "--out", f"{tmp_path}/feed", "--ray-address", address)
    expected = f"feed: --ray-address: expected a Ray cluster at {address}, found: {found}"
    assert str(run_module("ranker.__main__", *asked)).startswith(expected)

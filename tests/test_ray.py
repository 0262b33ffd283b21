"""A Ray cluster of two worker nodes, of which one dies: the bytes of the local way, nothing lost or doubled."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest

from ranker.files import sha256
from tests.conftest import ROOT, Run

pytest.importorskip("ray", reason="Ray is not installed: make test installs it (requirements-scale.txt)")

SHARDS, ROWS = 40, 3000
ENVIRONMENT = os.environ | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
}


def start(line: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        line.split(),
        cwd=ROOT,
        env=ENVIRONMENT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill(node: "subprocess.Popen[bytes]") -> None:
    """A node and all that runs on it, at once."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in [*psutil.Process(node.pid).children(recursive=True), psutil.Process(node.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    node.wait()


def works(node: "subprocess.Popen[bytes]") -> bool:
    """Whether a worker of ours runs on a node."""
    with contextlib.suppress(psutil.Error):
        return any("Maker" in " ".join(child.cmdline()) for child in psutil.Process(node.pid).children(recursive=True))
    return False


@pytest.fixture
def cluster(run: Run) -> Iterator[tuple[str, list["subprocess.Popen[bytes]"]]]:
    """Its address, and its two worker nodes of one CPU each; the head has none."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, temporary = f"127.0.0.1:{port}", Path("/tmp") / f"ray-{port}"  # its sockets' paths must be short
    one = "--object-store-memory 100000000 --disable-usage-stats --block"
    head = start(
        f"ray start --head --port {port} --num-cpus 0 --include-dashboard false --node-ip-address 127.0.0.1 "
        f"--temp-dir {temporary} {one}"
    )
    deadline = time.monotonic() + 240
    while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    nodes: list[subprocess.Popen[bytes]] = []
    for cpus in (1, 2):  # one after the other: on one machine, two at once are in each other's way
        nodes.append(start(f"ray start --address {address} --num-cpus 1 --node-ip-address 127.0.0.1 {one}"))
        while f"/{cpus}.0 CPU" not in run(f"ray status --address {address}", ROOT, check=False).stdout:
            if time.monotonic() > deadline:
                for node in (*nodes, head):
                    kill(node)
                pytest.skip("Ray's nodes did not come up in four minutes: this machine is too busy for three of them")
            time.sleep(1)
    yield address, nodes
    for node in (*nodes, head):
        kill(node)
    shutil.rmtree(temporary, ignore_errors=True)


def test_a_node_dies(
    cluster: tuple[str, list["subprocess.Popen[bytes]"]], ranker_folder: Path, tmp_path: Path, run: Run
) -> None:
    address, nodes = cluster
    rows = [(f"q{i % 9}", f"masks {i % 9}", str(i), "virus in bats " * (i % 11)) for i in range(SHARDS * ROWS)]
    frame = pd.DataFrame(rows, columns=["query_id", "query", "document_id", "title"])
    frame.to_parquet(tmp_path / "pairs.parquet", row_group_size=ROWS)
    line = f"python -m ranker.score {tmp_path / 'pairs.parquet'} --ranker {ranker_folder} --model int8 --out "
    run(f"{line} {tmp_path / 'here'}", ROOT)
    there = start(f"{line} {tmp_path / 'there'} --ray-address {address}")
    deadline = time.monotonic() + 120
    while not (all(map(works, nodes)) and len(list((tmp_path / "there").glob("part-*"))) >= 2):
        assert there.poll() is None, "it ended before a node could die"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    kill(nodes[0])
    assert there.wait(timeout=180) == 0
    expected, found = ({file.name: sha256(file) for file in (tmp_path / name).iterdir()} for name in ("here", "there"))
    assert len(expected) == SHARDS + 1
    assert found == expected

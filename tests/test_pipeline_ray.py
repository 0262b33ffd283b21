"""A corpus on Ray: the bytes of the local way, on this machine and on a cluster of two nodes of which one dies.

One file, so that no two clusters come up at once: on one machine they are in each other's way.
"""

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

from ranker import tables
from ranker.files import sha256
from tests.conftest import ROOT, Run
from tests.readme import command

pytest.importorskip("ray", reason="Ray is not installed: make test installs it (requirements-scale.txt)")

SHARDS, ROWS = 40, 3000
# Of all clusters here: where a token lies in the user's folder, Ray would ask for it, and not from all alike.
RAY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}


def start(line: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        line.split(),
        cwd=ROOT,
        env=os.environ | RAY | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
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
    started = [head]
    try:
        deadline = time.monotonic() + 240
        while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        worker = f"ray start --address {address} --num-cpus 1 --node-ip-address 127.0.0.1 {one}"
        for cpus in (1, 2):  # one after the other, for the same reason
            started.append(start(worker))
            while f"/{cpus}.0 CPU" not in run(f"ray status --address {address}", ROOT, check=False, **RAY).stdout:
                assert time.monotonic() < deadline
                if started[-1].poll() is not None:  # a node has thirty seconds to come up: on a busy machine, too few
                    started[-1] = start(worker)
                time.sleep(1)
        yield address, started[1:]
    finally:
        for node in reversed(started):
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


def test_a_corpus_on_ray_is_that_of_this_machine(clean: Path, run: Run) -> None:
    documents, queries = (pd.read_parquet(clean / path) for path in (tables.DOCUMENTS, tables.QUERIES))
    documents.to_parquet(clean / "documents.parquet", row_group_size=200)
    queries.head(3).merge(documents, how="cross").to_parquet(clean / "pairs.parquet", row_group_size=500)
    score, feed = command("python -m ranker.score"), command("python -m ranker.vespa feed documents.parquet")
    for there, out in ((score, "scores"), (feed, "feed")):
        run(there, clean, **RAY)
        run(there.replace(" --ray-address local", "").replace(f"--out {out}", f"--out {out}-here"), clean)
        found, expected = (
            {file.name: sha256(file) for file in (clean / folder).iterdir()} for folder in (out, f"{out}-here")
        )
        assert found == expected
        assert len(found) == {"scores": 5, "feed": 4}[out] + 1
    documents.assign(title=documents["title"].mask(documents.index == 0)).to_parquet(clean / "bad.parquet")
    first = documents["document_id"][0]
    wrong = f"{clean}/bad.parquet: row group 0: line 1 (document_id {first!r}): expected a title in text, found None"
    for address, message in (
        ("local", wrong),
        ("127.0.0.1:9", "--ray-address: expected a Ray cluster at 127.0.0.1:9, found: [Errno 111] Connection refused"),
    ):
        line = f"python -m ranker.vespa feed bad.parquet --out bad --ray-address {address}"
        result = run(line, clean, check=False, **RAY)
        assert (result.returncode, result.stderr.splitlines()[-1]) == (1, f"vespa: {message}")
        assert "Traceback" not in result.stderr

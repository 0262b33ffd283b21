"""A running `python -m ranker serve`, for tests that ask it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.factories import ROOT


def heeds_interrupts() -> None:
    """Undo what a shell does to a job in the background, where the tests may run: it ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Server:
    """The command's process, and the address that its first line names."""

    def __init__(self, folder: Path, *options: str) -> None:
        line = [sys.executable, "-m", "ranker", "serve", "--port", "0", *options]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            line,
            cwd=folder,
            env=environment,
            preexec_fn=heeds_interrupts,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        assert self.said, self.process.communicate()[1]
        self.url = self.said.split()[1]

    def stop(self, number: int) -> tuple[int, str]:
        """Exit status after a signal, and what it wrote to its standard error."""
        self.process.send_signal(number)
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, said


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Server]:
    """A server in this folder that ends with the block."""
    server = Server(folder, *options)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate()

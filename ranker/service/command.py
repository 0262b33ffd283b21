"""Load a stack's models and documents, and serve them until a signal stops it."""

import math
import os
import signal
import socket
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from ranker.common.errors import InputError
from ranker.common.files import read_json
from ranker.common.table import SYNONYMS, Synonyms
from ranker.contract.folder import MANIFEST_FILE, Model, served_model
from ranker.search.command import Places, index_file, models_in_words
from ranker.search.search import Search, chosen, read_searchable
from ranker.service.answers import Served
from ranker.service.app import application
from ranker.serving.ranker import Ranker
from ranker.serving.retriever import Retriever

STOPPING = 30  # seconds after a signal in which requests that wait still run
IDLE = 5  # seconds that a connection is kept without a request


def serve(places: Places, model: Model | None, host: str, port: int, threads: int, names: Synonyms = SYNONYMS) -> None:
    """Serve until SIGINT or SIGTERM, and answer the requests that came before; InputError names a wrong option.

    Without `model`, each model is the one that the stack was measured with. `threads` requests run at a time, 0 for one
    a core, each in one thread.
    """
    cores = os.cpu_count() or 1
    if not 0 <= threads <= cores:
        raise InputError(f"--threads: expected 0 to {cores} (this machine's cores), found {threads}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    listening = listen(host, port)  # before the models: a port that is taken is said at once
    served = load(places, model, names)
    address, port = listening.getsockname()[:2]
    hosts = ["localhost", address] if ip_address(address).is_loopback else ["*"]
    options: dict[str, Any] = {"log_level": "warning", "access_log": False, "server_header": False, "lifespan": "off"}
    app = application(served, threads or cores, hosts, lambda: server.is_late())
    server = Server(uvicorn.Config(app, timeout_keep_alive=IDLE, use_colors=False, ws="none", **options))
    print(f"serve: http://{address}:{port} ({served.about['stack']}); Ctrl-C stops it", flush=True)
    server.run(sockets=[listening])


class Server(uvicorn.Server):
    """uvicorn's, which knows when it was told to stop."""

    stopped = math.inf  # seconds of the monotonic clock

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.stopped = min(self.stopped, time.monotonic())
        super().handle_exit(sig, frame)

    def is_late(self) -> bool:
        """True if requests that wait had their time."""
        return time.monotonic() > self.stopped + STOPPING


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; InputError if there is no such address, or another program has the port."""
    if not 0 <= port < 2**16:
        raise InputError(f"--port: expected 0 to {2**16 - 1}, found {port}")
    if not host or ":" in host:
        raise InputError(f"--host: expected a name or an IPv4 address, found {host!r}")
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]
        raise InputError(f"--host, --port: expected a free address, found {host}:{port}: {why}") from error


def load(places: Places, model: Model | None, names: Synonyms) -> Served:
    """The models in the folders of `places`, and its documents, indexed; InputError as in `search`."""
    stack, models = read_searchable(places.stack), chosen(places.stack, model)
    retriever = ranker = None
    about: dict[str, Any] = {"stack": stack.name, "models": models_in_words(stack, places, models)}
    if stack.vectors or (places.retriever / MANIFEST_FILE).is_file():
        retriever = Retriever(places.retriever, served_model(places.retriever, models["retriever"]))
        about |= of_release(places.retriever)
    if stack.runs_cross_encoder or (places.ranker / MANIFEST_FILE).is_file():
        run = served_model(places.ranker, models["cross_encoder"])
        ranker = Ranker(places.ranker, run, threads=1)
        about |= of_release(places.ranker) | {"reranker": run}
    search = Search(stack, retriever, ranker)
    fields = () if places.documents is None else index_file(search, places, models, names)
    if retriever is not None:
        retriever.threads = 1  # from here on, requests share the cores
    about |= {"documents": len(search.ids), "fields": fields}
    return Served(search if fields else None, ranker, retriever, fields, about)


def of_release(folder: Path) -> dict[str, Any]:
    """Name and version of the release that a folder of models is of."""
    manifest = read_json(folder / MANIFEST_FILE)
    return {name: manifest[name] for name in ("name", "version") if name in manifest}

"""Load a stack's models and documents, and serve them until a signal stops it."""

import os
import signal
import socket
import sys
from pathlib import Path
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

LOCAL = ("127.0.0.1", "localhost")
STOPPING = 30  # seconds for the requests that run when a signal comes
IDLE = 5  # seconds that a connection is kept without a request


def serve(places: Places, model: Model | None, host: str, port: int, threads: int, names: Synonyms = SYNONYMS) -> None:
    """Serve until SIGINT or SIGTERM, and finish the requests that run; InputError names a wrong option.

    Without `model`, each model is the one that the stack was measured with. `threads` requests run at a time, 0 for one
    a core, each in one thread.
    """
    cores = os.cpu_count() or 1
    if not 0 <= threads <= cores:
        raise InputError(f"--threads: expected 0 to {cores} (this machine's cores), found {threads}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    listening = listen(host, port)  # before the models: a port that is taken is said at once
    served = load(places, model, names)
    app = application(served, threads or cores, list(LOCAL) if host in LOCAL else ["*"])
    options: dict[str, Any] = {"log_level": "warning", "access_log": False, "server_header": False, "lifespan": "off"}
    config = uvicorn.Config(app, timeout_graceful_shutdown=STOPPING, timeout_keep_alive=IDLE, **options)
    address, port = listening.getsockname()[:2]
    print(f"serve: http://{address}:{port} ({served.about['stack']}); Ctrl-C stops it", flush=True)
    uvicorn.Server(config).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; InputError if there is no such address, or another program has the port."""
    if not 0 <= port < 2**16:
        raise InputError(f"--port: expected 0 to {2**16 - 1}, found {port}")
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
    about |= {"documents": len(search.ids), "fields": fields}
    return Served(search if fields else None, ranker, retriever, fields, about)


def of_release(folder: Path) -> dict[str, Any]:
    """Name and version of the release that a folder of models is of."""
    manifest = read_json(folder / MANIFEST_FILE)
    return {name: manifest[name] for name in ("name", "version") if name in manifest}

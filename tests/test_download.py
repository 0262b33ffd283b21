"""ranker.fetch.download: paths, and a web server that misbehaves; existing files survive every failure."""

import contextlib
import hashlib
import re
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from ranker.fetch import download
from ranker.fetch.download import fetch_file
from tests.factories import refusal

CONTENT = b"document_id,query_id,label,title-full\n" * 5000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "judgements.csv"
    path.parent.mkdir()
    path.write_text("the last good one")
    return path


def refuses(source: str, destination: Path, message: str, digest: str = "") -> None:
    """The error has these words, and the last good file is unchanged."""
    assert re.search(message, refusal(fetch_file, source, destination, digest))
    assert destination.read_text() == "the last good one"
    assert list(destination.parent.iterdir()) == [destination]


def test_fetch_file_from_a_path(tmp_path: Path, destination: Path) -> None:
    (tmp_path / "source.csv").write_bytes(CONTENT)
    fetch_file(str(tmp_path / "source.csv"), destination, DIGEST)
    assert destination.read_bytes() == CONTENT


@pytest.mark.parametrize("failed", [[], [("later", 503)], [(CONTENT[:-1] + b"?", 200)]])
def test_fetch_file_from_a_url_shows_progress_and_asks_again(
    httpserver: HTTPServer, destination: Path, capfd: pytest.CaptureFixture[str], failed: list[tuple[bytes, int]]
) -> None:
    """Again after an error, and after a damaged download."""
    for content, status in (*failed, (CONTENT, 200)):
        httpserver.expect_ordered_request("/a.csv").respond_with_data(content, status)
    fetch_file(httpserver.url_for("/a.csv"), destination, DIGEST)
    assert destination.read_bytes() == CONTENT
    assert "100%" in capfd.readouterr().err


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TRIES", 1)


def truncated(_: Request) -> Response:
    response = Response(CONTENT[:1000])
    response.headers["Content-Length"] = str(len(CONTENT))
    return response


def test_fetch_file_refuses_a_truncated_body(
    httpserver: HTTPServer, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TRIES", 2)
    httpserver.expect_request("/a.csv").respond_with_handler(truncated)
    refuses(httpserver.url_for("/a.csv"), destination, r"a.csv: .*1000 bytes read, 189000 more expected")
    assert len(httpserver.log) == 2


@pytest.mark.usefixtures("once")
def test_fetch_file_refuses_a_wrong_digest(httpserver: HTTPServer, tmp_path: Path, destination: Path) -> None:
    (tmp_path / "source.csv").write_bytes(CONTENT + b"!")
    httpserver.expect_request("/a.csv").respond_with_data(CONTENT + b"!")
    other = hashlib.sha256(CONTENT + b"!").hexdigest()
    for source in (str(tmp_path / "source.csv"), httpserver.url_for("/a.csv")):
        refuses(source, destination, f"(?s){DIGEST}.*{other}", DIGEST)


@pytest.mark.usefixtures("once")
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no/such.csv", "no/such.csv: expected a file, found none"),
        (".", r"\.: expected a file, found a folder"),
        ("ftp://example.org/a.csv", r"expected a path or an http\(s\) URL, found ftp://"),
        ("http://127.0.0.1:9/a.csv", "http://127.0.0.1:9/a.csv: .*Connection refused"),
    ],
)
def test_fetch_file_names_sources_that_are_none(source: str, message: str, destination: Path) -> None:
    refuses(source, destination, message)


@pytest.mark.usefixtures("once")
def test_fetch_file_names_a_missing_page(httpserver: HTTPServer, destination: Path) -> None:
    httpserver.expect_request("/gone.csv").respond_with_data("no", status=404)
    refuses(httpserver.url_for("/gone.csv"), destination, r"/gone.csv: 404 Client Error: NOT FOUND")


def redirecting(server: HTTPServer, there: str) -> str:
    server.expect_request("/old.csv").respond_with_data(status=302, headers={"Location": there})
    return server.url_for("/old.csv")


def test_fetch_file_follows_a_redirect(httpserver: HTTPServer, destination: Path) -> None:
    httpserver.expect_request("/a.csv").respond_with_data(CONTENT)
    fetch_file(redirecting(httpserver, "/a.csv"), destination)
    assert destination.read_bytes() == CONTENT


@pytest.mark.parametrize("there", ["https://127.0.0.1:9/a.csv", "file:///etc/hostname", "ftp://127.0.0.1:9/a.csv"])
def test_fetch_file_follows_none_to_another_scheme(httpserver: HTTPServer, destination: Path, there: str) -> None:
    url = redirecting(httpserver, there)
    refuses(url, destination, f"^{url}: expected no redirect to another scheme, found one to {there}$")
    assert len(httpserver.log) == 1  # no second try


def test_fetch_file_follows_none_without_end(httpserver: HTTPServer, destination: Path) -> None:
    url = redirecting(httpserver, "/old.csv")
    refuses(url, destination, "old.csv: expected at most 10 redirects, found more$")


def chunked(_: Request) -> Response:
    return Response((b"x" * 10_000 for _ in range(100)), direct_passthrough=True)


def test_fetch_file_refuses_more_than_a_file_may_have(
    httpserver: HTTPServer, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check works with and without a Content-Length."""
    monkeypatch.setattr(download, "MAX_BYTES", 100_000)
    httpserver.expect_request("/said.csv").respond_with_data(CONTENT)
    httpserver.expect_request("/unsaid.csv").respond_with_handler(chunked)
    for name in ("said.csv", "unsaid.csv"):
        url = httpserver.url_for(f"/{name}")
        refuses(url, destination, f"/{name}: expected at most 100000 bytes, found more$")


def _half(connection: socket.socket) -> None:
    """Read a request and answer with half of the announced length."""
    connection.recv(10_000)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500)


def _stall(connection: socket.socket, done: threading.Event) -> None:
    _half(connection)
    done.wait(30)


def _reset(connection: socket.socket, done: threading.Event) -> None:
    _half(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets the connection


def _garbage(connection: socket.socket, done: threading.Event) -> None:
    connection.recv(10_000)
    connection.sendall(b"\x00" * 100)


@pytest.mark.parametrize(
    ("answer", "message"),
    [(_stall, "Read timed out"), (_reset, "Connection reset by peer"), (_garbage, "BadStatusLine")],
)
def test_fetch_file_names_a_connection_that_breaks(
    destination: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[socket.socket, threading.Event], None],
    message: str,
) -> None:
    monkeypatch.setattr(download, "TRIES", 2)
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    done = threading.Event()
    accepted: list[socket.socket] = []

    def serve() -> None:
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                accepted.append(connection)
                with connection:
                    answer(connection, done)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        threads = [threading.Thread(target=serve) for _ in range(2)]
        for thread in threads:
            thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/a.csv"
        try:
            refuses(url, destination, f"^{url}: .*{message}")
        finally:
            done.set()
            for thread in threads:
                thread.join()
    assert len(accepted) == 2

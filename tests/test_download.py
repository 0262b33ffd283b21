"""ranker.fetch.download: paths, and a web server that misbehaves; existing files survive every failure."""

import contextlib
import hashlib
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from ranker.common.errors import InputError
from ranker.fetch import download
from ranker.fetch.download import fetch_file

CONTENT = b"document_id,query_id,label,title-full\n" * 5000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "judgements.csv"
    path.parent.mkdir()
    path.write_text("the last good one")
    return path


def unchanged(destination: Path) -> bool:
    return destination.read_text() == "the last good one" and list(destination.parent.iterdir()) == [destination]


def test_fetch_file_from_a_path(tmp_path: Path, destination: Path) -> None:
    (tmp_path / "source.csv").write_bytes(CONTENT)
    fetch_file(str(tmp_path / "source.csv"), destination, DIGEST)
    assert destination.read_bytes() == CONTENT


def test_fetch_file_from_a_url_shows_progress(
    httpserver: HTTPServer, destination: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    httpserver.expect_request("/a.csv").respond_with_data(CONTENT)
    fetch_file(httpserver.url_for("/a.csv"), destination, DIGEST)
    assert destination.read_bytes() == CONTENT
    assert "100%" in capfd.readouterr().err


def test_fetch_file_asks_a_server_that_fails_once_again(httpserver: HTTPServer, destination: Path) -> None:
    httpserver.expect_ordered_request("/a.csv").respond_with_data("later", status=503)
    httpserver.expect_ordered_request("/a.csv").respond_with_data(CONTENT)
    fetch_file(httpserver.url_for("/a.csv"), destination)
    assert destination.read_bytes() == CONTENT


def test_fetch_file_asks_again_after_a_damaged_download(httpserver: HTTPServer, destination: Path) -> None:
    httpserver.expect_ordered_request("/a.csv").respond_with_data(CONTENT[:-1] + b"?")
    httpserver.expect_ordered_request("/a.csv").respond_with_data(CONTENT)
    fetch_file(httpserver.url_for("/a.csv"), destination, DIGEST)
    assert destination.read_bytes() == CONTENT


def test_fetch_file_names_a_missing_page(
    httpserver: HTTPServer, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    with pytest.raises(InputError, match=r"/gone.csv: 404 Client Error: NOT FOUND"):
        fetch_file(_missing(httpserver), destination)
    assert unchanged(destination)


def _missing(httpserver: HTTPServer) -> str:
    httpserver.expect_request("/gone.csv").respond_with_data("no", status=404)
    return httpserver.url_for("/gone.csv")


def test_fetch_file_refuses_a_truncated_body(
    httpserver: HTTPServer, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def truncated(_: Request) -> Response:
        response = Response(CONTENT[:1000])
        response.headers["Content-Length"] = str(len(CONTENT))
        return response

    monkeypatch.setattr(download, "TRIES", 2)
    httpserver.expect_request("/a.csv").respond_with_handler(truncated)
    with pytest.raises(InputError, match=r"a.csv: .*1000 bytes read, 189000 more expected"):
        fetch_file(httpserver.url_for("/a.csv"), destination)
    assert len(httpserver.log) == 2
    assert unchanged(destination)


def test_fetch_file_refuses_a_wrong_digest(
    httpserver: HTTPServer, tmp_path: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    (tmp_path / "source.csv").write_bytes(CONTENT + b"!")
    httpserver.expect_request("/a.csv").respond_with_data(CONTENT + b"!")
    for source in (str(tmp_path / "source.csv"), httpserver.url_for("/a.csv")):
        with pytest.raises(InputError) as error:
            fetch_file(source, destination, DIGEST)
        assert DIGEST in str(error.value)
        assert hashlib.sha256(CONTENT + b"!").hexdigest() in str(error.value)
        assert unchanged(destination)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no/such.csv", "no/such.csv: expected a file, found none"),
        (".", r"\.: expected a file, found a folder"),
        ("ftp://example.org/a.csv", r"expected a path or an http\(s\) URL, found ftp://"),
        ("http://127.0.0.1:9/a.csv", "http://127.0.0.1:9/a.csv: .*Connection refused"),
    ],
)
def test_fetch_file_names_sources_that_are_none(
    source: str, message: str, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    with pytest.raises(InputError, match=message):
        fetch_file(source, destination)
    assert unchanged(destination)


def test_fetch_file_follows_a_redirect(httpserver: HTTPServer, destination: Path) -> None:
    httpserver.expect_request("/old.csv").respond_with_data(status=302, headers={"Location": "/a.csv"})
    httpserver.expect_request("/a.csv").respond_with_data(CONTENT)
    fetch_file(httpserver.url_for("/old.csv"), destination)
    assert destination.read_bytes() == CONTENT


@pytest.mark.parametrize("there", ["https://127.0.0.1:9/a.csv", "file:///etc/hostname", "ftp://127.0.0.1:9/a.csv"])
def test_fetch_file_follows_none_to_another_scheme(httpserver: HTTPServer, destination: Path, there: str) -> None:
    httpserver.expect_request("/a.csv").respond_with_data(status=302, headers={"Location": there})
    url = httpserver.url_for("/a.csv")
    with pytest.raises(InputError, match=f"^{url}: expected no redirect to another scheme, found one to {there}$"):
        fetch_file(url, destination)
    assert len(httpserver.log) == 1  # no second try
    assert unchanged(destination)


def test_fetch_file_follows_none_without_end(httpserver: HTTPServer, destination: Path) -> None:
    httpserver.expect_request("/a.csv").respond_with_data(status=302, headers={"Location": "/a.csv"})
    with pytest.raises(InputError, match="a.csv: expected at most 10 redirects, found more$"):
        fetch_file(httpserver.url_for("/a.csv"), destination)
    assert unchanged(destination)


def test_fetch_file_refuses_more_than_a_file_may_have(
    httpserver: HTTPServer, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check works with and without a Content-Length."""
    monkeypatch.setattr(download, "MAX_BYTES", 100_000)

    def chunked(_: Request) -> Response:
        return Response((b"x" * 10_000 for _ in range(100)), direct_passthrough=True)

    httpserver.expect_request("/said.csv").respond_with_data(CONTENT)
    httpserver.expect_request("/unsaid.csv").respond_with_handler(chunked)
    for name in ("said.csv", "unsaid.csv"):
        with pytest.raises(InputError, match=f"/{name}: expected at most 100000 bytes, found more$"):
            fetch_file(httpserver.url_for(f"/{name}"), destination)
        assert unchanged(destination)


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
            with pytest.raises(InputError, match=f"^{url}: .*{message}"):
                fetch_file(url, destination)
        finally:
            done.set()
            for thread in threads:
                thread.join()
    assert len(accepted) == 2
    assert unchanged(destination)

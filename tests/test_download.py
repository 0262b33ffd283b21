"""Files from paths and from a web server that misbehaves; what was there stays there when anything fails."""

import hashlib
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from ranker import download
from ranker.download import fetch_file
from ranker.errors import InputError

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


def test_a_path(tmp_path: Path, destination: Path) -> None:
    (tmp_path / "source.csv").write_bytes(CONTENT)
    fetch_file(str(tmp_path / "source.csv"), destination, DIGEST)
    assert destination.read_bytes() == CONTENT


def test_a_url_with_progress(httpserver: HTTPServer, destination: Path, capfd: pytest.CaptureFixture[str]) -> None:
    httpserver.expect_request("/a.csv").respond_with_data(CONTENT)
    fetch_file(httpserver.url_for("/a.csv"), destination, DIGEST)
    assert destination.read_bytes() == CONTENT
    assert "100%" in capfd.readouterr().err


def test_a_server_that_fails_once_is_asked_again(httpserver: HTTPServer, destination: Path) -> None:
    httpserver.expect_ordered_request("/a.csv").respond_with_data("later", status=503)
    httpserver.expect_ordered_request("/a.csv").respond_with_data(CONTENT)
    fetch_file(httpserver.url_for("/a.csv"), destination)
    assert destination.read_bytes() == CONTENT


def test_a_download_damaged_once_is_asked_again(httpserver: HTTPServer, destination: Path) -> None:
    httpserver.expect_ordered_request("/a.csv").respond_with_data(CONTENT[:-1] + b"?")
    httpserver.expect_ordered_request("/a.csv").respond_with_data(CONTENT)
    fetch_file(httpserver.url_for("/a.csv"), destination, DIGEST)
    assert destination.read_bytes() == CONTENT


def test_a_missing_page(httpserver: HTTPServer, destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    with pytest.raises(InputError, match=r"/gone.csv: 404 Client Error: NOT FOUND"):
        fetch_file(_missing(httpserver), destination)
    assert unchanged(destination)


def _missing(httpserver: HTTPServer) -> str:
    httpserver.expect_request("/gone.csv").respond_with_data("no", status=404)
    return httpserver.url_for("/gone.csv")


def test_a_truncated_body(httpserver: HTTPServer, destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_wrong_digest(
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
def test_sources_that_are_none(source: str, message: str, destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TRIES", 1)
    with pytest.raises(InputError, match=message):
        fetch_file(source, destination)
    assert unchanged(destination)

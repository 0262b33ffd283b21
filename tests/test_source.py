"""ranker.fetch.source: the named files of a folder, an archive or an archive's URL; all of them or none."""

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from ranker.common.errors import InputError
from ranker.common.files import sha256
from ranker.fetch import download, source
from ranker.fetch.source import take_files
from tests.factories import refusal

NAMES = ("a.json", "b.csv")
CONTENT = {"a.json": b"[1]", "b.csv": b"x,y\r\n"}


@pytest.fixture(autouse=True)
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TRIES", 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files to take, and others beside them."""
    made = tmp_path / "mine"
    (made / "more").mkdir(parents=True)
    for name, content in (CONTENT | {"notes.txt": b"n", "more/c.txt": b"c"}).items():
        (made / name).write_bytes(content)
    return made


@pytest.fixture
def archive(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", folder))


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    """A folder that has the files of an earlier fetch."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/before").write_text("before")
    return tmp_path / "raw"


def taken(destination: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in destination.iterdir()}


def refuses(message: str, place: str, destination: Path, digest: str = "") -> None:
    """The error has these words after the source's name, and the earlier files are unchanged."""
    error = refusal(take_files, place, NAMES, destination, digest)
    assert error.startswith(f"{place}: {message}")
    assert taken(destination) == {"before": b"before"}


def test_take_files_from_a_folder(folder: Path, destination: Path) -> None:
    take_files(str(folder), NAMES, destination)
    assert taken(destination) == CONTENT


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "xztar"])
@pytest.mark.parametrize("base", ["mine", "."])
def test_take_files_from_an_archive_of_the_folder_or_of_what_is_in_it(
    folder: Path, destination: Path, kind: str, base: str
) -> None:
    root = folder.parent if base == "mine" else folder
    made = shutil.make_archive(str(folder.parent / "packed"), kind, root, base)
    take_files(made, NAMES, destination, sha256(Path(made)))
    assert taken(destination) == CONTENT


@pytest.mark.parametrize("packed", [False, True])
def test_take_files_passes_over_hidden_files_that_a_pattern_does_not_name(
    folder: Path, destination: Path, packed: bool
) -> None:
    """macOS writes a `._test.tsv` beside a test.tsv on foreign disks, and into a tar."""
    for name in ("qrels/test.tsv", "qrels/._test.tsv", "._a.json", ".b.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    place = shutil.make_archive(str(folder), "gztar", folder) if packed else str(folder)
    take_files(place, ("a.json", "qrels/*.tsv", ".b.csv"), destination)
    files = {file.relative_to(destination).as_posix() for file in destination.rglob("*") if file.is_file()}
    assert files == {"a.json", "qrels/test.tsv", ".b.csv"}


def test_take_files_refuses_what_lacks_one(folder: Path, archive: Path, destination: Path) -> None:
    (folder / "b.csv").unlink()
    refuses("expected the file b.csv, found a.json, more, notes.txt", str(folder), destination)
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("mine/a.json", "[1]")
    refuses("expected the file b.csv once, found mine/a.json", str(archive), destination)


def test_take_files_refuses_a_name_that_is_there_twice(archive: Path, destination: Path) -> None:
    with zipfile.ZipFile(archive, "a") as made:
        made.writestr("old/a.json", "[2]")
    refuses("expected the file a.json once, found ", str(archive), destination)


def test_take_files_refuses_files_of_a_pattern_that_would_be_one(tmp_path: Path, destination: Path) -> None:
    with zipfile.ZipFile(tmp_path / "beir.zip", "w") as made:
        for name in ("old/qrels/test.tsv", "new/qrels/test.tsv"):
            made.writestr(name, "")
    with pytest.raises(InputError, match=r"beir\.zip: expected all files in one folder, found new/ and old/"):
        take_files(str(tmp_path / "beir.zip"), ("qrels/*.tsv",), destination)


@pytest.mark.parametrize("path", ["../a.json", "/a.json", "mine/../../a.json", "..\\a.json", "C:\\a.json", "C:/a.json"])
def test_take_files_refuses_members_that_lead_out_of_the_archive(
    archive: Path, destination: Path, path: str, tmp_path: Path
) -> None:
    with zipfile.ZipFile(archive, "a") as made:
        made.writestr(path, "[2]")
    refuses(f"expected members within the archive, found {path!r}", str(archive), destination)
    packed = tmp_path / "packed.tar"
    with tarfile.open(packed, "w") as tar:
        tar.addfile(tarfile.TarInfo(path), io.BytesIO())
    refuses(f"expected members within the archive, found {path!r}", str(packed), destination)


def test_take_files_refuses_links(folder: Path, destination: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (folder / "b.csv").unlink()
    (folder / "b.csv").symlink_to(secret)
    packed = shutil.make_archive(str(tmp_path / "packed"), "tar", folder)
    refuses("./b.csv: expected a file, found a link or a device", packed, destination)
    link = zipfile.ZipInfo("b.csv")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "linked.zip", "w") as made:
        made.writestr("a.json", "[1]")
        made.writestr(link, str(secret))
    refuses("b.csv: expected a file, found a link", str(tmp_path / "linked.zip"), destination)


def test_take_files_refuses_more_than_a_file_may_have(
    archive: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MAX_BYTES", 4)
    refuses("b.csv: expected at most 4 bytes, found more", str(archive), destination)


def serve(server: HTTPServer, archive: Path, **headers: str) -> str:
    server.expect_request("/mine.zip").respond_with_data(archive.read_bytes(), headers=headers)
    return server.url_for("/mine.zip")


def test_take_files_from_a_url_whose_server_names_a_version(
    httpserver: HTTPServer, archive: Path, destination: Path
) -> None:
    take_files(serve(httpserver, archive, ETag='"1"'), NAMES, destination)
    assert taken(destination) == CONTENT


def test_take_files_asks_for_a_digest_where_the_server_names_no_version(
    httpserver: HTTPServer, archive: Path, destination: Path
) -> None:
    """Without a version DVC would miss a change; the error line has the digest, and with it the source is accepted."""
    url, digest = serve(httpserver, archive), sha256(archive)
    why = "expected the digest, because its server gives no ETag that DVC could watch, found none: it is"
    refuses(f"fetch.sha256: {why} {digest}", url, destination)
    take_files(url, NAMES, destination, digest)
    assert taken(destination) == CONTENT

"""The registry of versions, what Vespa serves of them, and the way back: a real Git and DVC project, a real server."""

import json
import re
import shlex
import shutil
from datetime import datetime
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from ranker.common.files import sha256
from ranker.fetch.registry import tag, take, versions
from ranker.project import paths
from ranker.release.served import CONTENT
from ranker.vespa.beside import write_beside
from tests.applications import vespa_settings, write_package
from tests.factories import PARAMS, ROOT, Run, refusal, run_module
from tests.readme import command

NAME = PARAMS.export.name
STAGE = "stages:\n  package:\n    cmd: 'true'\n    deps: [made]\n    outs: [models/vespa]\n"
REASON = "the shop opens tomorrow"
VERSIONS = "0.9.0", "0.10.0", "0.11.0"  # in the order of their numbers, not of their letters


def tree(folder: Path) -> dict[str, str]:
    """Digest of each file, by its path in the folder."""
    return {file.relative_to(folder).as_posix(): sha256(file) for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def packages(ranker_folder: Path, word_vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of application packages, by version."""
    folder = tmp_path_factory.mktemp("packages")
    for version in VERSIONS:
        settings = vespa_settings("hybrid+fused", version=version)
        write_package(folder / version, ranker_folder, settings, retriever=word_vectors)
    return folder


@pytest.fixture(scope="module")
def registered(packages: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A project in the sub-folder `ranking` of a Git repository, with these packages, pushed and registered."""
    folder = tmp_path_factory.mktemp("registered") / "shop/ranking"
    folder.mkdir(parents=True)
    run("git init -q .. && dvc init -q --subdir && dvc remote add -q -d storage ../../storage", folder)
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    (folder / "dvc.yaml").write_text(STAGE)
    (folder / ".gitignore").write_text("/models\n")
    for version in VERSIONS:
        release(folder, packages / version, version, run, REASON if version == "0.10.0" else None)
    return folder.parents[1]


def release(folder: Path, package: Path, version: str, run: Run, reason: str | None = None) -> None:
    shutil.rmtree(folder / "models", ignore_errors=True)
    shutil.copytree(package, folder / "models/vespa")
    (folder / "made").write_text(version)
    (folder / "releases").mkdir(exist_ok=True)
    (folder / f"releases/{version}.json").write_text(json.dumps({"version": version, "reason": reason}))
    run("dvc commit -q --force && dvc push -q && git add --all", folder)
    run(f"git commit -q -m {version} && gto register ranking:{NAME} --version v{version}", folder)


@pytest.fixture
def project(registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project, with its remote beside it; this process works in it."""
    shutil.copytree(registered, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy/shop/ranking")
    return Path.cwd()


def test_versions_are_the_registered_ones_by_number(project: Path, run: Run) -> None:
    found = versions(NAME)
    assert [version.version for version in found] == ["0.9.0", "0.10.0", "0.11.0"]
    assert [version.reason for version in found] == [None, REASON, None]
    for version in found:
        assert version.tag == f"ranking={NAME}@v{version.version}"
        shown = run(f"git for-each-ref --format='%(*objectname) %(taggerdate:unix)' 'refs/tags/{version.tag}'", project)
        commit, seconds = shown.stdout.split()
        assert (version.commit, datetime.fromisoformat(version.date).timestamp()) == (commit, int(seconds))
    assert tag(NAME).version == "0.11.0"
    assert tag(NAME, before=1) == tag(NAME, "v0.10.0") == found[1]
    run(f"git checkout -q HEAD~2 && gto deprecate ranking:{NAME} v0.11.0", project)
    assert [version.version for version in versions(NAME)] == ["0.9.0", "0.10.0"]
    assert versions("other") == []


@pytest.mark.parametrize("place", ["cache", "remote", "clone"])
def test_outputs_come_from_the_cache_or_the_remote(
    project: Path, packages: Path, place: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "cache":
        shutil.rmtree(project.parents[1] / "storage")
    if place == "remote":
        shutil.rmtree(project / ".dvc/cache")
        (project.parents[1] / "storage").rename(project.parents[1] / "moved")  # since the last commit
        run("dvc remote modify -q storage url ../../moved", project)
    if place == "clone":
        run("git clone -q shop clone", project.parents[1])
        monkeypatch.chdir(project.parents[1] / "clone/ranking")
    take(paths.VESPA, tag(NAME, before=2).tag, Path("taken"))
    assert tree(Path("taken")) == tree(packages / "0.9.0")
    take(paths.VESPA / "services.xml", tag(NAME).tag, Path("services.xml"))
    assert Path("services.xml").read_bytes() == (packages / "0.11.0/services.xml").read_bytes()
    take(Path("made"), tag(NAME, "0.10.0").tag, Path("version"))  # Git has it
    assert Path("version").read_text() == "0.10.0"


def test_registry_refuses_with_one_line(
    project: Path, packages: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = "0.9.0, 0.10.0, 0.11.0"
    assert (
        refusal(tag, NAME, "1.0.0") == f"{NAME}: expected a registered version, found 1.0.0; registered are: {listed}"
    )
    assert refusal(tag, NAME, before=3) == f"{NAME}: expected at least 4 registered, found {listed}"
    assert refusal(tag, "other") == "other: expected at least 1 registered, found none (git fetch --tags)"
    newest = tag(NAME).tag
    found = refusal(take, Path("models/none"), newest, Path("taken"))
    assert found == f"models/none: expected a file or a folder of the project at {newest}, found none"
    shutil.rmtree(project / ".dvc/cache")
    schema = (packages / "0.11.0/schemas/doc.sd").read_bytes()
    (stored,) = [file for file in (project.parents[1] / "storage").rglob("*") if is_copy(file, schema)]
    stored.chmod(0o644)
    stored.write_text("an interrupted copy")
    assert "doc.sd at" in refusal(take, paths.VESPA, newest, Path("taken"))
    for state in ("a file is missing", "all are"):
        stored.unlink() if state == "a file is missing" else shutil.rmtree(project.parents[1] / "storage")
        run(f"rm -rf clone && git clone -q {project.parent} clone", tmp_path)
        monkeypatch.chdir(tmp_path / "clone/ranking")
        found = refusal(take, paths.VESPA, newest, Path("taken"))
        assert found.startswith(f"models/vespa at {newest}: expected its data in DVC's cache or remote (dvc push")
        assert not Path("taken").exists()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert refusal(versions, NAME).startswith(f"{tmp_path}/empty: expected a DVC project in a Git repository, found")
    run("dvc init -q --no-scm", tmp_path / "empty")
    assert refusal(versions, NAME).startswith(f"{tmp_path}/empty: expected a DVC project in a Git repository, found")


def is_copy(file: Path, content: bytes) -> bool:
    return file.is_file() and file.read_bytes() == content


@pytest.fixture
def both(packages: Path, tmp_path: Path) -> Path:
    """The application that is served while 0.11.0 takes over from 0.10.0."""
    write_beside(packages / "0.11.0", packages / "0.10.0", tmp_path / "both")
    return tmp_path / "both"


@pytest.fixture
def config_server(httpserver: HTTPServer, both: Path) -> str:
    """Address of a stand-in for Vespa's config server, with the application `both`.

    It answers as Vespa does by what its command line (`vespa fetch`) reads: a directory is a list of URIs.
    """

    def answer(request: Request) -> Response:
        name = request.path.removeprefix(CONTENT).removeprefix("/")
        found = both / name
        if not request.path.startswith(CONTENT) or not found.exists():
            return Response("{}", 404)
        if found.is_file():
            return Response(found.read_bytes())
        root = f"http://vespa-container:19071{CONTENT}/"
        uris = [f"{root}{file.relative_to(both)}{'/' * file.is_dir()}" for file in sorted(found.iterdir())]
        return Response(json.dumps(uris), content_type="application/json")

    (both / ".preprocessed").mkdir()
    (both / ".preprocessed/services.xml").write_text("as Vespa read it")
    httpserver.expect_request(re.compile(".*")).respond_with_handler(answer)
    return httpserver.url_for("/")


def call(capsys: pytest.CaptureFixture[str], line: str) -> tuple[str | int | None, list[str]]:
    """Exit status, or the line before status 1, and the printed lines of `python -m MODULE ARGUMENTS`."""
    capsys.readouterr()
    _, _, module, *arguments = shlex.split(line)
    status = run_module(module, *arguments)
    return status, capsys.readouterr().out.splitlines()


Said = pytest.CaptureFixture[str]
DEPLOY = "  vespa deploy --wait 300 rolled-back"
FEED = [
    "  python -m ranker feed data/joined/documents.parquet --application rolled-back --out feed.jsonl",
    "  vespa feed feed.jsonl",
]
LISTED = [
    "version     commit   registered at         although refused, because",
    "0.9.0",
    "0.10.0",
    "0.11.0",
]


def test_the_version_before_comes_back_without_feeding(
    project: Path, packages: Path, config_server: str, both: Path, capsys: Said
) -> None:
    """While its field is served, whoever asks for the folder or the server; the newer one's vectors stay, too."""
    write_beside(packages / "0.10.0", packages / "0.11.0", Path("expected"))
    for place in (config_server, str(both)):
        line = command("python -m scripts.roll_back --served").replace("http://localhost:19071", place)
        status, said = call(capsys, line)
        assert (status, said) == (0, [
            "served: 0.11.0, and beside it 0.10.0",
            "rolled-back: 0.10.0, and 0.11.0 beside it, whose vectors stay",
            "nothing to feed; deploy it:",
            DEPLOY,
        ])  # fmt: skip
        assert tree(Path("rolled-back")) == tree(Path("expected"))
    assert "rank-profile ranker inherits hybrid_fused_0_10_0" in Path("rolled-back/schemas/doc.sd").read_text()
    status, said = call(capsys, "python -m scripts.roll_back --version 0.11.0 --served rolled-back --out forward")
    assert (status, said[2]) == (0, "nothing to feed; deploy it:")  # nothing was lost in the other direction
    assert tree(Path("forward")) == {name: at for name, at in tree(both).items() if not name.startswith(".")}
    before = tree(Path("rolled-back"))
    status, said = call(capsys, "python -m scripts.roll_back --version 0.10.0 --served rolled-back")
    assert (status, said[1]) == (0, "rolled-back: 0.10.0, which is served already, as it was registered")
    assert tree(Path("rolled-back")) == before


def test_vectors_that_are_gone_must_be_fed_again(project: Path, packages: Path, capsys: Said) -> None:
    status, said = call(capsys, command("python -m scripts.roll_back --version"))
    gone = "no field embedding_0_9_0 is served: deploy it, then feed all documents again:"
    assert (status, said) == (0, [
        "served: 0.11.0 (assumed: say --served, if another package serves)",
        "rolled-back: 0.9.0, and 0.11.0 beside it, whose vectors stay",
        gone, DEPLOY, *FEED,
        "until all are fed, ask for hybrid_fused_0_11_0 by its name",
    ])  # fmt: skip
    write_beside(packages / "0.9.0", packages / "0.11.0", Path("expected"))
    assert tree(Path("rolled-back")) == tree(Path("expected"))


def test_every_served_version_stays(project: Path, packages: Path, both: Path, capsys: Said) -> None:
    """A profile without its field would not deploy, and a field twice would not either."""
    status, said = call(capsys, f"python -m scripts.roll_back --version 0.9.0 --served {both}")
    assert (status, said[1]) == (0, "rolled-back: 0.9.0, and 0.11.0 beside it, whose vectors stay")
    status, said = call(capsys, "python -m scripts.roll_back --version 0.10.0 --served rolled-back --out again")
    assert (status, said[:3]) == (0, [
        "served: 0.9.0, and beside it 0.10.0, and beside it 0.11.0",
        "again: 0.10.0, and 0.9.0 beside it, whose vectors stay",
        "nothing to feed; deploy it:",
    ])  # fmt: skip
    for folder in ("rolled-back", "again"):
        schema, services = (Path(folder, file).read_text() for file in ("schemas/doc.sd", "services.xml"))
        assert len(list(Path(folder, "schemas/doc").iterdir())) == 3 * 9
        for version in ("0_9_0", "0_10_0", "0_11_0"):
            assert schema.count(f"field embedding_{version} type") == 1
            assert services.count(f'<component id="retriever_{version}"') == 1


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("files/retriever_0_10_0.onnx", "embedding_0_10_0 is served with another files/retriever_0_10_0.onnx"),
        ("schemas/doc.sd", "embedding_0_10_0 is made otherwise in the served doc.sd"),
        ("services.xml", "embedding_0_10_0 is made otherwise in the served services.xml"),
    ],
)
def test_a_field_of_the_same_name_may_have_other_vectors(
    project: Path, both: Path, file: str, reason: str, capsys: Said
) -> None:
    content = (both / file).read_bytes()
    for old, new in ((b"tensor<float>(x[16])", b"tensor<bfloat16>(x[16])"), (b"<max-tokens>", b"<max-tokens>1")):
        content = content.replace(old, new)
    (both / file).write_bytes(content + b"\n")
    status, said = call(capsys, f"python -m scripts.roll_back --served {both}")
    assert status == 0
    assert said[1] == f"served: {file} is another"
    assert said[3] == f"{reason}: deploy it, then feed all documents again:"


def test_a_version_that_cannot_stand_beside_goes(
    project: Path, packages: Path, ranker_folder: Path, word_vectors: Path, run: Run, capsys: Said
) -> None:
    french = vespa_settings("hybrid+fused", language="fr", version="0.12.0")
    package = write_package(Path("french"), ranker_folder, french, retriever=word_vectors)
    release(project, package, "0.12.0", run)
    status, said = call(capsys, "python -m scripts.roll_back")
    why = "served/pieces/fields.sd: expected the same as 0.11.0/pieces/fields.sd, which both read, found another"
    assert (status, said[1:]) == (0, [
        f"rolled-back: 0.11.0 alone, because 0.12.0 cannot stand beside it: {why.replace('served', '0.12.0')}",
        "the fields are others, and those of 0.12.0 go with the deploy: deploy it, then feed all documents again:",
        DEPLOY, *FEED,
    ])  # fmt: skip
    assert tree(Path("rolled-back")) == tree(packages / "0.11.0")


def test_a_version_without_vectors_needs_no_feed(
    project: Path, ranker_folder: Path, packages: Path, run: Run, capsys: Said
) -> None:
    package = write_package(Path("words"), ranker_folder, vespa_settings(version="0.8.0"))
    release(project, package, "0.8.0", run)
    status, said = call(capsys, f"python -m scripts.roll_back --version 0.8.0 --served {packages / '0.11.0'}")
    assert (status, said[-2:]) == (0, ["nothing to feed; deploy it:", DEPLOY])
    status, said = call(capsys, "python -m scripts.roll_back --version 0.9.0 --served rolled-back --out again")
    assert said[2] == "no field embedding_0_9_0 is served: deploy it, then feed all documents again:"


def test_registered_lists_versions_and_finds_the_newest_served(
    project: Path, packages: Path, config_server: str, both: Path, capsys: Said
) -> None:
    status, said = call(capsys, command("python -m scripts.registered"))
    assert status == 0
    assert [line.split()[0] for line in said] == [line.split()[0] for line in LISTED]
    assert said[0] == LISTED[0]
    for line, found in zip(said[1:], versions(NAME), strict=True):
        assert line.split(maxsplit=3) == [found.version, found.commit[:7], found.date, *filter(None, [found.reason])]
    newest = "it is the newest, and each file is as registered"
    for place, now in ((config_server, "0.11.0, and beside it 0.10.0"), (packages / "0.11.0", "0.11.0")):
        line = command("python -m scripts.registered --served").replace("http://localhost:19071", str(place))
        status, said = call(capsys, line)
        assert (status, said[4:]) == (0, [f"served: {now}", newest])


def test_registered_says_that_something_else_is_served(
    project: Path, packages: Path, config_server: str, both: Path, ranker_folder: Path, run: Run, capsys: Said
) -> None:
    """A cron job sees exit status 1: an older version, an edited file, the same number with another model, a branch."""
    (both / "schemas/doc/dense_0_11_0.profile").unlink()
    (both / "hosts.xml").write_text("<hosts/>")
    (both / "files/cross_encoder_0_11_0.onnx").write_bytes(b"another training's")
    status, said = call(capsys, f"python -m scripts.registered --served {config_server}")
    assert len(said) == 5
    assert status == (
        f"registered: {config_server}: expected 0.11.0 as it was registered, found 0.11.0: "
        "files/cross_encoder_0_11_0.onnx is another; hosts.xml is added; schemas/doc/dense_0_11_0.profile is missing"
    )
    status, _ = call(capsys, f"python -m scripts.registered --served {packages / '0.10.0'}")
    found = f"{packages}/0.10.0: expected 0.11.0 as it was registered, found 0.10.0"
    assert status == f"registered: {found}: 0.11.0 is the newest registered version"
    write_package(Path("branch"), ranker_folder, vespa_settings(version="0.12.0"))
    status, _ = call(capsys, "python -m scripts.registered --served branch")
    assert "found 0.12.0: 0.11.0 is the newest registered version; 0.12.0 is not registered" in str(status)
    status, said = call(capsys, "python -m scripts.roll_back --version 0.11.0 --served branch")
    assert (status, said[1]) == (0, "served: 0.12.0 is not registered")
    run("rm -rf .dvc/cache ../../storage", project)
    status, _ = call(capsys, f"python -m scripts.registered --served {both}")
    assert ": nothing to compare with: models/vespa at ranking=" in str(status)


def test_commands_refuse_with_one_line(
    project: Path, config_server: str, both: Path, httpserver: HTTPServer, run: Run, capsys: Said
) -> None:
    cases = {
        "--version 2.0.0": f"{NAME}: expected a registered version, found 2.0.0; registered are: 0.9.0, 0.10.0, 0.11.0",
        "--out made": "--out: expected a new folder or an application package to replace, found made",
        "--out models": "--out: expected a new folder or an application package to replace, found models",
        "--served made": "made: expected a package of stage package or http://..., found no query-settings.json",
        "--served http://127.0.0.1:9": f"http://127.0.0.1:9{CONTENT}: expected Vespa's config server with",
        f"--served {config_server}search": f"{config_server}search{CONTENT}: expected Vespa's config server",
    }
    for options, message in cases.items():
        status, _ = call(capsys, f"python -m scripts.roll_back {options}")
        assert str(status).startswith(f"roll_back: {message}"), status
        assert "\n" not in str(status).replace("\nparams.yaml differs", "")
    # export.version was not raised
    run(f"git commit -q --allow-empty -m more && gto register ranking:{NAME} --version v0.12.0", project)
    status, _ = call(capsys, f"python -m scripts.roll_back --version 0.12.0 --served {both}")
    found = f"models/vespa at ranking={NAME}@v0.12.0: expected a package of 0.12.0, found 0.11.0"
    assert str(status).startswith(f"roll_back: {found}")
    (both / "query-settings.json").unlink()  # an application of one's own that took the pieces
    status, _ = call(capsys, f"python -m scripts.registered --served {config_server}")
    assert str(status).startswith(f"registered: {config_server}: expected a package of stage package or http://")
    httpserver.clear()
    httpserver.expect_request(re.compile(".*")).respond_with_data("<html>a proxy's page</html>")
    status, _ = call(capsys, f"python -m scripts.registered --served {config_server}")
    assert "expected Vespa's config server with an application, found: " in str(status)
    assert not Path("rolled-back").exists()
    run("git tag --delete $(git tag)", project)  # as in a shallow clone
    status, _ = call(capsys, "python -m scripts.registered")
    assert str(status).startswith(f"registered: {NAME}: expected at least 1 registered, found none (git fetch --tags)")

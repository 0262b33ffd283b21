"""The application that Vespa serves: its files, an older version's vectors in it, and what is not as registered."""

import re
from pathlib import Path, PurePath

import requests

from ranker.common.errors import InputError
from ranker.common.files import sha256
from ranker.fetch.registry import tag, take, versions
from ranker.project import paths
from ranker.vespa.beside import versions_in, write_beside
from ranker.vespa.names import TOKENIZER
from ranker.vespa.package import pieces
from ranker.vespa.query import SETTINGS_FILE, read_settings

CONTENT = (  # of a self-hosted Vespa's config server; `vespa fetch` reads the same
    "/application/v2/tenant/default/application/default/environment/prod/region/default/instance/default/content"
)
TIMEOUT = 60  # seconds without a byte


def served(place: str, folder: Path) -> Path:
    """The folder of the application at `place`: `place` itself, or `folder` with what a config server says is active.

    InputError if there is none, or if it is no application package of stage package.
    """
    found = Path(place)
    if re.match(r"https?://", place):
        found = folder
        _copy(place.rstrip("/") + CONTENT, "", folder)
    if not (found / SETTINGS_FILE).is_file():
        raise InputError(f"{place}: expected a package of stage package or http://..., found no {SETTINGS_FILE}")
    return found


def as_registered(name: str, asked: list[str], folder: Path) -> Path:
    """The application of registered versions, the first with the others beside it; `folder` takes the packages.

    InputError if a package is of another version than its tag: params.yaml had not been raised.
    """
    for version in asked:
        found = tag(name, version)
        take(paths.VESPA, found.tag, folder / version)
        if (packed := read_settings(folder / version).names.version) != found.version:
            raise InputError(f"{paths.VESPA} at {found.tag}: expected a package of {found.version}, found {packed}")
    first, *others = (folder / version for version in asked)
    for other in others:
        write_beside(first, other, folder / "both")
        first = folder / "both"
    return first


def _copy(root: str, place: str, folder: Path) -> None:
    """Copy what is below a config server's directory `place`, except hidden files, which Vespa itself adds."""
    url = f"{root}/{place}" if place else root
    try:
        with requests.get(url, timeout=TIMEOUT, stream=True) as response:
            response.raise_for_status()
            if place and not place.endswith("/"):
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                with (folder / place).open("wb") as file:
                    file.writelines(response.iter_content(2**20))
                return
            names = [str(uri).partition("/content/")[2] for uri in response.json()]
    except (requests.RequestException, ValueError, TypeError) as error:
        raise InputError(f"{url}: expected Vespa's config server with an application, found: {error}") from error
    for name in names:
        if name.startswith(place) and name != place and not _hidden(PurePath(name)):
            _copy(root, name, folder)


def lost_vectors(package: Path, application: Path) -> str | None:
    """The reason why an application has no vectors that `package` can search, None if it has them.

    A field may have the same name and another model's vectors, so the model and all that makes the field are compared.
    """
    settings = read_settings(package)
    if not settings.has_retriever:
        return None
    names = settings.names
    schema = application / f"schemas/{names.document_type}.sd"
    if not schema.is_file() or f"field {names.vectors} type" not in schema.read_text("utf-8"):
        return f"no field {names.vectors} is served"
    part = names.of("retriever")
    _, embedder, _, vectors = pieces(names)
    for file in (f"files/{part}.onnx", f"{TOKENIZER}/{part}.json"):
        if not (application / file).is_file() or sha256(application / file) != sha256(package / file):
            return f"{names.vectors} is served with another {file}"
    for place, made in ((schema, vectors), (application / "services.xml", embedder)):
        if (package / made).read_text("utf-8") not in place.read_text("utf-8"):
            return f"{names.vectors} is made otherwise in the served {place.name}"
    return None


def unlike_registered(name: str, application: Path, folder: Path) -> list[str]:
    """Each version in an application that is not registered; or else each file that is not as registered."""
    found = versions_in(application)
    unknown = set(found) - {registered.version for registered in versions(name)}
    if unknown:
        return [f"{version} is not registered" for version in sorted(unknown)]
    try:
        here, there = _digests(application), _digests(as_registered(name, found, folder))
    except InputError as error:  # its data may be gone, and the way back must not depend on them
        return [f"nothing to compare with: {str(error).replace(f'{folder}/', '')}"]
    kinds = {file: "another" if file in there else "added" for file in here}
    kinds |= {file: "missing" for file in there if file not in here}
    return [f"{file} is {kinds[file]}" for file in sorted(kinds) if here.get(file) != there.get(file)]


def _digests(folder: Path) -> dict[str, str]:
    files = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    return {file.as_posix(): sha256(folder / file) for file in files if not _hidden(file)}


def _hidden(file: PurePath) -> bool:
    return any(part.startswith(".") for part in file.parts)

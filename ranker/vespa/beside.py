"""Two versions in one application: the older one serves while Vespa makes the newer one's vectors."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

from ranker.common.errors import InputError
from ranker.common.files import atomic
from ranker.vespa.names import TOKENIZER, Names
from ranker.vespa.package import pieces
from ranker.vespa.query import QuerySettings, read_settings


def write_beside(newer: Path, older: Path, out: Path) -> tuple[str, str]:
    """Write `newer` to the folder `out`, with the older package's profiles, models, embedder and vector field beside.

    Queries get the newer one by default. Either may have further versions beside it, which stay. Returns the two
    versions. InputError if these are equal, or if other names, the tokenizer or the fields that versions share differ.
    """
    new, old = read_settings(newer), read_settings(older)
    if new.names.version == old.names.version:
        raise InputError(f"{older}: expected another version than {newer} has, found {old.names.version}, too")
    _check_shared(newer, older, new, old)
    with atomic(out) as partial:
        shutil.copytree(newer, partial)
        for folder in ("files", TOKENIZER, "pieces", f"schemas/{old.names.document_type}"):
            for file in (older / folder).iterdir():
                if not (partial / folder / file.name).exists():
                    shutil.copyfile(file, partial / folder / file.name)
        for version in sorted(set(versions_in(older)) - set(versions_in(newer))):
            _add(older, replace(old.names, version=version), partial)
    return new.names.version, old.names.version


def versions_in(application: Path) -> list[str]:
    """The versions that have profiles in an application package, that of the profile `ranker` first."""
    names = read_settings(application).names
    texts = [
        file.read_text("utf-8") for file in (application / "schemas" / names.document_type).glob("parts_*.profile")
    ]
    found = {version for text in texts for version in re.findall(r"profiles of version (\S+) share", text)}
    return [names.version, *sorted(found - {names.version})]


def _add(older: Path, names: Names, application: Path) -> None:
    """Add a version's embedder and vector field to an application package, after the parts that versions share."""
    components, embedder, fields, vectors = pieces(names)
    schema = f"schemas/{names.document_type}.sd"
    for place, after, added in (("services.xml", components, embedder), (schema, fields, vectors)):
        text, known = ((application / file).read_text("utf-8") for file in (place, after))
        both = known + (older / added).read_text("utf-8")
        (application / place).write_text(text.replace(known, both), "utf-8")


def _check_shared(newer: Path, older: Path, new: QuerySettings, old: QuerySettings) -> None:
    """InputError if a part that both versions read is not the same in both."""
    if replace(old.names, version=new.names.version) != new.names:
        raise InputError(f"{older}: expected the names of {newer}, {new.names}, found {old.names}")
    components, _, fields, _ = pieces(new.names)
    for file in (components, fields, f"{TOKENIZER}/tokenizer.json"):
        if (newer / file).read_bytes() != (older / file).read_bytes():
            raise InputError(f"{older / file}: expected the same as {newer / file}, which both read, found another")

"""File names in the folder of stage export, and a check of the files against the manifest's digests."""

from pathlib import Path
from typing import Literal

from ranker.common.errors import InputError
from ranker.common.files import read_json, sha256

DEFAULT_FOLDER = Path("models/ranker")  # output of stage export
DEFAULT_APPLICATION = Path("models/vespa")  # output of stage package: Vespa's application package

CONTRACT_FILE = "encoding.json"
TOKENIZER_FILE = "tokenizer.json"
MANIFEST_FILE = "manifest.json"

Model = Literal["fp32", "int8"]
MODEL_FILES: dict[Model, str] = {"fp32": "model.onnx", "int8": "model.int8.onnx"}


def check_digests(folder: Path, *names: str) -> None:
    """InputError unless these files have the digests in the folder's manifest."""
    manifest = folder / MANIFEST_FILE
    if not manifest.is_file():
        raise InputError(f"{manifest}: expected a file that stage export wrote, found none")
    try:
        files = read_json(manifest)["files"]
        expected = {name: str(files[name]) for name in names}
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{manifest}: expected the digests of {', '.join(names)}, found: {error!r}") from error
    for name, digest in expected.items():
        if (found := sha256(folder / name)) != digest:
            raise InputError(f"{folder / name}: expected sha256 {digest}, as {MANIFEST_FILE} says, found {found}")

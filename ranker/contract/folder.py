"""What stage export writes: its files' names, their seal in the manifest, and the model that is served."""

from pathlib import Path
from typing import Literal, NotRequired, TypedDict

from ranker.common.errors import InputError
from ranker.common.files import read_json, sha256

DEFAULT_FOLDER = Path("models/ranker")  # where stage export writes it
DEFAULT_APPLICATION = Path("models/vespa")  # where stage package writes Vespa's application package

CONTRACT_FILE = "encoding.json"
TOKENIZER_FILE = "tokenizer.json"
MANIFEST_FILE = "manifest.json"

Model = Literal["fp32", "int8"]


MODEL_FILES: dict[Model, str] = {"fp32": "model.onnx", "int8": "model.int8.onnx"}


class Chip(TypedDict):
    """A processor, and those of its instructions that int8 and bf16 products are made of."""

    processor: str
    instructions: list[str]


class Machine(TypedDict):
    """What a training's bytes depend on beside its inputs."""

    precision: str
    processes: int
    threads: int
    chip: Chip
    versions: dict[str, str]


class MadeOf(TypedDict):
    """Digests of data, base model, code and params, and the machine that trained."""

    params: NotRequired[str]
    data: dict[str, str]
    base_model: str
    code: str
    trained_on: Machine


class Manifest(TypedDict):
    """What manifest.json holds."""

    name: str
    version: str
    files: dict[str, str]  # their digests
    onnx: dict[str, object]
    fp32: dict[str, object]
    int8: dict[str, object]
    measured_on: dict[str, object]
    made_of: MadeOf
    made_with: dict[str, str]
    base_model: str
    params: dict[str, object]


def served_model(folder: Path, asked: Model) -> Model:
    """The model that is served where `asked` is asked for: fp32 where no int8 model passed export's gate."""
    return asked if (folder / MODEL_FILES[asked]).is_file() else "fp32"


def check_digests(folder: Path, *names: str) -> None:
    """InputError unless these files are those that the folder's manifest has the digests of."""
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

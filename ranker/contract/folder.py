"""File names in the exported models' folders, a check against the manifest's digests, and the model to serve."""

from pathlib import Path
from typing import Literal, NotRequired, TypedDict

from ranker.common.errors import InputError
from ranker.common.files import read_json, sha256

DEFAULT_FOLDER = Path("models/ranker")  # output of stage export
DEFAULT_RETRIEVER = Path("models/retriever")  # output of stage export_retriever
DEFAULT_STACK = Path("models/stack.json")  # output of stage package: how the models find and order
DEFAULT_APPLICATION = Path("models/vespa")  # output of stage package: Vespa's application package

CONTRACT_FILE = "encoding.json"  # the ranker's
EMBEDDING_FILE = "embedding.json"  # the retriever's contract
IDLE_FILE = "idle.json"  # alone in the folder of a retriever that params.yaml asks not to train
TOKENIZER_FILE = "tokenizer.json"
MANIFEST_FILE = "manifest.json"

Model = Literal["fp32", "int8"]
MODEL_FILES: dict[Model, str] = {"fp32": "model.onnx", "int8": "model.int8.onnx"}


class Chip(TypedDict):
    """A processor, with its instructions for int8 and bf16 products."""

    processor: str
    instructions: list[str]


class Machine(TypedDict):
    """Machine properties that change a training's bytes."""

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
    code: dict[str, str]  # by stage
    trained_on: Machine


class Manifest(TypedDict):
    """The keys of manifest.json."""

    name: str
    version: str
    files: dict[str, str]  # their digests
    onnx: dict[str, object]
    fp32: dict[str, object]
    int8: dict[str, object]
    measured_on: dict[str, object]
    collection: dict[str, int]  # counts of queries, judgements and judged documents
    trained_on: list[str]  # ranker.contract.document.query_key of each training query
    made_of: MadeOf
    made_with: dict[str, str]
    base_model: str
    params: dict[str, object]


def served_model(folder: Path, asked: Model) -> Model:
    """The model to serve: `asked`, or fp32 if no int8 scheme passed export's gate."""
    return asked if (folder / MODEL_FILES[asked]).is_file() else "fp32"


def check_files(folder: Path, *names: str, stage: str = "export", trusted: bool = False) -> None:
    """InputError unless `stage` wrote these files; the bytes of a `trusted` folder are not compared.

    A trusted folder is this process's own, and has no manifest yet.
    """
    for name in names:
        if not (folder / name).is_file():
            why = ", or none passed its gate (manifest.json)" if name == MODEL_FILES["int8"] else ""
            raise InputError(f"{folder / name}: expected a file that stage {stage} wrote, found none{why}")
    if not trusted:
        check_digests(folder, *names, stage=stage)


def check_digests(folder: Path, *names: str, stage: str = "export") -> None:
    """InputError unless these files have the digests in the folder's manifest, which `stage` wrote."""
    manifest = folder / MANIFEST_FILE
    if not manifest.is_file():
        raise InputError(f"{manifest}: expected a file that stage {stage} wrote, found none")
    try:
        files = read_json(manifest)["files"]
        expected = {name: str(files[name]) for name in names}
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{manifest}: expected the digests of {', '.join(names)}, found: {error!r}") from error
    for name, digest in expected.items():
        if (found := sha256(folder / name)) != digest:
            raise InputError(f"{folder / name}: expected sha256 {digest}, as {MANIFEST_FILE} says, found {found}")

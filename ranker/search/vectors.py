"""Documents' vectors, kept between searches: one file a model, with a vector for each distinct text.

The file is a cache: whatever cannot be read as such is made anew, and a folder that cannot be written costs time only.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b, sha256
from pathlib import Path
from uuid import uuid4
from zipfile import BadZipFile

import numpy as np

from ranker.common.errors import InputError, one_line
from ranker.common.files import read_json
from ranker.contract.folder import EMBEDDING_FILE, MANIFEST_FILE, MODEL_FILES, TOKENIZER_FILE, Model
from ranker.search.search import Embedder

BLOCK = 512  # documents embedded at a time
FEW = 500  # documents that need no progress
SECONDS = 10.0  # between two lines of progress
DIGEST = 16  # bytes of a text's: among 10^9 texts, the chance of a collision is 10^-21
OUTPUTS = ("data", "models", "results")  # folders of the pipeline, whose stages own all that is in them


def default_folder() -> Path:
    """The user's cache folder for vectors, by the platform's rule."""
    home = Path.home()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData/Local"
    elif sys.platform == "darwin":
        base = home / "Library/Caches"
    else:
        named = Path(os.environ.get("XDG_CACHE_HOME", ""))  # the rule ignores a relative one
        base = named if named.is_absolute() else home / ".cache"
    return Path(base) / "cord19-ranker/vectors"


def check_place(folder: Path) -> None:
    """InputError if the folder lies in an output of a pipeline, where DVC would count, move or remove it."""
    for place in (folder.resolve(), *folder.resolve().parents):
        if place.name in OUTPUTS and (place.parent / "dvc.yaml").is_file():
            raise InputError(f"--vectors: expected a folder outside the pipeline's {place.name}, found {folder}")


def model_digest(folder: Path, model: Model) -> str:
    """Hex SHA-256 of the digests, in the manifest of a checked folder, of all files that a vector depends on."""
    files = read_json(folder / MANIFEST_FILE)["files"]
    names = EMBEDDING_FILE, TOKENIZER_FILE, MODEL_FILES[model]
    return sha256("".join(f"{files[name]}  {name}\n" for name in names).encode()).hexdigest()


def embedded(retriever: Embedder, texts: Sequence[str], folder: Path, digest: str) -> np.ndarray:
    """The texts' vectors, float32 [texts, size], from the folder's file for the model `digest` or made and kept.

    An interrupted run keeps those that it has made.
    """
    file = folder / f"{digest[:32]}.npz"
    rows, known = _read(file, retriever.size)
    names = [_name(text) for text in texts]
    missing = {name: text for name, text in zip(names, texts, strict=True) if name not in rows}
    made = [known]
    try:
        for block in _embed(retriever, list(missing.values())):
            made.append(block)
    finally:
        if len(made) > 1:
            known = np.concatenate(made)
            rows |= zip(
                missing, range(len(rows), len(known)), strict=False
            )  # an interrupted run has made the first ones
            _write(file, rows, known)
    return known[[rows[name] for name in names]]


def _name(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST).digest()


def _embed(retriever: Embedder, texts: Sequence[str]) -> Iterator[np.ndarray]:
    """Vectors by blocks; says how long it will take if there are many."""
    start = said = time.monotonic()
    for begin in range(0, len(texts), BLOCK):
        yield retriever.embed_documents(texts[begin : begin + BLOCK])
        done, now = min(begin + BLOCK, len(texts)), time.monotonic()
        if len(texts) > FEW and (now - said > SECONDS or begin == 0):
            left = (now - start) / done * (len(texts) - done)
            _say(f"{done:,} of {len(texts):,} documents embedded, {left:.0f} s left")
            said = now


def _read(file: Path, size: int) -> tuple[dict[bytes, int], np.ndarray]:
    """Rows by text, and vectors; none, with a line, if the file has another content. A zip's checksums show damage."""
    try:
        with np.load(file) as content:
            names, vectors = content["texts"], content["vectors"]
        if names.dtype != f"V{DIGEST}" or vectors.dtype != np.float32 or vectors.shape != (len(names), size):
            raise ValueError(f"{names.dtype} {names.shape}, {vectors.dtype} {vectors.shape}")
        if not (np.abs(np.einsum("ij,ij->i", vectors, vectors) - 1) < 1e-2).all():
            raise ValueError("vectors of other lengths than 1")
        raw = names.tobytes()
        return {raw[DIGEST * row : DIGEST * (row + 1)]: row for row in range(len(names))}, vectors
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, BadZipFile) as error:
        _say(f"{file}: expected kept vectors, found {one_line(str(error))[:200]}: they are made anew")
    return {}, np.zeros((0, size), np.float32)


def _write(file: Path, rows: dict[bytes, int], vectors: np.ndarray) -> None:
    """Replace the file as a whole, under a name of this process's own: two searches may write at a time."""
    partial = file.with_name(f".{file.stem}.{uuid4().hex}.npz")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(partial, texts=np.frombuffer(b"".join(rows), f"V{DIGEST}"), vectors=vectors.astype(np.float32))
        partial.replace(file)
    except OSError as error:
        _say(f"{file.parent}: expected a folder to keep vectors in, found {error.strerror or error}: they are not kept")
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _say(text: str) -> None:
    print(f"search: {text}", file=sys.stderr, flush=True)

"""A base model from a hub, an installed package or a folder -> config, tokenizer and safetensors in one folder."""

import importlib.util
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from tokenizers.implementations import BertWordPieceTokenizer  # type: ignore[attr-defined]

from ranker.common.errors import InputError, first_mistake
from ranker.common.files import atomic, read_json, remove, write_json
from ranker.contract.tokens import load_tokenizer, special_ids, tokenize
from ranker.data.download import MAX_BYTES, check_digest

WEIGHTS = "model.safetensors"
FILES = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json", "vocab.txt")
SPECIAL_TOKENS = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}  # transformers' defaults for BERT

Size = Annotated[int, Field(ge=1)]


class BertConfig(BaseModel):
    """What has to hold of config.json for a BERT; defaults are transformers', Google's first configs rely on them."""

    model_config = ConfigDict(strict=True, frozen=True)
    model_type: Literal["bert"] = "bert"
    vocab_size: Size = 30522
    type_vocab_size: Annotated[int, Field(ge=2)] = 2  # the contract has token types 0 and 1
    max_position_embeddings: Size = 512
    hidden_size: Size = 768
    num_hidden_layers: Size = 12


def fetch_base_model(reference: str, destination: Path, expected_sha256: str = "") -> None:
    """Put the base model that `reference` names (see params.yaml) into the folder `destination`.

    Neither pickles nor remote code are ever loaded. Where a model has only a vocabulary, its `tokenizer.json` is made
    of it. InputError names the reference and what is wrong; `destination` is then what it was.
    """
    scheme, _, name = reference.partition(":")
    with atomic(destination) as partial:
        partial.mkdir()
        if scheme == "hub":
            _from_hub(reference, name, partial)
        else:
            folder = _package_folder(reference, name) if scheme == "package" else Path(name)
            for file in FILES:
                if (folder / file).is_file():
                    shutil.copyfile(folder / file, partial / file)
        _check_files(reference, partial)
        check_digest(f"{reference}: {WEIGHTS}", partial / WEIGHTS, expected_sha256)
        try:
            config = _check_config(partial / "config.json")
            _check_weights(partial / WEIGHTS, config)
            _complete_tokenizer(partial)
            _check_tokenizer(partial, config)
        except InputError as error:  # says what is wrong; the user knows the model by its reference
            raise InputError(f"{reference}: {str(error).replace(f'{partial}/', '')}") from error


def _from_hub(reference: str, name: str, partial: Path) -> None:
    from huggingface_hub import snapshot_download  # takes a second that the other sources need not pay

    repo_id, _, revision = name.partition("@")
    asked: dict[str, Any] = {"revision": revision, "allow_patterns": list(FILES), "local_dir": partial}
    try:
        for file in snapshot_download(repo_id, dry_run=True, **asked):
            if file.file_size is None or file.file_size > MAX_BYTES:
                raise ValueError(f"{file.filename} of {file.file_size} bytes, and at most {MAX_BYTES} were expected")
        snapshot_download(repo_id, **asked)
    except Exception as error:  # its errors and httpx's have no base in common
        raise InputError(f"{reference}: expected a model on the hub, found: {error}") from error
    remove(partial / ".cache")


def _package_folder(reference: str, name: str) -> Path:
    spec = None if name == "__main__" else importlib.util.find_spec(name)  # finds, but runs none of its code
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"{reference}: expected an installed package, found none of this name")
    root = Path(spec.submodule_search_locations[0])
    folders = sorted(file.parent for file in root.rglob("config.json") if (file.parent / WEIGHTS).is_file())
    if len(folders) != 1:
        raise InputError(f"{reference}: expected one folder with config.json and {WEIGHTS}, found {len(folders)}")
    return folders[0]


def _check_files(reference: str, folder: Path) -> None:
    found = ", ".join(sorted(file.name for file in folder.iterdir())) or "none of what is needed"
    for needed in (("config.json",), (WEIGHTS,), ("tokenizer.json", "vocab.txt")):
        if not any((folder / file).is_file() for file in needed):
            raise InputError(f"{reference}: expected {' or '.join(needed)}, found {found}")


def _check_config(file: Path) -> BertConfig:
    try:
        return BertConfig.model_validate(_read_json(file))
    except ValidationError as error:
        raise InputError(f"{file}: {first_mistake(error)}") from error


def _check_weights(file: Path, config: BertConfig) -> None:
    """InputError unless the file is safetensors with the embeddings and layers that the config tells of."""
    try:
        with safe_open(file, framework="numpy") as weights:
            names = weights.keys()  # it looks like a dict, and cannot be iterated like one
            shapes = {name.removeprefix("bert."): list(weights.get_slice(name).get_shape()) for name in names}
    except SafetensorError as error:
        raise InputError(f"{file}: expected safetensors, found: {error}") from error
    for name, rows in (
        ("word", config.vocab_size),
        ("position", config.max_position_embeddings),
        ("token_type", config.type_vocab_size),
    ):
        key, expected = f"embeddings.{name}_embeddings.weight", [rows, config.hidden_size]
        if shapes.get(key) != expected:
            raise InputError(f"{file}: expected {key} of shape {expected}, found {shapes.get(key)}")
    layers = len({key.split(".")[2] for key in shapes if key.startswith("encoder.layer.")})
    if layers != config.num_hidden_layers:
        raise InputError(f"{file}: expected {config.num_hidden_layers} layers, found {layers}")


def _complete_tokenizer(folder: Path) -> None:
    """Write tokenizer.json where there is none, and name the special tokens in tokenizer_config.json."""
    config_file, vocabulary = folder / "tokenizer_config.json", folder / "vocab.txt"
    config = _read_json(config_file) if config_file.is_file() else {}
    if not (folder / "tokenizer.json").is_file():
        lowercase = config.get("do_lower_case", True) is not False
        try:
            tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=lowercase)
        except Exception as error:  # tokenizers raises nothing narrower
            raise InputError(f"{vocabulary}: expected one token a line, [CLS], [SEP] among them: {error}") from error
        tokenizer.save(str(folder / "tokenizer.json"))
    remove(vocabulary)
    _make_plain(folder / "tokenizer.json")
    write_json(config_file, config | {name: config.get(name) or token for name, token in SPECIAL_TOKENS.items()})


def _make_plain(file: Path) -> None:
    """Leave of tokenizer.json what turns text into tokens: a special token is no text, and nothing is cut or padded.

    A title that says [SEP] or [PAD] would otherwise have a separator in it, or the id 0, by which Vespa counts tokens.
    """
    content = _read_json(file)
    added = content.get("added_tokens")
    if isinstance(added, list):
        content["added_tokens"] = [token for token in added if not (isinstance(token, dict) and token.get("special"))]
    write_json(file, content | {"truncation": None, "padding": None})


def _check_tokenizer(folder: Path, config: BertConfig) -> None:
    """InputError if the tokenizer lacks a special token, or gives it for a text, or ids that the model has not."""
    special = set(special_ids(folder).values())
    tokenizer = load_tokenizer(folder)
    vocabulary = tokenizer.get_vocab()
    spelt = " ".join(token for token, i in vocabulary.items() if i in special)
    if found := special & set(tokenize(tokenizer, [spelt])[0]):
        raise InputError(
            f"{folder / 'tokenizer.json'}: expected no text to give a special token, found id {min(found)}"
        )
    if "[UNK]" not in vocabulary:
        raise InputError(f"{folder / 'tokenizer.json'}: expected [UNK] in the vocabulary, found none")
    if (largest := max(vocabulary.values())) >= config.vocab_size:
        raise InputError(f"{folder / 'tokenizer.json'}: expected ids below {config.vocab_size}, found {largest}")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = read_json(file)
    except ValueError as error:
        raise InputError(f"{file}: expected JSON, found: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: expected a JSON object, found {type(content).__name__}")
    return content

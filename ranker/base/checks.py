"""Checks that a folder holds a BERT that the pipeline can train and serve, before any long stage runs."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open

from ranker.common.errors import InputError, first_mistake
from ranker.common.files import read_json
from ranker.contract.tokens import load_tokenizer, special_ids, tokenize

LFS = b"version https://git-lfs"  # first bytes of a Git LFS pointer, the stand-in for a file that was not fetched

Size = Annotated[int, Field(ge=1)]


class BertConfig(BaseModel):
    """Schema of a BERT's config.json; defaults are transformers', because Google's first configs rely on them."""

    model_config = ConfigDict(strict=True, frozen=True)
    model_type: Literal["bert"] = "bert"
    vocab_size: Size = 30522
    type_vocab_size: Annotated[int, Field(ge=2)] = 2  # the contract has token types 0 and 1
    max_position_embeddings: Size = 512
    hidden_size: Size = 768
    num_hidden_layers: Size = 12
    position_embedding_type: Literal["absolute"] = "absolute"  # transformers treats other values like this one
    is_decoder: Literal[False] = False  # a decoder's tokens attend to earlier tokens only


def check_files(reference: str, folder: Path) -> None:
    """InputError unless config, weights and a tokenizer exist and are not Git LFS pointers."""
    found = ", ".join(sorted(file.name for file in folder.iterdir())) or "none of what is needed"
    for needed in (("config.json",), ("model.safetensors",), ("tokenizer.json", "vocab.txt")):
        if not any((folder / file).is_file() for file in needed):
            raise InputError(f"{reference}: expected {' or '.join(needed)}, found {found}")
    for file in [file for file in folder.rglob("*") if file.is_file()]:
        with file.open("rb") as content:
            if content.read(len(LFS)) == LFS:
                raise InputError(f"{reference}: {file.name}: expected the file, found Git LFS's pointer: git lfs pull")


def check_config(file: Path) -> BertConfig:
    """Read config.json; InputError names a setting that a BERT cannot have."""
    content = read_object(file)
    if code := dict(content.get("auto_map") or {}).get("AutoModel"):
        raise InputError(f"{file}: auto_map: expected transformers' own BERT, found code of its own, {code}")
    try:
        return BertConfig.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{file}: {first_mistake(error)}") from error


def check_weights(file: Path, config: BertConfig) -> None:
    """InputError unless the file is safetensors with the embeddings and layers in `config`."""
    try:
        with safe_open(file, framework="numpy") as weights:
            names = weights.keys()  # not a dict: it cannot be iterated
            shapes = {name.removeprefix("bert."): list(weights.get_slice(name).get_shape()) for name in names}
    except SafetensorError as error:
        raise InputError(f"{file}: expected safetensors, found: {error}") from error
    rows = {"word": config.vocab_size, "position": config.max_position_embeddings, "token_type": config.type_vocab_size}
    for name, count in rows.items():
        key = f"embeddings.{name}_embeddings.weight"
        expected = [count, config.hidden_size]
        if shapes.get(key) != expected:
            raise InputError(f"{file}: expected {key} of shape {expected}, found {shapes.get(key)}")
    layers = len({key.split(".")[2] for key in shapes if key.startswith("encoder.layer.")})
    if layers != config.num_hidden_layers:
        raise InputError(f"{file}: expected {config.num_hidden_layers} layers, found {layers}")


def check_tokenizer(folder: Path, config: BertConfig) -> None:
    """InputError if a special token is missing or text can produce it, or if an id exceeds the model's vocabulary."""
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


def read_object(file: Path, kind: Literal["object", "array"] = "object") -> Any:
    """Read a JSON file; InputError if it is not JSON of this `kind`."""
    try:
        content = read_json(file)
    except ValueError as error:
        raise InputError(f"{file}: expected JSON, found: {error}") from error
    if not isinstance(content, {"object": dict, "array": list}[kind]):
        raise InputError(f"{file}: expected a JSON {kind}, found {type(content).__name__}")
    return content

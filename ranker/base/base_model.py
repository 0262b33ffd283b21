"""A base model from a hub, an installed package or a folder -> config, tokenizer, weights and pooling in one folder."""

import hashlib
import importlib.util
import shutil
from pathlib import Path
from typing import Any

from ranker.base.checks import check_config, check_files, check_tokenizer, check_weights, read_object
from ranker.base.sentence_encoder import SETTINGS_FILES, lowers_case, read_sentence_encoder
from ranker.common.errors import InputError
from ranker.common.files import MAX_BYTES, atomic, read_json, remove, sha256, write_json
from ranker.project.paths import SENTENCE_ENCODER_FILE

WEIGHTS = "model.safetensors"
TOKENIZER_SOURCES = ("vocab.txt", "added_tokens.json", "special_tokens_map.json")  # all in tokenizer.json afterwards
FILES = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json", *TOKENIZER_SOURCES, *SETTINGS_FILES)
SPECIAL_TOKENS = ("cls_token", "sep_token", "pad_token")  # of the layout
UNSPELT = {*SPECIAL_TOKENS, "mask_token", "unk_token"}  # that no text can spell


def fetch_base_model(reference: str, destination: Path, expected_sha256: str) -> None:
    """Put the base model that `reference` names (see params.yaml) into the folder `destination`.

    Its files must have the digest `expected_sha256` (`folder_digest`), because nothing else says that equal names hold
    equal bytes. Neither pickles nor remote code are ever loaded. The tokenizer is what transformers makes of the
    folder, so that its settings hold; how the model pools is written as it is. InputError names the reference and what
    is wrong; `destination` is then what it was.
    """
    with atomic(destination) as partial:
        partial.mkdir()
        _copy(reference, partial)
        check_files(reference, partial)
        if (found := folder_digest(partial)) != expected_sha256:
            expected = expected_sha256 or "its digest, because DVC cannot watch what a name stands for"
            raise InputError(f"{reference}: fetch.base_model_sha256: expected {expected}, found {found}")
        try:
            config = check_config(partial / "config.json")
            check_weights(partial / WEIGHTS, config)
            encoder = read_sentence_encoder(partial)
            _write_tokenizer(partial)
            check_tokenizer(partial, config)
        except InputError as error:  # says what is wrong; the user knows the model by its reference
            raise InputError(f"{reference}: {str(error).replace(f'{partial}/', '')}") from error
        for name in SETTINGS_FILES:
            remove(partial / Path(name).parts[0])
        write_json(partial / SENTENCE_ENCODER_FILE, encoder)


def folder_digest(folder: Path) -> str:
    """Hex SHA-256 of what `sha256sum` prints of a base model's files, in the order of FILES."""
    lines = [f"{sha256(folder / name)}  {name}\n" for name in FILES if (folder / name).is_file()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _copy(reference: str, partial: Path) -> None:
    scheme, _, name = reference.partition(":")
    if scheme == "hub":
        _from_hub(reference, name, partial)
        return
    folder = _package_folder(reference, name) if scheme == "package" else Path(name)
    for file in FILES:
        if (folder / file).is_file():
            (partial / file).parent.mkdir(exist_ok=True)
            shutil.copyfile(folder / file, partial / file)


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


def _write_tokenizer(folder: Path) -> None:
    """Write the tokenizer that transformers loads from the folder as tokenizer.json, and name its special tokens.

    So lower-casing, accents, added tokens and all other settings of the folder's files hold. Left out is what does not
    turn text into tokens: nothing is cut or padded, and BERT's five special tokens are no text. A title that says [SEP]
    would otherwise have a separator in it, and one that says [PAD] the id 0, by which Vespa counts tokens.
    """
    from tokenizers.normalizers import Lowercase, Sequence
    from transformers import AutoTokenizer  # takes four seconds, which other modules of this wing need not pay

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        backend = tokenizer.backend_tokenizer
        if lowers_case(folder):
            backend.normalizer = Sequence([Lowercase(), *filter(None, [backend.normalizer])])
        content = backend.to_str()
    except Exception as error:  # transformers and tokenizers each raise their own
        raise InputError(f"{folder}/tokenizer: expected one that transformers can load, found: {error}") from error
    file = folder / "tokenizer.json"
    file.write_text(content, encoding="utf-8")
    plain = read_object(file)
    unspelt = {getattr(tokenizer, name) for name in UNSPELT}
    added = [token for token in plain.get("added_tokens", []) if token["content"] not in unspelt]
    write_json(file, plain | {"truncation": None, "padding": None, "added_tokens": added})
    names = {name: getattr(tokenizer, name) for name in SPECIAL_TOKENS}
    config_file = folder / "tokenizer_config.json"
    config = read_json(config_file) if config_file.is_file() else {}
    write_json(config_file, config | names)
    for name in TOKENIZER_SOURCES:
        remove(folder / name)

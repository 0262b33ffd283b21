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
TOKENIZER_SOURCES = ("vocab.txt", "added_tokens.json", "special_tokens_map.json")  # merged into tokenizer.json
FILES = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json", *TOKENIZER_SOURCES, *SETTINGS_FILES)
SPECIAL_TOKENS = ("cls_token", "sep_token", "pad_token")  # the layout's
UNSPELT = {*SPECIAL_TOKENS, "mask_token", "unk_token"}  # text must not produce these


def fetch_base_model(reference: str, destination: Path, expected_sha256: str) -> None:
    """Put the base model that `reference` names (see params.yaml) into the folder `destination`.

    Its files must have the digest `expected_sha256` (`folder_digest`), because a name can stand for other bytes
    tomorrow. Pickles and remote code are never loaded. transformers converts the tokenizer, so that all its settings
    hold. SENTENCE_ENCODER_FILE gets the pooling. InputError names the reference and the mistake, and leaves
    `destination` unchanged.
    """
    with atomic(destination) as partial:
        partial.mkdir()
        _copy(reference, partial)
        check_files(reference, partial)
        if (found := folder_digest(partial)) != expected_sha256:
            expected = expected_sha256 or "its digest, because DVC cannot watch what a name stands for"
            raise InputError(f"{reference}: fetch.base_sha256: expected {expected}, found {found}")
        try:
            config = check_config(partial / "config.json")
            check_weights(partial / WEIGHTS, config)
            encoder = read_sentence_encoder(partial)
            _write_tokenizer(partial)
            check_tokenizer(partial, config)
        except InputError as error:  # it names a temporary folder; the user knows the reference
            raise InputError(f"{reference}: {str(error).replace(f'{partial}/', '')}") from error
        for name in SETTINGS_FILES:
            remove(partial / Path(name).parts[0])
        write_json(partial / SENTENCE_ENCODER_FILE, encoder)


def folder_digest(folder: Path) -> str:
    """Hex SHA-256 of the output of `sha256sum` for a base model's files, in the order of FILES."""
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
    from huggingface_hub import snapshot_download  # takes a second, and only the hub needs it

    repo_id, _, revision = name.partition("@")
    asked: dict[str, Any] = {"revision": revision, "allow_patterns": list(FILES), "local_dir": partial}
    try:
        for file in snapshot_download(repo_id, dry_run=True, **asked):
            if file.file_size is None or file.file_size > MAX_BYTES:
                raise ValueError(f"{file.filename} of {file.file_size} bytes, and at most {MAX_BYTES} were expected")
        snapshot_download(repo_id, **asked)
    except Exception as error:  # its errors and httpx's share no base class
        raise InputError(f"{reference}: expected a model on the hub, found: {error}") from error
    remove(partial / ".cache")


def _package_folder(reference: str, name: str) -> Path:
    spec = None if name == "__main__" else importlib.util.find_spec(name)  # does not run the package's code
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"{reference}: expected an installed package, found none of this name")
    root = Path(spec.submodule_search_locations[0])
    folders = sorted(file.parent for file in root.rglob("config.json") if (file.parent / WEIGHTS).is_file())
    if len(folders) != 1:
        raise InputError(f"{reference}: expected one folder with config.json and {WEIGHTS}, found {len(folders)}")
    return folders[0]


def _write_tokenizer(folder: Path) -> None:
    """Write the tokenizer that transformers loads from the folder as tokenizer.json, and name its special tokens.

    Lower-casing, accents, added tokens and all other settings of the folder's files hold. Truncation and padding are
    removed, and text cannot produce BERT's five special tokens: a title with the text [SEP] would otherwise have a
    separator in it, and one with [PAD] the id 0, by which Vespa counts tokens.
    """
    from tokenizers.normalizers import Lowercase, Sequence
    from transformers import AutoTokenizer  # takes four seconds, and other modules do not need it

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

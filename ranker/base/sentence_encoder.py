"""Pooling, prompts and maximum length of a base model, from the sentence-transformers files in its folder."""

from pathlib import Path
from typing import Any

from ranker.base.checks import read_object
from ranker.common.errors import InputError

MODULES = "modules.json"
POOLING = "1_Pooling/config.json"
TRANSFORMER = "sentence_bert_config.json"
PROMPTS = "config_sentence_transformers.json"
TOKENIZER = "tokenizer_config.json"
SETTINGS_FILES = (MODULES, POOLING, TRANSFORMER, PROMPTS)

KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")  # the last changes no cosine
LIBRARY = "sentence_transformers"  # the package of these modules; a folder may name its own code
# Names of the settings before sentence-transformers 5.3.
LEGACY = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# mean_sqrt_len is the mean times a factor, which normalising to length 1 removes.
SUPPORTED = {"cls": "cls", "mean": "mean", "max": "max", "mean_sqrt_len_tokens": "mean"}


def read_sentence_encoder(folder: Path) -> dict[str, Any]:
    """Content of sentence_encoder.json.

    `is_one` is false if the folder is not a sentence encoder's; the mean of the last layer then has to do. `pooling` is
    cls, mean or max. `query_prompt` and `document_prompt` precede a text, and pooling leaves their tokens out if
    `include_prompt` is false. `max_length` counts tokens, special ones included, or is null. InputError names a setting
    that is not supported.
    """
    transformer, pooling, prompts = (_read(folder / file) for file in (TRANSFORMER, POOLING, PROMPTS))
    modules = _modules(folder)
    # encode_query and encode_document use only these two prompts, not even a default one.
    saved = prompts.get("prompts") or {}
    return {
        "is_one": "Pooling" in modules and prompts.get("model_type", "SentenceTransformer") == "SentenceTransformer",
        "pooling": _pooling(folder, pooling),
        "include_prompt": bool(pooling.get("include_prompt", True)),
        "query_prompt": saved.get("query") or "",
        "document_prompt": saved.get("document") or "",
        "max_length": transformer.get("max_seq_length") or _read(folder / TOKENIZER).get("model_max_length"),
    }


def lowers_case(folder: Path) -> bool:
    """True if sentence-transformers lower-cases texts before the tokenizer, independent of the tokenizer's settings."""
    return bool(_read(folder / TRANSFORMER).get("do_lower_case"))


def _read(file: Path) -> dict[str, Any]:
    return read_object(file) if file.is_file() else {}


def _modules(folder: Path) -> list[str]:
    """The kinds in modules.json, in order; a cross-encoder's file has no Pooling."""
    if not (folder / MODULES).is_file():
        return []
    kinds = []
    for module in read_object(folder / MODULES, "array"):
        library, _, kind = str(module.get("type", "")).rpartition(".")
        if kind not in KNOWN_MODULES or library.partition(".")[0] != LIBRARY:
            known = ", ".join(KNOWN_MODULES)
            raise InputError(f"{folder}/{MODULES}: expected modules of {known}, found {module.get('type') or module}")
        if kind == "Pooling" and (module.get("path") != Path(POOLING).parent.name or not (folder / POOLING).is_file()):
            raise InputError(f"{folder}/{MODULES}: expected its pooling in {POOLING}, found none there")
        if kind == "Transformer" and module.get("path"):
            raise InputError(f"{folder}/{MODULES}: expected its model beside it, found it in {module['path']}")
        kinds.append(kind)
    return kinds


def _pooling(folder: Path, config: dict[str, Any]) -> str:
    modes = config.get("pooling_mode") or [mode for key, mode in LEGACY.items() if config.get(key)] or "mean"
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in SUPPORTED:
        raise InputError(
            f"{folder}/{POOLING}: pooling_mode: expected {', '.join(SUPPORTED)}, found {' and '.join(modes)}"
        )
    return SUPPORTED[modes[0]]

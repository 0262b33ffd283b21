"""How a base model makes one vector of a text, as the sentence-transformers files of its folder say."""

from pathlib import Path
from typing import Any

from ranker.base.checks import read_object
from ranker.common.errors import InputError

MODULES = "modules.json"
POOLING = "1_Pooling/config.json"
TRANSFORMER = "sentence_bert_config.json"
PROMPTS = "config_sentence_transformers.json"
SETTINGS_FILES = (MODULES, POOLING, TRANSFORMER, PROMPTS)

KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")  # the last changes no cosine
# The names that sentence-transformers gave its settings before version 5.3.
LEGACY = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Of vectors of length 1, the mean times the root of the count is the mean.
SUPPORTED = {"cls": "cls", "mean": "mean", "max": "max", "mean_sqrt_len_tokens": "mean"}
DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # the first that there is, as sentence-transformers has it


def read_sentence_encoder(folder: Path) -> dict[str, Any]:
    """What sentence_encoder.json holds.

    `is_one` tells whether the folder says that it is a sentence encoder; where not, the mean of the last layer is all
    that one can take. `pooling` is cls, mean or max; `query_prompt` and `document_prompt` are put before a text, and
    `include_prompt` tells whether their tokens are pooled; `max_length` is in tokens, special ones included, or null.
    InputError names a setting that is not supported.
    """
    found = {file: read_object(folder / file) if (folder / file).is_file() else {} for file in SETTINGS_FILES[1:]}
    prompts = found[PROMPTS].get("prompts") or {}
    default = prompts.get(found[PROMPTS].get("default_prompt_name") or "") or ""
    document = next((prompts[name] for name in DOCUMENT_PROMPTS if prompts.get(name)), default)
    if found[TRANSFORMER].get("do_lower_case"):
        raise InputError(f"{folder}/{TRANSFORMER}: do_lower_case: expected the tokenizer to say so, found true here")
    _check_modules(folder)
    return {
        "is_one": (folder / MODULES).is_file(),
        "pooling": _pooling(folder, found[POOLING]),
        "include_prompt": bool(found[POOLING].get("include_prompt", True)),
        "query_prompt": prompts.get("query") or default,
        "document_prompt": document,
        "max_length": found[TRANSFORMER].get("max_seq_length"),
    }


def _check_modules(folder: Path) -> None:
    if not (folder / MODULES).is_file():
        return
    for module in read_object(folder / MODULES, "array"):
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind not in KNOWN_MODULES:
            known = ", ".join(KNOWN_MODULES)
            raise InputError(f"{folder}/{MODULES}: expected modules of {known}, found {kind or module}")


def _pooling(folder: Path, config: dict[str, Any]) -> str:
    modes = config.get("pooling_mode") or [mode for key, mode in LEGACY.items() if config.get(key)] or "mean"
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in SUPPORTED:
        raise InputError(
            f"{folder}/{POOLING}: pooling_mode: expected {', '.join(SUPPORTED)}, found {' and '.join(modes)}"
        )
    return SUPPORTED[modes[0]]

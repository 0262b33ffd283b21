"""Texts -> token ids, stored in two arrays, without a Python object a text or token."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from ranker.common.errors import InputError
from ranker.common.files import read_json
from ranker.contract.layout import Layout, token_counts


@dataclass(frozen=True)
class Ragged(Sequence[np.ndarray]):
    """Text i is `values[offsets[i]:offsets[i + 1]]`.

    `values` is an integer array [all tokens], `offsets` int64 [texts + 1].

    >>> texts = ragged([[5, 6], [], [7]], np.uint16)
    >>> texts.values.tolist(), texts.offsets.tolist(), texts[0].tolist(), len(texts)
    ([5, 6, 7], [0, 2, 2, 3], [5, 6], 3)
    """

    values: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:  # type: ignore[override]  # slices are not supported
        """Token ids of text `row`, a view; a negative `row` counts from the end."""
        row = range(len(self))[row]
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def take(self, rows: Sequence[int]) -> "Ragged":
        """The texts at `rows`, in that order."""
        return ragged([self[row] for row in rows], self.values.dtype.type)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, int64 [texts]."""
        return np.diff(self.offsets)


def ragged(texts: Sequence[Sequence[int] | np.ndarray], dtype: type[np.generic] = np.int32) -> Ragged:
    """Pack lists of token ids into one array of `dtype` [all tokens] and one of offsets, int64 [texts + 1]."""
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(token_counts(texts))])
    return Ragged(np.fromiter(chain.from_iterable(texts), dtype, int(offsets[-1])), offsets)


def readings(texts: Ragged) -> np.ndarray:
    """Hash each text's token ids, int64 [texts]: texts with equal token ids are the same text to the model.

    The whole project compares texts by this hash, because tables then need not be in memory together. Among 10^6
    different texts, the chance of a collision is 3 in 10^8.
    """
    hashes = [hashlib.blake2b(text.astype("<i4").tobytes(), digest_size=8).digest() for text in texts]
    return np.frombuffer(b"".join(hashes), "<i8").astype(np.int64)


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read `tokenizer.json` and switch its truncation and padding off, as Vespa does."""
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # tokenizers raises plain Exception
        raise InputError(f"{folder / 'tokenizer.json'}: expected a tokenizers file, found: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokenize(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, uncut and without special tokens."""
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def load_layout(folder: Path, query_input_size: int, doc_input_size: int) -> Layout:
    """Layout of these sizes with the special ids of the tokenizer in `folder`; InputError if one is missing."""
    return Layout(query_input_size, doc_input_size, **special_ids(folder))


def special_ids(folder: Path) -> dict[str, int]:
    """`cls_id`, `sep_id` and `pad_id` of the tokenizer in `folder`; InputError if one is missing."""
    config_file = folder / "tokenizer_config.json"
    config = read_json(config_file)
    tokenizer = load_tokenizer(folder)
    ids = {}
    for name in ("cls", "sep", "pad"):
        token = config.get(f"{name}_token")
        content = token.get("content") if isinstance(token, dict) else token
        found = tokenizer.token_to_id(content) if isinstance(content, str) else None
        if found is None:
            raise InputError(f"{config_file}: expected a {name}_token that tokenizer.json knows, found {content!r}")
        ids[f"{name}_id"] = found
    return ids

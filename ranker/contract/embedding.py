"""THE CONTRACT of the retriever: tokens of a text -> model input -> one vector of length 1.

    [CLS] text[: max_length - 2] [SEP] [PAD] ...
      1     1                      1     0        attention_mask; token_type_ids are 0

Queries and documents are embedded alike and without a prompt, so a cosine is a dot product. The vector is the mean of
the last layer's states over the tokens that are no padding, [CLS] and [SEP] included, scaled to length 1: what
sentence-transformers and Vespa's hugging-face-embedder compute. Imports neither torch nor transformers.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ranker.common.errors import InputError
from ranker.common.files import read_json
from ranker.contract.document import TITLE
from ranker.contract.layout import INPUTS, TokenIds, token_counts

STATES = "last_hidden_state"  # the model's output, float32 [texts, tokens, size]


@dataclass(frozen=True)
class TextLayout:
    """The longest text in tokens, with [CLS] and [SEP], and the tokenizer's special ids."""

    max_length: int
    cls_id: int
    sep_id: int
    pad_id: int

    @property
    def max_tokens(self) -> int:
        """Maximum of a text's own tokens."""
        return self.max_length - 2

    def lengths(self, texts: Sequence[TokenIds]) -> np.ndarray:
        """Tokens of each laid-out text, int64 [texts], with special tokens and without padding.

        >>> TextLayout(6, cls_id=101, sep_id=102, pad_id=0).lengths([[7], [7] * 9, []]).tolist()
        [3, 6, 2]
        """
        return np.minimum(token_counts(texts), self.max_tokens) + 2


def lay_out_texts(
    layout: TextLayout, texts: Sequence[TokenIds], length: int | None = None, multiple_of: int = 1
) -> dict[str, np.ndarray]:
    """Lay out texts, token ids without special tokens, and cut those that are too long.

    Returns `input_ids`, `token_type_ids` and `attention_mask`, int64 [texts, length]. By default, length is the longest
    text's, rounded up to `multiple_of` but at most `layout.max_length`. Empty texts are legal. ValueError if a text
    exceeds `length`.

    >>> batch = lay_out_texts(TextLayout(6, cls_id=101, sep_id=102, pad_id=0), [[7, 8], []])
    >>> batch["input_ids"].tolist(), batch["attention_mask"].tolist()
    ([[101, 7, 8, 102], [101, 102, 0, 0]], [[1, 1, 1, 1], [1, 1, 0, 0]])
    """
    lengths = layout.lengths(texts)
    longest = int(lengths.max(initial=0))
    if length is None:
        length = min(-(-longest // multiple_of) * multiple_of, layout.max_length)
    if longest > length:
        raise ValueError(f"expected texts of at most {length} tokens, found one of {longest}")
    input_ids = np.full((len(texts), length), layout.pad_id, dtype=np.int64)
    attention_mask = (np.arange(length) < lengths[:, None]).astype(np.int64)
    for row, (text, end) in enumerate(zip(texts, lengths, strict=True)):
        input_ids[row, 0] = layout.cls_id
        input_ids[row, 1 : end - 1] = text[: layout.max_tokens]
        input_ids[row, end - 1] = layout.sep_id
    arrays = (input_ids, np.zeros_like(input_ids), attention_mask)
    return dict(zip(INPUTS, arrays, strict=True))


def pooled(states: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    """States, float32 [texts, tokens, size], and their mask -> vectors of length 1, float32 [texts, size]."""
    weights = attention_mask[:, :, None].astype(np.float32)
    means = (states * weights).sum(axis=1) / weights.sum(axis=1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def embedding_contract(
    layout: TextLayout, tokenizer_sha256: str, size: int, document_fields: Sequence[str] = TITLE
) -> dict[str, Any]:
    """Content of embedding.json: the contract for another implementation, and its tokenizer's digest.

    `size` is the vectors' length in numbers; `document_fields` are the fields of a document's text.
    """
    return {
        "layout": "[CLS] text[:max_length - 2] [SEP], then [PAD]",
        "token_type_ids": "0",
        "attention_mask": "1 over tokens, 0 over [PAD]",
        "document": "those of its fields that have text, joined by a space",
        "document_fields": list(document_fields),
        "tokenisation": "without special tokens, truncation or padding",
        "prompts": {"query": "", "document": ""},
        **asdict(layout),
        "tokenizer_sha256": tokenizer_sha256,
        "inputs": list(INPUTS),
        "output": STATES,
        "pooling": "mean",
        "normalised": True,
        "similarity": "cosine",
        "size": size,
        "bytes_a_document": {"float32": 4 * size, "bfloat16": 2 * size},
    }


def read_embedding_contract(path: Path) -> tuple[TextLayout, int]:
    """Read the layout and the vectors' size in `embedding.json`; InputError if it has none."""
    try:
        content = read_json(path)
        layout = TextLayout(**{name: int(content[name]) for name in TextLayout.__dataclass_fields__})
        size, pooling = int(content["size"]), (content["pooling"], content["normalised"])
    except (ValueError, TypeError, KeyError, OverflowError) as error:  # OverflowError: Infinity
        raise InputError(
            f"{path}: expected sizes and special ids as stage export_retriever writes them, found: {error!r}"
        ) from error
    if layout.max_length < 3 or size < 1 or pooling != ("mean", True):
        raise InputError(
            f"{path}: expected room for a token, and means of length 1, found max_length {layout.max_length}, size "
            f"{size}, pooling {pooling[0]}, normalised {pooling[1]}"
        )
    return layout, size

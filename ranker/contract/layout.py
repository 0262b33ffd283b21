"""THE CONTRACT between training and serving: tokens of a query and a document -> model input.

    [CLS] query[: query_input_size - 2] [SEP] document[: doc_input_size - 1] [SEP] [PAD] ...
      0     0                             0     1                             1     0        token_type_ids
      1     1                             1     1                             1     0        attention_mask

A search engine tokenises documents at feed time and queries at query time, and cuts each to its own length. So query
and document are tokenised separately here too, without special tokens. The layout is the tutorial's and Vespa's
(`tokenInputIds`, `tokenTypeIds`, `tokenAttentionMask`). One implementation serves training, export checks and serving;
`encoding.json` states it for other languages. Imports neither torch nor transformers.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ranker.common.errors import InputError
from ranker.common.files import read_json
from ranker.contract.document import TITLE

INPUTS = ("input_ids", "token_type_ids", "attention_mask")
OUTPUT = "logits"
NOT_RELEVANT = 0  # columns of the logits
RELEVANT = 1

TokenIds = Sequence[int] | np.ndarray


@dataclass(frozen=True)
class Layout:
    """Sizes in tokens and the tokenizer's special ids.

    >>> Layout(6, 4, cls_id=101, sep_id=102, pad_id=0).max_length
    10
    """

    query_input_size: int  # [CLS], the query's tokens and the first [SEP]
    doc_input_size: int  # the document's tokens and the last [SEP]
    cls_id: int
    sep_id: int
    pad_id: int

    @property
    def max_query_tokens(self) -> int:
        """Maximum of a query's tokens, special tokens excluded."""
        return self.query_input_size - 2

    @property
    def max_document_tokens(self) -> int:
        """Maximum of a document's tokens, special tokens excluded."""
        return self.doc_input_size - 1

    @property
    def max_length(self) -> int:
        """Tokens of the longest pair, special tokens included."""
        return self.query_input_size + self.doc_input_size

    def lengths(self, queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """Tokens of each laid-out pair, int64 [pairs], with special tokens and without padding.

        `queries` and `documents`, int [pairs], count the tokens of the uncut texts.

        >>> Layout(6, 4, cls_id=101, sep_id=102, pad_id=0).lengths(np.array([2, 9]), np.array([0, 9])).tolist()
        [5, 10]
        """
        cut = np.minimum(queries, self.max_query_tokens) + np.minimum(documents, self.max_document_tokens)
        return (cut + 3).astype(np.int64)


def lay_out(
    layout: Layout,
    queries: Sequence[TokenIds],
    documents: Sequence[TokenIds],
    length: int | None = None,
    multiple_of: int = 1,
) -> dict[str, np.ndarray]:
    """Lay out pair i from `queries[i]` and `documents[i]`, token ids without special tokens.

    Returns `input_ids`, `token_type_ids` and `attention_mask`, int64 [pairs, length]. By default, length is the
    longest pair's, rounded up to `multiple_of` but at most `layout.max_length`. Empty texts are legal. ValueError if a
    pair exceeds `length`.

    >>> batch = lay_out(Layout(6, 4, cls_id=101, sep_id=102, pad_id=0), [[7, 8]], [[9]], length=7)
    >>> batch["input_ids"].tolist(), batch["token_type_ids"].tolist()
    ([[101, 7, 8, 102, 9, 102, 0]], [[0, 0, 0, 0, 1, 1, 0]])
    """
    longest = int(layout.lengths(token_counts(queries), token_counts(documents)).max(initial=0))
    if length is None:
        length = min(-(-longest // multiple_of) * multiple_of, layout.max_length)
    if longest > length:
        raise ValueError(f"expected pairs of at most {length} tokens, found one of {longest}")
    input_ids = np.full((len(queries), length), layout.pad_id, dtype=np.int64)
    token_type_ids = np.zeros_like(input_ids)
    attention_mask = np.zeros_like(input_ids)
    for row, (query, document) in enumerate(zip(queries, documents, strict=True)):
        query, document = query[: layout.max_query_tokens], document[: layout.max_document_tokens]
        middle = len(query) + 2
        end = middle + len(document) + 1
        input_ids[row, 0] = layout.cls_id
        input_ids[row, 1 : middle - 1] = query
        input_ids[row, middle - 1] = layout.sep_id
        input_ids[row, middle : end - 1] = document
        input_ids[row, end - 1] = layout.sep_id
        token_type_ids[row, middle:end] = 1
        attention_mask[row, :end] = 1
    return {"input_ids": input_ids, "token_type_ids": token_type_ids, "attention_mask": attention_mask}


def token_counts(texts: Sequence[TokenIds]) -> np.ndarray:
    """Tokens of each text, int64 [texts]."""
    return np.fromiter(map(len, texts), np.int64, len(texts))


def relevance(logits: np.ndarray) -> np.ndarray:
    """Logits, float32 [pairs, 2] -> scores, float32 [pairs]: logit 1 - logit 0, higher is more relevant."""
    return logits[:, RELEVANT] - logits[:, NOT_RELEVANT]


def contract(
    layout: Layout, tokenizer_sha256: str, positions: int, document_fields: Sequence[str] = TITLE
) -> dict[str, Any]:
    """Content of encoding.json: the contract for another implementation, and its tokenizer's digest.

    `positions` is the longest pair that the model could take; `document_fields` are the fields of a document's text.
    """
    return {
        "layout": "[CLS] query[:query_input_size - 2] [SEP] document[:doc_input_size - 1] [SEP], then [PAD]",
        "token_type_ids": "0 over [CLS] query [SEP], 1 over document [SEP], 0 over [PAD]",
        "attention_mask": "1 over tokens, 0 over [PAD]",
        "document": "those of its fields that have text, joined by a space",
        "document_fields": list(document_fields),
        "tokenisation": "query and document apart, without special tokens, truncation or padding",
        **asdict(layout),
        "max_length": layout.max_length,
        "positions": positions,
        "tokenizer_sha256": tokenizer_sha256,
        "inputs": list(INPUTS),
        "output": OUTPUT,
        "score": f"{OUTPUT}[{RELEVANT}] - {OUTPUT}[{NOT_RELEVANT}]",
    }


def read_contract(path: Path) -> Layout:
    """Read the layout in `encoding.json`.

    InputError if it has none, or a max_length at which Vespa would silently cut off the last [SEP].
    """
    try:
        content = read_json(path)
        layout = Layout(**{name: int(content[name]) for name in Layout.__dataclass_fields__})
        longest = int(content["max_length"])
    except (ValueError, TypeError, KeyError, OverflowError) as error:  # OverflowError: Infinity
        raise InputError(
            f"{path}: expected sizes and special ids as stage export writes them, found: {error!r}"
        ) from error
    if layout.query_input_size < 3 or layout.doc_input_size < 2:
        raise InputError(f"{path}: expected room for a token on both sides, found {layout}")
    if longest < layout.max_length:
        raise InputError(
            f"{path}: max_length: expected at least query_input_size + doc_input_size ({layout.max_length}), "
            f"because a longer pair would lose its last separator, found {longest}"
        )
    return layout

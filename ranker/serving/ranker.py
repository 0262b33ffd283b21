"""Rank documents with the exported model: ONNX Runtime, tokenizers and numpy, without torch and transformers.

    ranker = Ranker(folder, "int8")                                                 # the folder of stage export
    documents = ranker.encode_documents(["Origin of the virus", "Masks in wards"])  # once; a few bytes a token
    ranker.rank("coronavirus origin", documents, top=1)                             # [(0, 3.2)]

Threads may share a Ranker, because it does not change after construction.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from ranker.common.errors import InputError
from ranker.contract.batching import MULTIPLE, scoring_batches
from ranker.contract.document import read_document_fields
from ranker.contract.folder import CONTRACT_FILE, MODEL_FILES, TOKENIZER_FILE, Model, check_files
from ranker.contract.layout import OUTPUT, TokenIds, lay_out, read_contract, relevance, token_counts
from ranker.contract.tokens import Ragged, load_tokenizer, ragged, tokenize

TOKENS = 1024  # a batch, padding included: on two cores, MiniLM int8 is 3% faster than with 2048, fp32 equally fast


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """An ONNX model on the processor; InputError if the file is none."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class
        raise InputError(f"{path}: expected an ONNX model, found: {error}") from error


def token_type(tokenizer: Tokenizer) -> type[np.uint16 | np.int32]:
    """The smallest type of integers for a tokenizer's ids."""
    return np.uint16 if max(tokenizer.get_vocab().values()) < 2**16 else np.int32


class TextEncoder:
    """Texts -> token ids, by the contract and the tokenizer in the folder of stage export.

    InputError names a file that is missing or has another digest than the manifest's. A `trusted` folder is this
    process's own and has no manifest yet.
    """

    def __init__(self, folder: Path, trusted: bool = False) -> None:
        check_files(folder, CONTRACT_FILE, TOKENIZER_FILE, trusted=trusted)
        self.layout = read_contract(folder / CONTRACT_FILE)
        self.document_fields = read_document_fields(folder / CONTRACT_FILE)
        self.tokenizer = load_tokenizer(folder)
        self.dtype = token_type(self.tokenizer)

    def encode_query(self, query: str) -> np.ndarray:
        """Token ids of a query, cut to the layout, without special tokens: uint16 or int32 [tokens]."""
        (tokens,) = tokenize(self.tokenizer, [query])
        return np.array(tokens[: self.layout.max_query_tokens], self.dtype)

    def encode_documents(self, documents: Sequence[str]) -> Ragged:
        """Token ids of texts, cut to the layout, without special tokens: 2 bytes a token, 8 a text.

        `ranker.contract.document.whole_text` makes a text of a document's `document_fields`.
        """
        if isinstance(documents, str):
            raise InputError("documents: expected a list of texts, found one text")
        size = self.layout.max_document_tokens
        return ragged([tokens[:size] for tokens in tokenize(self.tokenizer, documents)], self.dtype)


class Ranker(TextEncoder):
    """The exported model with its text encoder.

    `threads` is the number of threads a batch, 0 for one a core; 1 is best if several queries are ranked at a time.
    """

    def __init__(self, folder: Path, model: Model = "fp32", threads: int = 0, trusted: bool = False) -> None:
        super().__init__(folder, trusted)
        check_files(folder, MODEL_FILES[model], trusted=trusted)
        self.session = open_session(folder / MODEL_FILES[model], threads)

    def logits(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Logits, float32 [pairs, 2], of laid-out pairs (`ranker.contract.layout.lay_out`)."""
        return self.session.run([OUTPUT], inputs)[0]

    def score(self, query: TokenIds, documents: Sequence[TokenIds]) -> np.ndarray:
        """Logit 1 - logit 0, float32 [documents], of a query with each document; higher is more relevant."""
        return self.score_pairs([query] * len(documents), documents)

    def score_unbatched(self, query: TokenIds, documents: Sequence[TokenIds]) -> np.ndarray:
        """`score` with one pair a batch and no padding, as Vespa runs the model.

        Its int8 scores differ from `score`'s, because the range of a batch sets the scale of its activations.
        """
        pairs = (lay_out(self.layout, [query], [document]) for document in documents)
        return np.array([relevance(self.logits(pair))[0] for pair in pairs], dtype=np.float32)

    def rank(
        self, query: str, documents: Sequence[TokenIds] | Sequence[str], top: int | None = None
    ) -> list[tuple[int, float]]:
        """The `top` documents for a query, best first, as (row, score); ties keep the order of the rows.

        `documents` are texts or the result of `encode_documents`, which tokenises them once for many queries.
        """
        if not isinstance(query, str):
            raise InputError(f"query: expected text, found {type(query).__name__}")
        if top is not None and (isinstance(top, bool) or not isinstance(top, int) or top < 1):
            raise InputError(f"top: expected a whole number of at least 1, or None for all, found {top!r}")
        if isinstance(documents, str):
            raise InputError("documents: expected a list, found one text")
        kinds = {isinstance(document, str) for document in documents}
        if len(kinds) > 1:
            raise InputError("documents: expected texts or what encode_documents gives, found both")
        encoded = self.encode_documents(cast(Sequence[str], documents)) if True in kinds else documents
        scores = self.score(self.encode_query(query), cast(Sequence[TokenIds], encoded))
        return [(int(row), float(scores[row])) for row in np.argsort(-scores, kind="stable")[:top]]

    def score_pairs(
        self, queries: Sequence[TokenIds], documents: Sequence[TokenIds], tokens: int = TOKENS
    ) -> np.ndarray:
        """Logit 1 - logit 0, float32 [pairs], of pairs of token ids, in the order given.

        A batch has at most `tokens` tokens, padding included.
        """
        lengths = self.layout.lengths(token_counts(queries), token_counts(documents))
        scores = np.empty(len(lengths), dtype=np.float32)
        for rows in scoring_batches(lengths, tokens):
            batch = lay_out(self.layout, [queries[i] for i in rows], [documents[i] for i in rows], multiple_of=MULTIPLE)
            scores[rows] = relevance(self.logits(batch))
        return scores

"""Rank documents with what stage export wrote, by ONNX Runtime, tokenizers and numpy: neither torch nor transformers.

    ranker = Ranker(folder, "int8")                                                 # a folder that export wrote
    documents = ranker.encode_documents(["Origin of the virus", "Masks in wards"])  # once; a few bytes a token
    ranker.rank("coronavirus origin", documents, top=1)                             # [(0, 3.2)]

A Ranker may be shared by threads: nothing of it changes after it is made.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime

from ranker.common.errors import InputError
from ranker.contract.batching import MULTIPLE, scoring_batches
from ranker.contract.document import read_document_fields
from ranker.contract.folder import CONTRACT_FILE, MODEL_FILES, TOKENIZER_FILE, Model, check_digests
from ranker.contract.layout import OUTPUT, TokenIds, lay_out, read_contract, relevance, token_counts
from ranker.contract.tokens import Ragged, load_tokenizer, ragged, tokenize

TOKENS = 1024  # a batch, padding included: int8 of MiniLM on two cores is 3% faster than with 2048, fp32 the same


class TextEncoder:
    """Texts -> token ids, by the contract and the tokenizer in a folder that stage export wrote.

    InputError names the file that is missing or not what it should be: by the manifest's digests, unless the folder is
    `trusted` to be this process's own, which has no manifest yet.
    """

    def __init__(self, folder: Path, trusted: bool = False) -> None:
        for name in (CONTRACT_FILE, TOKENIZER_FILE):
            if not (folder / name).is_file():
                raise InputError(f"{folder / name}: expected a file that stage export wrote, found none")
        if not trusted:
            check_digests(folder, CONTRACT_FILE, TOKENIZER_FILE)
        self.layout = read_contract(folder / CONTRACT_FILE)
        self.document_fields = read_document_fields(folder / CONTRACT_FILE)
        self.tokenizer = load_tokenizer(folder)
        self.dtype = np.uint16 if max(self.tokenizer.get_vocab().values()) < 2**16 else np.int32

    def encode_query(self, query: str) -> np.ndarray:
        """Token ids of a query, cut to its size, without special tokens: uint16 or int32 [tokens]."""
        (tokens,) = tokenize(self.tokenizer, [query])
        return np.array(tokens[: self.layout.max_query_tokens], self.dtype)

    def encode_documents(self, documents: Sequence[str]) -> Ragged:
        """Token ids of texts, each cut to its size, without special tokens: 2 bytes a token, 8 a text.

        A document's text is that of its `document_fields` (ranker.contract.document.whole_text).
        """
        if isinstance(documents, str):
            raise InputError("documents: expected a list of texts, found one text")
        size = self.layout.max_document_tokens
        return ragged([tokens[:size] for tokens in tokenize(self.tokenizer, documents)], self.dtype)


class Ranker(TextEncoder):
    """The model in such a folder, and its texts' encoder.

    `threads` are those of one batch, 0 for as many as there are cores: where several queries are ranked at a time, 1
    is the best use of them.
    """

    def __init__(self, folder: Path, model: Model = "fp32", threads: int = 0, trusted: bool = False) -> None:
        super().__init__(folder, trusted)
        if not (folder / MODEL_FILES[model]).is_file():
            why = "" if model == "fp32" else ", or none passed its gate (manifest.json)"
            raise InputError(
                f"{folder / MODEL_FILES[model]}: expected a model that stage export wrote, found none{why}"
            )
        if not trusted:
            check_digests(folder, MODEL_FILES[model])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self.session = onnxruntime.InferenceSession(
                str(folder / MODEL_FILES[model]), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no base of their own
            raise InputError(f"{folder / MODEL_FILES[model]}: expected an ONNX model, found: {error}") from error

    def logits(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Logits, float32 [pairs, 2], of laid out pairs (`ranker.contract.layout.lay_out`)."""
        return self.session.run([OUTPUT], inputs)[0]

    def score(self, query: TokenIds, documents: Sequence[TokenIds]) -> np.ndarray:
        """Logit 1 - logit 0, float32 [documents], of one query with each document; the higher, the more relevant."""
        return self.score_pairs([query] * len(documents), documents)

    def score_unbatched(self, query: TokenIds, documents: Sequence[TokenIds]) -> np.ndarray:
        """The same, each pair in a batch of its own without padding, as Vespa has it.

        In eight bits that makes other scores: activations are rounded by their batch's range.
        """
        pairs = (lay_out(self.layout, [query], [document]) for document in documents)
        return np.array([relevance(self.logits(pair))[0] for pair in pairs], dtype=np.float32)

    def rank(
        self, query: str, documents: Sequence[TokenIds] | Sequence[str], top: int | None = None
    ) -> list[tuple[int, float]]:
        """The `top` documents for a query, best first, as (row, score); of equal scores, the first row first.

        `documents` are texts or, to tokenise them once for many queries, what `encode_documents` gives.
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
        self,
        queries: Sequence[TokenIds],
        documents: Sequence[TokenIds],
        tokens: int = TOKENS,
    ) -> np.ndarray:
        """Logit 1 - logit 0, float32 [pairs], of pairs of token ids; in the order given, whatever the batches.

        A batch has at most `tokens` tokens.
        """
        lengths = self.layout.lengths(token_counts(queries), token_counts(documents))
        scores = np.empty(len(lengths), dtype=np.float32)
        for rows in scoring_batches(lengths, tokens):
            batch = lay_out(self.layout, [queries[i] for i in rows], [documents[i] for i in rows], multiple_of=MULTIPLE)
            scores[rows] = relevance(self.logits(batch))
        return scores

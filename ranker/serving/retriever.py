"""Embed texts with the exported retriever: ONNX Runtime, tokenizers and numpy, without torch and transformers.

    retriever = Retriever(folder, "int8")                                    # the folder of stage export_retriever
    documents = retriever.embed_documents(["Origin of the virus", "Masks"])  # once; `size` numbers a document
    documents @ retriever.embed_queries(["coronavirus origin"])[0]           # cosines

Threads may share a Retriever, because it does not change after construction.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ranker.common.errors import InputError
from ranker.common.files import read_json
from ranker.contract.batching import MULTIPLE, scoring_batches
from ranker.contract.document import read_document_fields
from ranker.contract.embedding import STATES, lay_out_texts, pooled, read_embedding_contract
from ranker.contract.folder import (
    DEFAULT_RETRIEVER,
    EMBEDDING_FILE,
    IDLE_FILE,
    MODEL_FILES,
    TOKENIZER_FILE,
    Model,
    check_files,
)
from ranker.contract.layout import TokenIds
from ranker.contract.tokens import Ragged, load_tokenizer, ragged, tokenize
from ranker.serving.ranker import TOKENS, open_session, token_type

STAGE = "export_retriever"


class Retriever:
    """The exported retriever: vectors of length 1, whose dot product is the cosine.

    InputError names a file that is missing or has another digest than the manifest's. `threads` is the number of
    batches at a time, 0 for one a core; each takes one thread, so vectors do not depend on their number. A `trusted`
    folder is this process's own and has no manifest yet.

    The int8 model embeds one text at a time, as Vespa does, because the range of a batch sets the scale of its
    activations: a document's vector must not depend on the documents beside it.
    """

    def __init__(
        self, folder: Path = DEFAULT_RETRIEVER, model: Model = "fp32", threads: int = 0, trusted: bool = False
    ) -> None:
        check_trained(folder)
        check_files(folder, EMBEDDING_FILE, TOKENIZER_FILE, MODEL_FILES[model], stage=STAGE, trusted=trusted)
        self.layout, self.size = read_embedding_contract(folder / EMBEDDING_FILE)
        self.document_fields = read_document_fields(folder / EMBEDDING_FILE)
        self.tokenizer = load_tokenizer(folder)
        self.dtype = token_type(self.tokenizer)
        self.batch_tokens = TOKENS if model == "fp32" else 1
        self.threads = threads or os.cpu_count() or 1
        self.session = open_session(folder / MODEL_FILES[model], threads=1)

    def encode(self, texts: Sequence[str]) -> Ragged:
        """Token ids of texts, cut to the layout, without special tokens: 2 bytes a token, 8 a text."""
        if isinstance(texts, str):
            raise InputError("texts: expected a list of texts, found one text")
        cut = [tokens[: self.layout.max_tokens] for tokens in tokenize(self.tokenizer, texts)]
        return ragged(cut, self.dtype)

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of length 1, float32 [texts, size]; queries and documents are embedded alike."""
        return self.embed_tokens(self.encode(texts))

    def embed_documents(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of length 1, float32 [texts, size].

        `ranker.contract.document.whole_text` makes a text of a document's `document_fields`.
        """
        return self.embed_tokens(self.encode(texts))

    def embed_tokens(self, tokens: Sequence[TokenIds]) -> np.ndarray:
        """Vectors of token ids without special tokens, float32 [texts, size], in the order given."""
        vectors = np.empty((len(tokens), self.size), np.float32)
        multiple = MULTIPLE if self.batch_tokens > 1 else 1

        def embed(rows: np.ndarray) -> None:
            inputs = lay_out_texts(self.layout, [tokens[i] for i in rows], multiple_of=multiple)
            vectors[rows] = self.vectors(inputs)

        with ThreadPoolExecutor(self.threads) as pool:
            for _ in pool.map(embed, scoring_batches(self.layout.lengths(tokens), self.batch_tokens)):
                pass  # an error in a thread is raised here
        return vectors

    def vectors(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Vectors, float32 [texts, size], of texts laid out by `ranker.contract.embedding.lay_out_texts`."""
        return pooled(self.states(inputs), inputs["attention_mask"])

    def states(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """The last layer's states of laid-out texts, float32 [texts, tokens, size]."""
        return self.session.run([STATES], inputs)[0]


def check_trained(folder: Path) -> None:
    """InputError if the folder has only the note that params.yaml asks for no retriever."""
    if (folder / IDLE_FILE).is_file():
        name = read_json(folder / IDLE_FILE)["first_stage.retriever"]
        raise InputError(
            f"{folder}: expected a retriever, found none, because first_stage.retriever is {name}: dense and hybrid "
            "train one"
        )

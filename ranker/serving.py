"""Score pairs with the exported model by ONNX Runtime alone: neither torch nor transformers is imported."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from tqdm import tqdm

from ranker.batching import MULTIPLE, scoring_batches
from ranker.encoding import NOT_RELEVANT, OUTPUT, RELEVANT, TokenIds, lay_out, read_contract

MODEL_FILE = "model.onnx"
CONTRACT_FILE = "encoding.json"


class OnnxRanker:
    """The model in a folder that stage export wrote."""

    def __init__(self, folder: Path) -> None:
        self.layout = read_contract(folder / CONTRACT_FILE)
        self.session = onnxruntime.InferenceSession(str(folder / MODEL_FILE), providers=["CPUExecutionProvider"])

    def logits(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Logits, float32 [pairs, 2], of laid out pairs (`ranker.encoding.lay_out`)."""
        return self.session.run([OUTPUT], inputs)[0]

    def score(self, queries: Sequence[TokenIds], documents: Sequence[TokenIds], tokens: int) -> np.ndarray:
        """Logit 1 - logit 0, float32 [pairs], of pairs of token ids; in the order given, whatever the batches."""
        lengths = np.array([self.layout.length(q, d) for q, d in zip(queries, documents, strict=True)], dtype=np.int64)
        scores = np.empty(len(lengths), dtype=np.float32)
        for rows in tqdm(scoring_batches(lengths, tokens), desc="score", unit="batch", disable=None):
            batch = lay_out(self.layout, [queries[i] for i in rows], [documents[i] for i in rows], multiple_of=MULTIPLE)
            logits = self.logits(batch)
            scores[rows] = logits[:, RELEVANT] - logits[:, NOT_RELEVANT]
        return scores

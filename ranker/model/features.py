"""A frozen encoder's features of each pair, computed once; training the head alone reads only these."""

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from transformers import BertForSequenceClassification

from ranker.contract.batching import TOKENS
from ranker.model.dataset import EncodedPairs
from ranker.model.predict import outputs, pooled

PART = 2**16  # pairs sorted by length, and held in memory, at a time
FEATURES_FILE = "pooled.npy"


def features(
    model: BertForSequenceClassification, pairs: EncodedPairs, precision: Literal["bf16", "fp32"]
) -> np.ndarray:
    """Pooled outputs, float16 [pairs, hidden size], in input order.

    They lie between -1 and 1, where half precision errs by at most 0.0005.
    """
    array = np.empty((len(pairs), model.config.hidden_size), np.float16)
    for rows, states in outputs(model, pairs, TOKENS, precision, partial(pooled, model)):
        array[rows] = states.numpy()
    return array


def write_features(
    path: Path, model: BertForSequenceClassification, pairs: EncodedPairs, precision: Literal["bf16", "fp32"]
) -> None:
    """Write `features` as one .npy file, PART pairs at a time, in constant memory."""
    array = np.lib.format.open_memmap(path, "w+", np.float16, (len(pairs), model.config.hidden_size))
    for start in range(0, len(pairs), PART):
        array[start : start + PART] = features(model, pairs.take(slice(start, start + PART)), precision)
    array.flush()

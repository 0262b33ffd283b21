"""Token ids of many texts in two arrays: no Python object for each text or token."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np


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

    def __getitem__(self, row: int) -> np.ndarray:  # type: ignore[override]  # no slices: nobody asks for them
        """Token ids of text `row`, not copied; from the end where `row` is below 0."""
        row = range(len(self))[row]
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, int64 [texts]."""
        return np.diff(self.offsets)


def ragged(texts: Sequence[Sequence[int] | np.ndarray], dtype: type[np.generic] = np.int32) -> Ragged:
    """Texts, each a list of token ids, in two arrays."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return Ragged(np.fromiter(chain.from_iterable(texts), dtype, int(offsets[-1])), offsets)

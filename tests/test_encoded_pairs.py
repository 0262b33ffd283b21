"""Pairs with their token ids: looked up by id, in order, laid out by the contract."""

import numpy as np
import pandas as pd
import pytest

from ranker.contract.layout import Layout, lay_out
from ranker.model.dataset import EncodedPairs, encode_pairs
from ranker.project.tables import pack

LAYOUT = Layout(4, 4, cls_id=101, sep_id=102, pad_id=0)  # two tokens of a query, three of a document


@pytest.fixture
def encoded() -> EncodedPairs:
    queries, documents = pack(["1", "2"], [[5, 6, 5], []]), pack(["a", "b", "c"], [[7], [8, 9, 10, 11], []])
    pairs = pd.DataFrame({"query_id": ["1", "2", "1"], "document_id": ["b", "a", "c"], "label": [1, 0, 0]})
    return encode_pairs(pairs, queries, documents, LAYOUT)


def test_pairs_keep_their_order_and_their_whole_texts(encoded: EncodedPairs) -> None:
    assert len(encoded) == 3
    examples = [encoded[row] for row in range(3)]
    found = [
        (np.asarray(query).tolist(), np.asarray(document).tolist(), target) for query, document, target in examples
    ]
    assert found == [([5, 6, 5], [8, 9, 10, 11], 1), ([], [7], 0), ([5, 6, 5], [], 0)]
    assert encoded.lengths.tolist() == [8, 4, 5]  # cut, and three special tokens
    assert encoded.targets.dtype == np.float32


def test_inputs_are_those_of_the_contract(encoded: EncodedPairs) -> None:
    found = encoded.inputs([2, 0])
    expected = lay_out(LAYOUT, [[5, 6, 5], [5, 6, 5]], [[], [8, 9, 10, 11]])
    assert {name: array.tolist() for name, array in found.items()} == {
        name: array.tolist() for name, array in expected.items()
    }


def test_a_part_is_these_pairs(encoded: EncodedPairs) -> None:
    part = encoded.take(slice(1, 9))
    assert len(part) == 2
    assert part.inputs([0])["input_ids"].tolist() == encoded.inputs([1])["input_ids"].tolist()
    assert part.lengths.tolist() == [4, 5]
    turned = encoded.take(np.array([2, 0]))
    assert turned.inputs([1])["input_ids"].tolist() == encoded.inputs([0])["input_ids"].tolist()


def test_a_target_beats_a_label(encoded: EncodedPairs) -> None:
    pairs = pd.DataFrame({"query_id": ["1"], "document_id": ["a"], "label": [1], "target": [0.25]})
    assert encode_pairs(pairs, encoded.queries, encoded.documents, LAYOUT).targets.tolist() == [0.25]


def test_a_text_that_was_not_encoded_is_named(encoded: EncodedPairs) -> None:
    pairs = pd.DataFrame({"query_id": ["1", "1"], "document_id": ["a", "z"], "label": [1, 0]})
    with pytest.raises(KeyError, match="no token ids for z"):
        encode_pairs(pairs, encoded.queries, encoded.documents, LAYOUT)

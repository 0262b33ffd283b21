"""ranker.model.dataset: pairs with their token ids, looked up by id, in order, laid out by the contract."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranker.contract.layout import Layout, lay_out
from ranker.model.dataset import EncodedPairs, encode_pairs, load_pairs, load_training_pairs, project_layout, targets
from ranker.project import paths, tables
from ranker.project.tables import pack
from tests.factories import PARAMS

LAYOUT = Layout(4, 4, cls_id=101, sep_id=102, pad_id=0)  # two tokens of a query, three of a document


@pytest.fixture
def encoded() -> EncodedPairs:
    queries, documents = pack(["1", "2"], [[5, 6, 5], []]), pack(["a", "b", "c"], [[7], [8, 9, 10, 11], []])
    pairs = pd.DataFrame(
        {"query_id": ["1", "2", "1"], "document_id": ["b", "a", "c"], "relevant": [True, False, False]}
    )
    return encode_pairs(pairs, queries, documents, LAYOUT)


def test_encode_pairs_keeps_their_order_and_their_whole_texts(encoded: EncodedPairs) -> None:
    assert len(encoded) == 3
    examples = [encoded[row] for row in range(3)]
    found = [
        (np.asarray(query).tolist(), np.asarray(document).tolist(), target) for query, document, target in examples
    ]
    assert found == [([5, 6, 5], [8, 9, 10, 11], 1), ([], [7], 0), ([5, 6, 5], [], 0)]
    assert encoded.lengths.tolist() == [8, 4, 5]  # cut, and three special tokens
    assert encoded.targets.dtype == np.float32


def test_with_targets_are_the_same_pairs_with_others(encoded: EncodedPairs) -> None:
    graded = encoded.with_targets(np.array([0.25, 1, 0]))
    assert [graded[row][2] for row in range(3)] == [0.25, 1, 0]
    assert graded.targets.dtype == np.float32
    assert encoded.targets.tolist() == [1, 0, 0]
    assert graded.lengths is encoded.lengths


def test_targets_by_hand() -> None:
    """Pairs are relevant as join decides, here from grade 2 on; a grade below 0 gives target 0."""
    pairs = pd.DataFrame({"grade": [0, 1, 2, 4, -1], "relevant": [False, False, True, True, False]})
    assert targets(pairs, "binary").tolist() == [0, 0, 1, 1, 0]
    assert targets(pairs, "graded").tolist() == [0, 0.25, 0.5, 1, 0]
    assert targets(pairs, "graded", [0, 1, 2, 4, 8]).tolist() == [0, 0.125, 0.25, 0.5, 0]
    assert targets(pairs, "binary", [0, 1, 2, 4, 8]).tolist() == [0, 0, 1, 1, 0]
    assert {targets(pairs, "binary").dtype, targets(pairs, "graded").dtype} == {np.dtype(np.float32)}


def test_encode_pairs_names_a_text_that_was_not_encoded(encoded: EncodedPairs) -> None:
    pairs = pd.DataFrame({"query_id": ["1", "1"], "document_id": ["a", "z"], "relevant": [True, False]})
    with pytest.raises(KeyError, match="no token ids for z"):
        encode_pairs(pairs, encoded.queries, encoded.documents, LAYOUT)


def test_inputs_are_those_of_the_contract(encoded: EncodedPairs) -> None:
    found = encoded.inputs([2, 0])
    expected = lay_out(LAYOUT, [[5, 6, 5], [5, 6, 5]], [[], [8, 9, 10, 11]])
    assert {name: array.tolist() for name, array in found.items()} == {
        name: array.tolist() for name, array in expected.items()
    }


def test_take_gives_these_pairs(encoded: EncodedPairs) -> None:
    part = encoded.take(slice(1, 9))
    assert len(part) == 2
    assert part.inputs([0])["input_ids"].tolist() == encoded.inputs([1])["input_ids"].tolist()
    assert part.lengths.tolist() == [4, 5]
    turned = encoded.take(np.array([2, 0]))
    assert turned.inputs([1])["input_ids"].tolist() == encoded.inputs([0])["input_ids"].tolist()


@pytest.mark.usefixtures("bare")
def test_load_pairs_reads_the_projects_tables(base_model: Path) -> None:
    columns = {"query_id": ["1"], "document_id": ["a"], "grade": [2], "relevant": [True], "fold": [0], "unseen": [True]}
    pairs = pd.DataFrame(columns).assign(judged=True)
    tables.write_table(paths.SPLIT_PAIRS, pairs)
    queries, documents = (
        {"query_id": ["1"], "query": ["bats"]},
        {"document_id": ["a"], "title": ["Bats"], "text": ["Bats"]},
    )
    tables.write_texts(paths.SPLIT_QUERIES, pd.DataFrame(queries), pack(["1"], [[5, 6]]))
    tables.write_texts(paths.SPLIT_DOCUMENTS, pd.DataFrame(documents), pack(["a"], [[7]]))
    layout = Layout(32, 96, cls_id=2, sep_id=3, pad_id=0)
    for folder in (paths.BASE_MODEL, base_model):
        found, encoded = load_pairs(PARAMS, folder)
        assert found.to_dict("records") == pairs.to_dict("records")
        assert encoded.layout == project_layout(PARAMS, folder) == layout
        assert encoded.inputs([0])["input_ids"].tolist() == [[2, 5, 6, 3, 7, 3, 0, 0]]
    mined = pd.DataFrame(columns | {"document_id": ["b"], "relevant": [False], "grade": [0]}).assign(judged=False)
    documents |= {"document_id": ["b"]}
    tables.write_texts(paths.MINED_DOCUMENTS, pd.DataFrame(documents), pack(["b"], [[8]]))
    for table in (mined[:0], mined):
        tables.write_table(paths.MINED_PAIRS, table)
        found, encoded = load_training_pairs(PARAMS)
        assert found["document_id"].tolist() == ["a", "b"][: 1 + len(table)]
        assert found["mined"].tolist() == [False, True][: 1 + len(table)]
        assert [list(encoded[row][1]) for row in range(len(encoded))] == [[7], [8]][: 1 + len(table)]

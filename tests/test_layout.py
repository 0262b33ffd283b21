"""ranker.contract.layout, against the tutorial's own rules, for any token ids."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.common.files import write_json
from ranker.contract.layout import RELEVANT, Layout, contract, lay_out, read_contract, relevance
from tests.factories import refusal

LAYOUT = Layout(query_input_size=6, doc_input_size=5, cls_id=101, sep_id=102, pad_id=0)

tokens = st.lists(st.integers(1, 30_000), max_size=12)


def tutorial_layout(query: list[int], document: list[int], layout: Layout, length: int) -> dict[str, list[int]]:
    """The tutorial's rules, one step after the other, on Python lists."""
    query = query[: layout.query_input_size - 2]
    document = document[: layout.doc_input_size - 1]
    first = [layout.cls_id, *query, layout.sep_id]
    second = [*document, layout.sep_id]
    padding = length - len(first) - len(second)
    return {
        "input_ids": first + second + [layout.pad_id] * padding,
        "token_type_ids": [0] * len(first) + [1] * len(second) + [0] * padding,
        "attention_mask": [1] * (len(first) + len(second)) + [0] * padding,
    }


@given(st.lists(st.tuples(tokens, tokens), min_size=1, max_size=5), st.integers(3, 9), st.integers(2, 9))
def test_lay_out_is_the_tutorials(pairs: list[tuple[list[int], list[int]]], query_size: int, doc_size: int) -> None:
    layout = Layout(query_size, doc_size, cls_id=101, sep_id=102, pad_id=0)
    queries, documents = zip(*pairs, strict=True)
    batch = lay_out(layout, queries, documents, length=layout.max_length)
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int64)}
    for row, (query, document) in enumerate(pairs):
        for name, expected in tutorial_layout(query, document, layout, layout.max_length).items():
            assert batch[name][row].tolist() == expected, name


@given(st.lists(st.tuples(tokens, tokens), min_size=1, max_size=5), st.sampled_from([1, 8]))
def test_lay_out_makes_a_batch_as_long_as_its_longest_pair(
    pairs: list[tuple[list[int], list[int]]], multiple: int
) -> None:
    queries, documents = zip(*pairs, strict=True)
    batch = lay_out(LAYOUT, queries, documents, multiple_of=multiple)
    longest = max(min(len(query), 4) + min(len(document), 4) + 3 for query, document in pairs)
    assert batch["attention_mask"].sum(axis=1).max() == longest
    assert batch["input_ids"].shape == (len(pairs), min(-(-longest // multiple) * multiple, LAYOUT.max_length))


def test_lay_out_refuses_a_length_that_would_lose_a_token() -> None:
    with pytest.raises(ValueError, match="at most 5 tokens, found one of 6"):
        lay_out(LAYOUT, [[7, 8]], [[9]], length=5)


def test_read_contract_gives_back_what_contract_states(tmp_path: Path) -> None:
    write_json(tmp_path / "encoding.json", contract(LAYOUT, "0" * 64, 512))
    assert read_contract(tmp_path / "encoding.json") == LAYOUT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cls_id": None}, "expected sizes and special ids as stage export writes them, found: TypeError"),
        ({"max_length": "Infinity"}, "expected sizes and special ids as stage export writes them, found: ValueError"),
        ({"max_length": float("inf")}, "expected sizes and special ids as stage export writes them, found: Overflow"),
        ({"query_input_size": 2}, "expected room for a token on both sides, found Layout"),
        ({"doc_input_size": 1}, "expected room for a token on both sides, found Layout"),
        ({"max_length": 10}, r"max_length: expected at least query_input_size \+ doc_input_size \(11\), .*, found 10"),
    ],
)
def test_read_contract_refuses_one_that_cannot_be_served(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    (tmp_path / "encoding.json").write_text(json.dumps(contract(LAYOUT, "0" * 64, 512) | change))
    assert re.search(f"encoding.json: {message}", refusal(read_contract, tmp_path / "encoding.json"))


def test_relevance_is_the_difference_of_the_logits() -> None:
    logits = np.array([[1.0, 3.5], [2.0, -1.0]], dtype=np.float32)
    assert relevance(logits).tolist() == [2.5, -3.0]
    assert RELEVANT == 1

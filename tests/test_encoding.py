"""The contract, against the tutorial's own rules, transformers' pair encoding, and for any text."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertTokenizer

from ranker.common.errors import InputError
from ranker.common.files import write_json
from ranker.contract.layout import Layout, contract, lay_out, read_contract
from ranker.contract.tokens import load_layout, load_tokenizer, tokenize

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


@pytest.mark.parametrize(
    ("query", "document", "input_ids", "token_type_ids"),
    [
        ([7, 8], [9], [101, 7, 8, 102, 9, 102, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]),
        ([], [], [101, 102, 102, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        (
            [1, 2, 3, 4, 5, 6],
            [11, 12, 13, 14, 15, 16],
            [101, 1, 2, 3, 4, 102, 11, 12, 13, 14, 102],
            [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1],
        ),
    ],
)
def test_layout_by_hand(query: list[int], document: list[int], input_ids: list[int], token_type_ids: list[int]) -> None:
    batch = lay_out(LAYOUT, [query], [document], length=LAYOUT.max_length)
    assert batch["input_ids"][0].tolist() == input_ids
    assert batch["token_type_ids"][0].tolist() == token_type_ids
    assert batch["attention_mask"][0].tolist() == [int(token != 0) for token in input_ids]
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int64)}


@given(st.lists(st.tuples(tokens, tokens), min_size=1, max_size=5), st.integers(3, 9), st.integers(2, 9))
def test_layout_is_the_tutorials(pairs: list[tuple[list[int], list[int]]], query_size: int, doc_size: int) -> None:
    layout = Layout(query_size, doc_size, cls_id=101, sep_id=102, pad_id=0)
    queries, documents = zip(*pairs, strict=True)
    batch = lay_out(layout, queries, documents, length=layout.max_length)
    for row, (query, document) in enumerate(pairs):
        for name, expected in tutorial_layout(query, document, layout, layout.max_length).items():
            assert batch[name][row].tolist() == expected, name


@given(st.lists(st.tuples(tokens, tokens), min_size=1, max_size=5), st.sampled_from([1, 8]))
def test_batch_is_as_long_as_its_longest_pair(pairs: list[tuple[list[int], list[int]]], multiple: int) -> None:
    queries, documents = zip(*pairs, strict=True)
    batch = lay_out(LAYOUT, queries, documents, multiple_of=multiple)
    longest = max(LAYOUT.length(query, document) for query, document in pairs)
    assert batch["attention_mask"].sum(axis=1).max() == longest
    assert batch["input_ids"].shape == (len(pairs), min(-(-longest // multiple) * multiple, LAYOUT.max_length))


def test_a_length_that_would_lose_a_token_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 5 tokens, found one of 6"):
        lay_out(LAYOUT, [[7, 8]], [[9]], length=5)


def test_short_texts_are_encoded_as_transformers_encodes_a_pair(base_model: Path) -> None:
    ours, theirs = (
        load_tokenizer(base_model),
        BertTokenizer(tokenizer_file=str(base_model / "tokenizer.json")),
    )
    layout = load_layout(base_model, 500, 500)  # nothing is cut: a character gives a few tokens at the most

    @given(st.text(max_size=60), st.text(max_size=60))
    def check(query: str, document: str) -> None:
        query_tokens, document_tokens = tokenize(ours, [query, document])
        batch = lay_out(layout, [query_tokens], [document_tokens])
        expected = theirs([query], [document])
        for name, array in batch.items():
            assert array[0].tolist() == expected[name][0], name

    check()


def test_truncation_and_padding_of_the_file_are_off(base_model: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(base_model)
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    text = "survival of the virus on steel and glass surfaces"
    assert tokenize(load_tokenizer(tmp_path), [text]) == tokenize(load_tokenizer(base_model), [text])
    assert len(tokenize(load_tokenizer(tmp_path), [text])[0]) > 4


def test_special_ids_are_the_tokenizers(base_model: Path) -> None:
    vocabulary = json.loads((base_model / "tokenizer.json").read_text())["model"]["vocab"]
    layout = load_layout(base_model, 32, 96)
    assert (layout.cls_id, layout.sep_id, layout.pad_id) == tuple(vocabulary[t] for t in ("[CLS]", "[SEP]", "[PAD]"))


def test_a_tokenizer_without_a_separator_is_refused(base_model: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((base_model / "tokenizer.json").read_bytes())
    write_json(tmp_path / "tokenizer_config.json", {"cls_token": "[CLS]", "sep_token": "<sep>", "pad_token": "[PAD]"})
    with pytest.raises(InputError, match="expected a sep_token that tokenizer.json knows, found '<sep>'"):
        load_layout(tmp_path, 32, 96)


def test_the_written_contract_gives_the_layout_back(tmp_path: Path) -> None:
    write_json(tmp_path / "encoding.json", contract(LAYOUT, "0" * 64))
    assert read_contract(tmp_path / "encoding.json") == LAYOUT

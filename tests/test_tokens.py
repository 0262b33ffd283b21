"""ranker.contract.tokens, against transformers, for any text; and token ids of many texts in two arrays."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertTokenizer

from ranker.common.errors import InputError
from ranker.common.files import write_json
from ranker.contract.layout import lay_out
from ranker.contract.tokens import load_layout, load_tokenizer, ragged, readings, tokenize


def test_tokenize_and_lay_out_are_transformers_pair_encoding(base_model: Path) -> None:
    ours, theirs = (
        load_tokenizer(base_model),
        BertTokenizer(tokenizer_file=str(base_model / "tokenizer.json")),
    )
    layout = load_layout(base_model, 500, 500)  # no cut: a character gives a few tokens at most

    @given(st.text(max_size=60), st.text(max_size=60))
    def check(query: str, document: str) -> None:
        query_tokens, document_tokens = tokenize(ours, [query, document])
        batch = lay_out(layout, [query_tokens], [document_tokens])
        expected = theirs([query], [document])
        for name, array in batch.items():
            assert array[0].tolist() == expected[name][0], name

    check()


def test_load_tokenizer_switches_the_files_truncation_and_padding_off(base_model: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(base_model)
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    text = "survival of the virus on steel and glass surfaces"
    assert tokenize(load_tokenizer(tmp_path), [text]) == tokenize(load_tokenizer(base_model), [text])
    assert len(tokenize(load_tokenizer(tmp_path), [text])[0]) > 4


def test_load_layout_has_the_tokenizers_special_ids(base_model: Path) -> None:
    vocabulary = json.loads((base_model / "tokenizer.json").read_text())["model"]["vocab"]
    layout = load_layout(base_model, 32, 96)
    assert (layout.cls_id, layout.sep_id, layout.pad_id) == tuple(vocabulary[t] for t in ("[CLS]", "[SEP]", "[PAD]"))


def test_load_layout_refuses_a_tokenizer_without_a_separator(base_model: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((base_model / "tokenizer.json").read_bytes())
    write_json(tmp_path / "tokenizer_config.json", {"cls_token": "[CLS]", "sep_token": "<sep>", "pad_token": "[PAD]"})
    with pytest.raises(InputError, match="expected a sep_token that tokenizer.json knows, found '<sep>'"):
        load_layout(tmp_path, 32, 96)


def test_load_tokenizer_refuses_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="tokenizer.json: expected a tokenizers file, found: "):
        load_tokenizer(tmp_path)


@given(st.lists(st.lists(st.integers(0, 65535), max_size=9), max_size=9))
def test_ragged_gives_back_every_text(texts: list[list[int]]) -> None:
    found = ragged(texts, np.uint16)
    assert [text.tolist() for text in found] == texts
    assert found.lengths.tolist() == [len(text) for text in texts]
    assert found.values.dtype == np.uint16
    if texts:
        assert found[-1].tolist() == texts[-1]
    with pytest.raises(IndexError):
        found[len(texts)]


@given(st.lists(st.lists(st.integers(0, 3), max_size=4), max_size=30), st.sampled_from([np.int32, np.int64, np.uint16]))
def test_readings_are_equal_where_all_tokens_are(texts: list[list[int]], dtype: type[np.generic]) -> None:
    found = readings(ragged(texts, dtype))
    assert found.dtype == np.int64
    assert found.tolist() == readings(ragged(texts)).tolist()
    numbers = dict(zip(map(tuple, texts), found.tolist(), strict=True))
    assert [numbers[tuple(text)] for text in texts] == found.tolist()
    assert len(set(numbers.values())) == len(numbers)

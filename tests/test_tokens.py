"""ranker.contract.tokens, against transformers, for any text; and token ids of many texts in two arrays."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertTokenizer

from ranker.contract.layout import lay_out
from ranker.contract.tokens import load_layout, load_tokenizer, ragged, readings, tokenize


def test_tokenize_and_lay_out_are_transformers_pair_encoding(base_model: Path) -> None:
    ours, theirs = (load_tokenizer(base_model), BertTokenizer(tokenizer_file=str(base_model / "tokenizer.json")))
    layout = load_layout(base_model, 500, 500)  # no cut: a character gives a few tokens at most

    @given(st.text(max_size=60), st.text(max_size=60))
    def check(query: str, document: str) -> None:
        query_tokens, document_tokens = tokenize(ours, [query, document])
        batch = lay_out(layout, [query_tokens], [document_tokens])
        expected = theirs([query], [document])
        for name, array in batch.items():
            assert array[0].tolist() == expected[name][0], name

    check()


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

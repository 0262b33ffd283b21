"""ranker.vespa.feed: the documents fed to Vespa, and which characters of a title remain."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.common.errors import InputError
from ranker.contract.tokens import load_tokenizer, tokenize
from ranker.contract.words import DROPPED, NOT_TEXT
from ranker.vespa.feed import feed_lines, write_feed
from tests.factories import refusal


@given(
    st.text(max_size=40) | st.lists(st.sampled_from([*"ab \0\x07\t\x1f\x7f\x85\u200b\u00ad\u200d\ufeff"])).map("".join)
)
def test_titles_that_are_fed_have_the_tokens_that_they_had(ranker_folder: Path, text: str) -> None:
    """Texts with code points that are no characters are left out, because the feed drops those."""
    if not any(character in NOT_TEXT and character > "\x20" for character in text):
        tokenizer = load_tokenizer(ranker_folder)
        assert tokenize(tokenizer, [text.translate(DROPPED)]) == tokenize(tokenizer, [text])


def test_feed_lines_are_ids_and_titles() -> None:
    lines = list(feed_lines([("a", 'The "origin"'), ("é/2", ""), ("c", "🦠 na\u0000ïve\u0007\ufffe\tÅ")]))
    assert lines == [
        '{"put":"id:doc:doc::a","fields":{"document_id":"a","title":"The \\"origin\\""}}',
        '{"put":"id:doc:doc::é/2","fields":{"document_id":"é/2","title":""}}',
        '{"put":"id:doc:doc::c","fields":{"document_id":"c","title":"🦠 naïve\\tÅ"}}',
    ]


@pytest.mark.parametrize("document_id", ["a\u0007", "\u0000a", "a\ufdd0"])
def test_feed_lines_refuse_ids_that_could_be_one_in_vespa(document_id: str) -> None:
    """Two ids that differ only in such characters would collide: the first id with one is refused."""
    with pytest.raises(InputError, match=r"document_id '\S+': expected text that Vespa takes, found '\S+'"):
        list(feed_lines([("a", "one title"), (document_id, "another")]))


def test_write_feed_names_a_folder_in_its_place(tmp_path: Path) -> None:
    """A feed that stops halfway leaves the last one: test_command_line.py."""
    assert "expected a file to write, found a folder" in refusal(write_feed, [("a", "Masks")], tmp_path)

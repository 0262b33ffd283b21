"""ranker.fetch.catalogue of small data sets, and join of its output; test_pipeline_sources.py has a real one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, NamedTuple

import ir_datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_datasets.formats import TrecSubQrel

from ranker.common.errors import InputError
from ranker.data.beir import read_beir
from ranker.data.join import Joined
from ranker.fetch.catalogue import fetch_catalogue
from tests.factories import join_texts


def joined(folder: Path) -> tuple[Joined, dict[str, str]]:
    """The join of a folder, and the texts of all its documents."""
    return join_texts(read_beir(folder, ["title", "text"], []))[:2]


def dropped(found: Joined) -> dict[str, int]:
    return {name: count for name, count in found.counts["dropped"].items() if count}


def test_fetch_catalogue_writes_the_subtopics_of_a_diversity_track(tmp_path: Path) -> None:
    data = Catalogue(["masks"], ["Masks", "Bats"])
    judged = [TrecSubQrel("0", "d0", 0, "1"), TrecSubQrel("0", "d0", 2, "2"), TrecSubQrel("0", "d1", 0, "1")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ir_datasets, "load", lambda _: data)
        patch.setattr(data, "qrels_iter", lambda: iter(judged), raising=False)
        fetch_catalogue("any", "title", tmp_path / "raw")
    found, _ = joined(tmp_path / "raw")
    assert found.pairs[["document_id", "grade"]].to_numpy().tolist() == [["d0", 2], ["d1", 0]]
    assert dropped(found) == {"other_subtopic": 1}


@pytest.mark.parametrize(("field", "text"), [("question", "what is it?"), ("narrative", "n")])
def test_fetch_catalogue_takes_the_field_that_is_asked_for(tmp_path: Path, field: str, text: str) -> None:
    topic = SimpleNamespace(query_id="1", title="t", question="what is it?", narrative="n")
    topic._fields = ("query_id", "title", "question", "narrative")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ir_datasets, "load", lambda _: Catalogue(["any"], ["masks"], topic))
        fetch_catalogue("any", field, tmp_path / "raw")
        assert json.loads((tmp_path / "raw/queries.jsonl").read_text())["text"] == text
        with pytest.raises(InputError, match="fetch.query_field: expected one of title, question, narrative, found qu"):
            fetch_catalogue("any", "qu", tmp_path / "raw")


class Query(NamedTuple):
    query_id: str
    text: str


class Text(NamedTuple):
    doc_id: str
    title: str


@dataclass
class Catalogue:
    """A data set as ir_datasets has it."""

    queries: list[str]
    titles: list[str]
    topic: Any = None

    def queries_iter(self) -> Iterator[Any]:
        if self.topic:
            return iter([self.topic])
        return (Query(str(i), text) for i, text in enumerate(self.queries))

    def qrels_iter(self) -> Iterator[Any]:
        return (
            SimpleNamespace(query_id=str(i), doc_id=f"d{j}", relevance=(i + j) % 3)
            for i in range(len(self.queries))
            for j in range(len(self.titles))
        )

    def docs_iter(self) -> Iterator[Any]:
        return (Text(f"d{j}", title) for j, title in enumerate(self.titles))


texts = st.text(st.sampled_from("ab ,;\"'\r\n\t\0\x0b\x0c\x1c\x85\u2028\u2029\ufeff\xe9"), max_size=8)


@settings(max_examples=40)
@given(st.lists(texts.filter(str.strip), min_size=1, max_size=3), st.lists(texts, min_size=1, max_size=4))
def test_join_reads_every_text_that_fetch_catalogue_writes(queries: list[str], titles: list[str]) -> None:
    """Texts have line ends of all kinds, quotes, byte order marks, and NUL."""
    titles = ["masks", *titles]  # so that join has a pair
    with TemporaryDirectory() as work, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ir_datasets, "load", lambda _: Catalogue(queries, titles))
        fetch_catalogue("any", "title", Path(work) / "raw")
        found, kept = joined(Path(work) / "raw")
    assert kept == {f"d{j}": title for j, title in enumerate(titles) if title.strip()}
    assert found.queries["query"].tolist() == queries
    assert len(found.pairs) == len(queries) * len(kept)


def test_fetch_catalogue_leaves_no_half_of_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ir_datasets stops in the middle, for example at a download of a wrong digest."""
    data = Catalogue(["masks"], ["Masks"])
    monkeypatch.setattr(ir_datasets, "load", lambda _: data)
    monkeypatch.setattr(data, "docs_iter", lambda: (1 / 0 for _ in "a"), raising=False)
    with pytest.raises(InputError, match="^any: expected to load it through ir_datasets, found: "):
        fetch_catalogue("any", "title", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()

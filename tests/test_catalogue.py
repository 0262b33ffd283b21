"""ranker.fetch.catalogue with a stand-in server of small topics, judgements and metadata, and join of its output."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, NamedTuple

import ir_datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_datasets.formats import TrecSubQrel
from pytest_httpserver import HTTPServer

from ranker.common.errors import InputError
from ranker.data.beir import read_beir
from ranker.data.join import Joined
from ranker.fetch.catalogue import fetch_catalogue
from tests.factories import ROOT, join_texts

TOPICS = """<?xml version="1.0"?><topics task="COVIDSearch">
<topic number="1"><query>coronavirus origin</query><question>what is it?</question><narrative>n</narrative></topic>
<topic number="2"><query>masks &amp; distance</query><question>what?</question><narrative>n</narrative></topic>
</topics>"""
QRELS = "1 4.5 aaaaaaaa 2\n1 4 bbbbbbbb -1\n2 5 aaaaaaaa 0\n2 5 cccccccc 1\n2 5 notthere 1\n"
METADATA = (
    "cord_uid,sha,source_x,title,doi,pmcid,publish_time,abstract\n"
    'aaaaaaaa,,PMC,"Bats, again",,,2020,x\nbbbbbbbb,,PMC,Pigs,,,2020,x\ncccccccc,,PMC,Masks,,,2020,x\n'
)

# Points ir_datasets' own list of downloads at the stand-in, then runs stage fetch.
FETCH = """
import json, sys
from pathlib import Path
import ir_datasets
from ir_datasets.datasets import cord19
known = ir_datasets.util.DownloadConfig.contents()["cord19"]
for name, (url, md5) in json.loads(sys.argv[1]).items():
    known[name] |= {"url": url, "expected_md5": md5, "size_hint": 100, "irds_mirror": False}
for name in [name for name in ir_datasets.registry._registered if name.startswith("cord19")]:
    del ir_datasets.registry._registered[name]
cord19._init()
from ranker.common.errors import run_stage
from ranker.common.errors import InputError
from ranker.data.beir import read_beir
from ranker.fetch.catalogue import fetch_catalogue
run_stage("fetch", lambda: fetch_catalogue("cord19/trec-covid", "title", Path("raw")))
"""


def fetch(
    server: HTTPServer, folder: Path, spoil: str = "", qrels: str = QRELS, metadata: str = METADATA
) -> "subprocess.CompletedProcess[str]":
    sources = {}
    for name, text in {
        "trec-covid/queries": TOPICS,
        "trec-covid/qrels": qrels,
        "docs/2020-07-16/metadata": metadata,
    }.items():
        server.expect_request(f"/{name}").respond_with_data(text + ("spoilt" if name == spoil else ""))
        sources[name] = (server.url_for(f"/{name}"), hashlib.md5(text.encode()).hexdigest())
    return subprocess.run(
        [sys.executable, "-c", FETCH, json.dumps(sources)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "IR_DATASETS_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
    )


def joined(folder: Path) -> tuple[Joined, dict[str, str]]:
    """The join of a folder, and the texts of all its documents."""
    return join_texts(read_beir(folder, ["title", "text"], []))[:2]


def dropped(found: Joined) -> dict[str, int]:
    return {name: count for name, count in found.counts["dropped"].items() if count}


def test_fetch_catalogue_writes_a_beir_folder(httpserver: HTTPServer, tmp_path: Path) -> None:
    result = fetch(httpserver, tmp_path)
    assert result.returncode == 0, result.stderr
    raw = tmp_path / "raw"
    assert (raw / "queries.jsonl").read_text() == (
        '{"_id": "1", "text": "coronavirus origin"}\n{"_id": "2", "text": "masks & distance"}\n'
    )
    first = json.loads((raw / "corpus.jsonl").read_text().splitlines()[0])
    assert {name: first[name] for name in ("_id", "title", "text")} == {
        "_id": "aaaaaaaa",
        "title": "Bats, again",
        "text": "x",
    }
    assert (raw / "qrels/trec-covid.tsv").read_text() == (
        "query-id\tcorpus-id\tscore\n1\taaaaaaaa\t2\n1\tbbbbbbbb\t-1\n2\taaaaaaaa\t0\n2\tcccccccc\t1\n2\tnotthere\t1\n"
    )
    found, texts = joined(raw)
    assert texts == {"aaaaaaaa": "Bats, again x", "bbbbbbbb": "Pigs x", "cccccccc": "Masks x"}
    assert dropped(found) == {"grade_below_0": 1, "judgement_without_document": 1}


def test_fetch_catalogue_leaves_every_decision_to_join(httpserver: HTTPServer, tmp_path: Path) -> None:
    """join keeps the first text of a repeated id and counts empty, conflicting and unknown entries."""
    again = "aaaaaaaa,,PMC,Bats once more,,,2020,x\ndddddddd,,PMC,,,,2020,\n"
    qrels = QRELS + "2 5 cccccccc 2\n3 5 aaaaaaaa 1\n1 5 dddddddd 1\n"
    result = fetch(httpserver, tmp_path, qrels=qrels, metadata=METADATA + again)
    assert result.returncode == 0, result.stderr
    found, texts = joined(tmp_path / "raw")
    assert texts["aaaaaaaa"] == "Bats, again x"
    assert found.pairs[["query_id", "document_id", "grade"]].to_numpy().tolist() == [
        ["1", "aaaaaaaa", 2],
        ["2", "aaaaaaaa", 0],
    ]
    assert dropped(found) == {
        "judgement_without_document": 1,
        "unknown_query": 1,
        "empty_document": 1,
        "conflicting_grades": 2,
        "grade_below_0": 1,
    }
    assert found.counts["noted"]["document_with_two_texts"] == 1


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


@pytest.mark.parametrize("spoil", ["trec-covid/qrels", "docs/2020-07-16/metadata"])
def test_fetch_catalogue_stops_at_a_wrong_digest(httpserver: HTTPServer, tmp_path: Path, spoil: str) -> None:
    result = fetch(httpserver, tmp_path, spoil)
    assert result.returncode == 1
    assert "fetch: cord19/trec-covid: expected to load it through ir_datasets, found:" in result.stderr
    assert not (tmp_path / "raw").exists()

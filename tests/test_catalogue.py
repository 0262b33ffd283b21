"""ranker.data.catalogue, from a stand-in that serves small topics, judgements and metadata; what join makes of it."""

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
from typing import Any

import ir_datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from ranker.data.catalogue import fetch_catalogue
from ranker.data.join import Joined, join
from ranker.data.tutorial import read_judgements, read_labelled_data
from ranker.project import paths
from ranker.project.tables import SCHEMAS, read_table, write_table
from tests.factories import ROOT

TOPICS = """<?xml version="1.0"?><topics task="COVIDSearch">
<topic number="1"><query>coronavirus origin</query><question>what is it?</question><narrative>n</narrative></topic>
<topic number="2"><query>masks &amp; distance</query><question>what?</question><narrative>n</narrative></topic>
</topics>"""
QRELS = "1 4.5 aaaaaaaa 2\n1 4 bbbbbbbb -1\n2 5 aaaaaaaa 0\n2 5 cccccccc 1\n2 5 notthere 1\n"
METADATA = (
    "cord_uid,sha,source_x,title,doi,pmcid,publish_time,abstract\n"
    'aaaaaaaa,,PMC,"Bats, again",,,2020,x\nbbbbbbbb,,PMC,Pigs,,,2020,x\ncccccccc,,PMC,Masks,,,2020,x\n'
)

# Points ir_datasets' own list of downloads at the stand-in, then does what stage fetch does.
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
from ranker.data.catalogue import fetch_catalogue
run_stage("fetch", lambda: fetch_catalogue("cord19/trec-covid", Path("labelled.json"), Path("judgements.csv")))
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


def joined(folder: Path) -> Joined:
    """What stage join makes of the two files."""
    labelled = read_labelled_data(folder / "labelled.json")
    return join(labelled, read_judgements(folder / "judgements.csv"), relevant_from=1)


def dropped(found: Joined) -> dict[str, int]:
    return {name: count for name, count in found.counts["dropped"].items() if count}


def test_fetch_catalogue_writes_the_tutorials_two_files(httpserver: HTTPServer, tmp_path: Path) -> None:
    result = fetch(httpserver, tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "labelled.json").read_text())[0] == {
        "query_id": "1",
        "query": "coronavirus origin",
        "relevant_docs": [{"id": "aaaaaaaa", "score": 2}, {"id": "bbbbbbbb", "score": -1}],
    }
    assert (tmp_path / "judgements.csv").read_text() == (
        '"document_id","query_id","label","title-full"\n"aaaaaaaa","1","2","Bats, again"\n'
        '"aaaaaaaa","2","0","Bats, again"\n"bbbbbbbb","1","-1","Pigs"\n"cccccccc","2","1","Masks"\n'
    )
    found = joined(tmp_path)
    assert found.counts["kept"] == {"queries": 2, "documents": 2, "pairs": 3, "relevant_pairs": 2}
    assert dropped(found) == {"grade_below_0": 1, "judgement_without_title": 1}


def test_fetch_catalogue_leaves_every_decision_to_join(httpserver: HTTPServer, tmp_path: Path) -> None:
    """Of a repeated id the first title counts, and an empty later one drops nothing; conflicts are counted."""
    again = "aaaaaaaa,,PMC,Bats once more,,,2020,x\naaaaaaaa,,PMC,,,,2020,x\ndddddddd,,PMC,,,,2020,x\n"
    result = fetch(
        httpserver,
        tmp_path,
        qrels=QRELS + "2 5 cccccccc 2\n3 5 aaaaaaaa 1\n1 5 dddddddd 1\n",
        metadata=METADATA + again,
    )
    assert result.returncode == 0, result.stderr
    found = joined(tmp_path)
    assert found.documents.set_index("document_id")["title"].to_dict() == {"aaaaaaaa": "Bats, again"}
    assert found.pairs[["query_id", "document_id", "grade"]].to_numpy().tolist() == [
        ["1", "aaaaaaaa", 2],
        ["2", "aaaaaaaa", 0],
    ]
    assert dropped(found) == {
        "duplicate_pair": 2,  # the second title's rows
        "empty_title": 3,  # the third's, and that of the last document
        "conflicting_grades": 2,
        "unknown_query": 3,
        "grade_below_0": 1,
        "judgement_without_title": 1,
    }


@dataclass
class Catalogue:
    """A data set as ir_datasets has one."""

    queries: list[str]
    titles: list[str]

    def queries_iter(self) -> Iterator[Any]:
        return (SimpleNamespace(query_id=str(i), text=text) for i, text in enumerate(self.queries))

    def qrels_iter(self) -> Iterator[Any]:
        return (
            SimpleNamespace(query_id=str(i), doc_id=f"d{j}", relevance=(i + j) % 3)
            for i in range(len(self.queries))
            for j in range(len(self.titles))
        )

    def docs_iter(self) -> Iterator[Any]:
        return (SimpleNamespace(doc_id=f"d{j}", title=title) for j, title in enumerate(self.titles))


texts = st.text(st.sampled_from("ab ,;\"'\r\n\t\0\x0b\x0c\x1c\x85\u2028\u2029\ufeff\xe9"), max_size=8)


@given(st.lists(texts.filter(str.strip), min_size=1, max_size=3), st.lists(texts, min_size=1, max_size=4))
def test_join_reads_every_text_that_fetch_catalogue_writes(queries: list[str], titles: list[str]) -> None:
    """Line ends of all kinds, quotes, what encodings begin with, and NUL, which no CSV holds."""
    titles = ["masks", *titles]  # or there would be nothing to join
    with TemporaryDirectory() as work, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ir_datasets, "load", lambda _: Catalogue(queries, titles))
        fetch_catalogue("any", Path(work) / "labelled.json", Path(work) / "judgements.csv")
        found = joined(Path(work))
        write_table(Path(work) / "documents.parquet", found.documents, SCHEMAS[paths.DOCUMENTS])
        documents = read_table(Path(work) / "documents.parquet", SCHEMAS[paths.DOCUMENTS])
    expected = {f"d{j}": title.replace("\0", "\ufffd") for j, title in enumerate(titles)}
    assert documents.set_index("document_id")["title"].to_dict() == {
        name: title for name, title in expected.items() if title.strip()
    }
    assert found.queries.set_index("query_id")["query"].to_dict() == {str(i): text for i, text in enumerate(queries)}
    assert len(found.pairs) == len(queries) * sum(bool(title.strip()) for title in expected.values())


@pytest.mark.parametrize("spoil", ["trec-covid/qrels", "docs/2020-07-16/metadata"])
def test_fetch_catalogue_stops_at_a_wrong_digest(httpserver: HTTPServer, tmp_path: Path, spoil: str) -> None:
    result = fetch(httpserver, tmp_path, spoil)
    assert result.returncode == 1
    assert "fetch: cord19/trec-covid: expected to load it through ir_datasets, found:" in result.stderr
    assert not (tmp_path / "judgements.csv").exists()

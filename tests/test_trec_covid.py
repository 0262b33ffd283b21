"""ranker.data.catalogue, from a stand-in that serves a small topics, judgements and metadata file."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from ranker.data.join import join
from ranker.data.tutorial import read_judgements, read_labelled_data
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
run_stage("fetch", lambda: fetch_catalogue(Path("labelled_data.json"), Path("judgements.csv")))
"""


def fetch(server: HTTPServer, folder: Path, spoil: str = "") -> "subprocess.CompletedProcess[str]":
    sources = {}
    for name, text in {
        "trec-covid/queries": TOPICS,
        "trec-covid/qrels": QRELS,
        "docs/2020-07-16/metadata": METADATA,
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


def test_fetch_catalogue_writes_the_tutorials_two_files(httpserver: HTTPServer, tmp_path: Path) -> None:
    result = fetch(httpserver, tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "labelled_data.json").read_text())[0] == {
        "query_id": 1,
        "query": "coronavirus origin",
        "relevant_docs": [{"id": "aaaaaaaa", "score": 2}, {"id": "bbbbbbbb", "score": -1}],
    }
    assert (tmp_path / "judgements.csv").read_text() == (
        "document_id,query_id,label,title-full\n"
        'aaaaaaaa,1,2,"Bats, again"\nbbbbbbbb,1,-1,Pigs\naaaaaaaa,2,0,"Bats, again"\ncccccccc,2,1,Masks\n'
    )
    labelled = read_labelled_data(tmp_path / "labelled_data.json")
    counts = join(labelled, read_judgements(tmp_path / "judgements.csv"), relevant_from=1).counts
    assert counts["kept"] == {"queries": 2, "documents": 2, "pairs": 3, "relevant_pairs": 2}
    assert {name: n for name, n in counts["dropped"].items() if n} == {"grade_below_0": 1, "judgement_without_title": 1}


@pytest.mark.parametrize("spoil", ["trec-covid/qrels", "docs/2020-07-16/metadata"])
def test_fetch_catalogue_stops_at_a_wrong_digest(httpserver: HTTPServer, tmp_path: Path, spoil: str) -> None:
    result = fetch(httpserver, tmp_path, spoil)
    assert result.returncode == 1
    assert "fetch: cord19/trec-covid: expected to load it through ir_datasets, found:" in result.stderr
    assert not (tmp_path / "judgements.csv").exists()

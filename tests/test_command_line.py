"""python -m ranker search | rank | score | feed | query: their output, and one line for each mistake.

test_shards.py, test_vespa.py and test_pipeline_ray.py test the output of score and feed further.
"""

import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from ranker.__main__ import parser
from ranker.search.search import load_search, read_searchable
from ranker.serving.ranker import Ranker
from ranker.serving.retriever import Retriever
from ranker.stack.stack import MODELS, Stack, write_stack
from ranker.vespa.query import write_settings
from tests.applications import vespa_settings
from tests.factories import ROOT, Run, run_module
from tests.mistakes import SEARCH, SEARCHED

CORES = os.cpu_count()
TITLES = ["Masks in wards", "The origin of the virus", "Bats\nand \x1b[31mbirds"]


@pytest.fixture
def titles(tmp_path: Path) -> Path:
    rows = [f'{name},"{title}"\n' for name, title in zip(("007", "1e10", "x"), TITLES, strict=True)]
    (tmp_path / "titles.csv").write_text("".join(["document_id,title\n", *rows]))
    return tmp_path / "titles.csv"


def ranker(*arguments: object) -> str | int | None:
    """Exit status of the command line."""
    return run_module("ranker.__main__", *map(str, arguments))


def test_rank_prints_a_table_for_people(ranker_folder: Path, titles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = "origin of the virus"
    assert ranker("rank", asked, "--documents", titles, "--top", 3, "--model-dir", ranker_folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "score", "document_id", "title"]
    assert [row.split()[0] for row in lines[1:]] == ["1", "2", "3"]
    scores = [float(row.split()[1]) for row in lines[1:]]
    assert scores == sorted(scores, reverse=True)
    assert {row.split()[2] for row in lines[1:]} == {"007", "1e10", "x"}
    assert any(row.endswith("Bats and [31mbirds") for row in lines)  # one line, without terminal control characters
    model = Ranker(ranker_folder)
    assert scores == [round(score, 3) for _, score in model.rank(asked, TITLES)]


def test_rank_prints_json_lines_for_programs_from_standard_input(
    ranker_folder: Path, titles: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(titles.read_bytes())))
    asked = ("rank", "masks", "--jsonl", "--top", 2, "--model", "int8", "--model-dir", ranker_folder)
    assert ranker(*asked) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["rank"] for row in found] == [1, 2]
    assert list(found[0]) == ["rank", "score", "document_id", "title"]
    model = Ranker(ranker_folder, "int8")
    assert [row["score"] for row in found] == [score for _, score in model.rank("masks", TITLES, 2)]


def test_rank_stops_quietly_when_its_reader_stops(ranker_folder: Path, tmp_path: Path, run: Run) -> None:
    lines = (json.dumps({"document_id": str(i), "title": "masks " * 30}) + "\n" for i in range(2000))
    (tmp_path / "many.jsonl").write_text("".join(lines))
    options = f"--documents {tmp_path / 'many.jsonl'} --top 2000 --model-dir {ranker_folder}"
    result = run(f"python -m ranker rank masks {options} | head -1", ROOT)
    assert (result.stdout.split(), result.stderr) == (["rank", "score", "document_id", "title"], "")


def test_rank_refuses_a_query_that_is_not_utf_8(ranker_folder: Path, titles: Path, run: Run) -> None:
    command = f"python -m ranker rank $(printf '\\377') --documents {titles} --model-dir {ranker_folder}"
    result = run(command, ROOT, check=False)
    assert (result.returncode, result.stderr) == (1, "rank: query: expected UTF-8, found '\\udcff'\n")


def test_rank_names_standard_input_that_is_closed(ranker_folder: Path, run: Run) -> None:
    result = run(f"python -m ranker rank masks --model-dir {ranker_folder} <&-", ROOT, check=False)
    message = "rank: standard input: expected a table, found it closed\n"
    assert (result.returncode, result.stderr) == (1, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--top 0", "rank: --top: expected at least 1, found 0"),
        ("--threads -1", f"rank: --threads: expected 0 to {CORES} (this machine's cores), found -1"),
        ("--threads 99999", f"rank: --threads: expected 0 to {CORES} (this machine's cores), found 99999"),
        ("--documents nowhere.parquet", "rank: nowhere.parquet: No such file or directory"),
        ("--documents nowhere.csv", "rank: nowhere.csv: No such file or directory"),
        ("--model-dir nowhere", "rank: nowhere/encoding.json: expected a file that stage export wrote, found none"),
    ],
)
def test_rank_names_a_mistake_in_one_line(ranker_folder: Path, titles: Path, change: str, message: str) -> None:
    asked = ("rank", "masks", "--documents", titles, "--model-dir", ranker_folder, *change.split())
    assert ranker(*asked) == message


@pytest.fixture
def searched(
    ranker_folder: Path, word_vectors: Path, titles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Options of a search by a whole stack; the user's cache folder is a new one."""
    weights = {"cross_encoder": 0.5, "cosine": 1.0, "bm25": 0.25}
    write_stack(tmp_path / "stack.json", Stack("hybrid", "fused", 2, weights, "en"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folders = ("--stack", tmp_path / "stack.json", "--model-dir", ranker_folder, "--retriever-dir", word_vectors)
    return [*map(str, folders), "--documents", str(titles)]


CACHE = "cache/cord19-ranker/vectors"


def test_search_prints_what_the_stack_finds(
    searched: list[str], titles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ranker("search", "the virus", "--jsonl", "--explain", *searched) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    search = load_search(
        read_searchable(tmp_path / "stack.json"), Path(searched[5]), Path(searched[3]), dict.fromkeys(MODELS, "fp32")
    )
    search.index(["007", "1e10", "x"], [[title] for title in TITLES])
    assert found == [
        {"rank": rank, "score": hit.score, "document_id": hit.document_id, "title": search.fields[hit.row][0]}
        | {"as_found": hit.as_found, "ranks": hit.ranks, "raw": hit.raw, "parts": hit.parts}
        for rank, hit in enumerate(search.find("the virus"), start=1)
    ]
    assert found[0]["document_id"] == "1e10"
    assert ranker("search", "the virus", "--top", 1, *searched) == 0
    assert capsys.readouterr().out.splitlines() == [
        "rank  score  document_id  title",
        f"   1  {found[0]['score']:.3f}  1e10         The origin of the virus",
    ]


def test_search_embeds_a_document_once(searched: list[str], titles: Path, tmp_path: Path) -> None:
    assert ranker("search", "masks", *searched) == 0
    (kept,) = (tmp_path / CACHE).iterdir()
    first = kept.stat().st_mtime_ns
    assert ranker("search", "bats", *searched) == 0
    assert kept.stat().st_mtime_ns == first
    with titles.open("a") as file:
        file.write("new,A new one\n")
    assert ranker("search", "bats", *searched) == 0
    assert kept.stat().st_mtime_ns > first
    with np.load(kept) as content:
        model = Retriever(Path(searched[5]))
        np.testing.assert_allclose(content["vectors"], model.embed_documents([*TITLES, "A new one"]), atol=1e-6)
    assert ranker("search", "bats", "--vectors", tmp_path / "mine", *searched) == 0
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [kept.name]


def test_search_traces_a_query_in_any_terminal(
    searched: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for columns in (80, 110):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert ranker("search", "masks in wards", "--explain", "--model", "int8", *searched) == 0
        out, err = capsys.readouterr()
        lines = out.splitlines()
        assert lines[:4] == [
            "hybrid+fused over 3 documents (title), by retriever fp32, cross-encoder int8",
            "2 candidates: the best 2 by BM25 and the best 2 by vectors",
            "score = 0.5 cross-encoder + 1 cosine + 0.25 BM25, each scaled to 0..1",
            "",
        ]
        assert "   1  1.750     1       1 " in lines[6]  # the title itself is first in all
        assert lines[7] == "      Masks in wards"
        assert max(map(len, lines)) <= 80
        assert err == ""


def test_search_by_words_needs_no_model(
    searched: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_stack(
        tmp_path / "stack.json", Stack("bm25", "as_found", 2, {"cross_encoder": 1, "cosine": 1, "bm25": 1}, "en")
    )
    asked = [*searched[:2], *searched[6:], "--model-dir", "nowhere", "--retriever-dir", "nowhere"]
    assert ranker("search", "virus", *asked) == 0
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()] == ["document_id", "1e10"]
    assert not (tmp_path / CACHE).exists()
    assert ranker("search", "unknown", *asked) == 0
    assert capsys.readouterr() == (
        "rank  score  document_id  title\n",
        "search: no document shares a word with the query\n",
    )


@pytest.mark.parametrize(("query", "change", "message"), SEARCH)
def test_search_names_a_mistake_in_one_line(
    searched: list[str],
    word_vectors: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    change: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in SEARCHED.items():
        (tmp_path / name).write_text(text)
    shutil.copytree(word_vectors, tmp_path / "changed")
    with (tmp_path / "changed/model.onnx").open("ab") as file:
        file.write(b" ")
    found = ranker("search", query, *searched, *change.split())
    assert str(found).startswith(f"search: {message}")
    assert "\n" not in str(found)
    assert not (tmp_path / CACHE).exists()


def test_feed_writes_one_file_or_says_why_not(titles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "feed.jsonl"
    assert ranker("feed", titles, "--out", out) == 0
    assert capsys.readouterr().out == f"feed: {out}: 3 documents of title\n"
    assert [json.loads(line)["fields"]["document_id"] for line in out.read_text().splitlines()] == ["007", "1e10", "x"]
    (tmp_path / "bad.jsonl").write_text('{"document_id": null, "title": "Masks"}\n')
    before = out.read_bytes()
    found = ranker("feed", tmp_path / "bad.jsonl", "--out", out)
    assert found == f"feed: {tmp_path}/bad.jsonl: line 1: document_id: expected an id, found ''"
    assert out.read_bytes() == before


def test_query_prints_the_body_of_a_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_settings(tmp_path, vespa_settings(language="fr"))
    assert ranker("query", "Étude", "--hits", 3, "--application", tmp_path) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["text"], body["hits"], body["ranking"], body["language"]) == ("Étude", 3, "ranker", "fr")
    found = ranker("query", "bats", "--hits", 0, "--application", tmp_path)
    assert found == "query: --hits: expected 1 to 400, Vespa's maxHits, found 0"
    missing = "query: nowhere/query-settings.json: expected a file that stage package wrote, found none"
    assert ranker("query", "bats", "--application", "nowhere") == missing


@pytest.mark.parametrize("command", ["search", "rank", "score", "feed", "query"])
def test_parser_shows_an_example_of_each_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The parser must accept that example."""
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args([command, "--help"])
    assert stopped.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    example = shown.split(f"example: python -m ranker {command} ")[1]
    words = [word.strip('"') for word in example.replace('"coronavirus origin"', "coronavirus").split()]
    assert parser().parse_args([command, *words]).command == command

"""python -m ranker rank | score | feed | query: their output, and one line for each mistake.

test_shards.py, test_vespa.py and test_pipeline_ray.py test the output of score and feed further.
"""

import io
import json
import os
import sys
from pathlib import Path

import pytest

from ranker.__main__ import parser
from ranker.serving.ranker import Ranker
from ranker.vespa.query import QuerySettings, write_settings
from tests.factories import ROOT, Run, run_module

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
    write_settings(tmp_path, QuerySettings("fr", 50, 700))
    assert ranker("query", "Étude", "--hits", 3, "--application", tmp_path) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["text"], body["hits"], body["ranking"], body["language"]) == ("Étude", 3, "ranker", "fr")
    found = ranker("query", "bats", "--hits", 0, "--application", tmp_path)
    assert found == "query: --hits: expected 1 to 400, Vespa's maxHits, found 0"
    missing = "query: nowhere/query-settings.json: expected a file that stage package wrote, found none"
    assert ranker("query", "bats", "--application", "nowhere") == missing


@pytest.mark.parametrize("command", ["rank", "score", "feed", "query"])
def test_parser_shows_an_example_of_each_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The parser must accept that example."""
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args([command, "--help"])
    assert stopped.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    example = shown.split(f"example: python -m ranker {command} ")[1]
    words = [word.strip('"') for word in example.replace('"coronavirus origin"', "coronavirus").split()]
    assert parser().parse_args([command, *words]).command == command

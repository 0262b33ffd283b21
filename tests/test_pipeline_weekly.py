"""Three weeks of `make weekly` with a tiny model, each in a fresh clone; the third has shuffled grades."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranker.common.files import read_json
from ranker.project import paths
from tests.conftest import copy_project, vocabulary
from tests.factories import Run, set_base_model, set_params
from tests.readme import recipe

QUERIES = 70, 80  # of the first week and of the others
GOOD, BAD = 3, 5  # documents of a query, by the words in them
FEWEST = 25  # held-out queries of a release


def words() -> list[str]:
    """Twelve of the tiny model's words: a document with one of the first six is relevant."""
    whole = [word for word in vocabulary() if len(word) > 4 and word.isalpha()]
    return whole[:12]


def topic(query: int) -> str:
    """A word of its own for each query."""
    return "qx" + "".join("abcdefghij"[int(digit)] for digit in f"{query:03}")


def write_collection(folder: Path, queries: int) -> None:
    """Queries, each with its documents: BM25 finds them by the topic, and cannot tell which are relevant."""
    random, markers = np.random.default_rng(1), words()
    rows, documents = [], []
    for query in range(queries):
        for place, grade in enumerate([1] * GOOD + [0] * BAD):
            marker = markers[int(random.integers(6)) + 6 * (1 - grade)]
            name = f"d{random.integers(10**6):06}-{query}-{place}"
            documents.append({"document_id": name, "title": f"{topic(query)} {marker}"})
            rows.append((f"q{query}", topic(query), name, grade))
    table = pd.DataFrame(rows, columns=["query_id", "query", "document_id", "grade"])
    folder.mkdir(exist_ok=True)
    table.to_csv(folder / "judgements.csv", index=False)
    (folder / "corpus.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))


def named(folder: Path, query: int) -> str:
    """The first document that is judged for a query."""
    table = pd.read_csv(folder / "judgements.csv")
    return str(table.loc[table["query_id"] == f"q{query}", "document_id"].iloc[0])


def shuffle(folder: Path, training: set[str]) -> None:
    """Shuffle the grades of all training queries."""
    table = pd.read_csv(folder / "judgements.csv")
    rows = table["query_id"].isin(training)
    table.loc[rows, "grade"] = np.random.default_rng(2).permutation(table.loc[rows, "grade"])
    table.to_csv(folder / "judgements.csv", index=False)


@pytest.fixture(scope="module")
def origin(plain_model: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A bare repository of a shop's project, whose DVC remote is a folder."""
    place = tmp_path_factory.mktemp("shop")
    first = place / "first"
    first.mkdir()
    copy_project(first, run)
    (first / "dvc.lock").unlink()
    write_collection(first / "mine", QUERIES[0])
    set_base_model(first, plain_model)
    set_params(
        first,
        **{"fetch__format": "table", "fetch__folder": "mine", "fetch__qrels": "judgements.csv"},
        **{"split__folds": 2, "first_stage__retriever": "bm25", "first_stage__depth": 10, "negatives__from_rank": 10},
        **{"negatives__per_positive": 0, "order__by": "cross_encoder", "order__depth": 10, "vespa__model": "fp32"},
        **{"train__head": "classifier", "train__trainable": "all", "train__targets": "binary", "train__epochs": 8},
        **{"train__learning_rate": 0.002, "train__warmup_steps": 2, "train__precision": "fp32", "export__name": "shop"},
    )
    run(f"dvc remote add --quiet --default storage {place}/storage", first)
    run(f"git add -A && git commit -qm shop && git clone -q --bare . {place}/shop.git", first)
    return place / "shop.git"


def week(origin: Path, name: str, run: Run, **given: str) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """`make weekly` in a fresh clone; returns the clone and the output."""
    clone = origin.parent / name
    run(f"git clone -q {origin} {clone}", origin.parent)
    (line,) = recipe("weekly")
    return clone, run(line.replace("$(SEEDS)", "[13]"), clone, check=False, **given)


def change(origin: Path, clone: Path, run: Run, message: str) -> None:
    run(f"git add mine && git commit -qm '{message}' && git push -q origin HEAD", clone)


@pytest.fixture(scope="module")
def weeks(origin: Path, run: Run) -> "list[tuple[Path, subprocess.CompletedProcess[str]]]":
    """The clones and outputs of three weeks: the first, one with more queries, one with shuffled grades."""
    first = week(origin, "week1", run)
    assert first[1].returncode == 0, first[1].stdout + first[1].stderr
    write_collection(first[0] / "mine", QUERIES[1])
    change(origin, first[0], run, "Ten queries more")
    grades = origin.parent / "grades.csv"
    grades.write_text(f"query_id,document_id,grade\nq0,{named(first[0] / 'mine', 1)},0\n")
    second = week(origin, "week2", run, JUDGEMENTS=str(grades))
    assert second[1].returncode == 0, second[1].stdout + second[1].stderr
    pairs = pd.read_parquet(second[0] / paths.SPLIT_PAIRS)
    shuffle(second[0] / "mine", set(pairs.loc[pairs["fold"] != 0, "query_id"]))
    change(origin, second[0], run, "Another week")
    return [first, second, week(origin, "week3", run)]


Weeks = list[tuple[Path, "subprocess.CompletedProcess[str]"]]


def test_first_week_is_compared_with_what_costs_nothing_alone(weeks: Weeks) -> None:
    clone, said = weeks[0]
    assert "release: shop@v0.1.0 registered" in said.stdout
    manifest = read_json(clone / "releases/0.1.0.json")
    assert (manifest["against"], list(manifest["compared"])) == ("", ["the best search that costs nothing"])
    assert list(manifest["artifacts"]) == ["shop", "shop-hub"]  # its stack has no retriever
    assert "before" not in manifest["costs"]


def test_second_week_is_compared_with_the_first_on_the_same_queries(weeks: Weeks, run: Run) -> None:
    clone, said = weeks[1]
    assert "release: shop@v0.2.0 registered" in said.stdout
    assert "Judge more, by grades.csv" in run("git log --format=%s origin/HEAD", clone).stdout
    assert "q0," in (clone / "data/judged.csv").read_text()
    manifest = read_json(clone / "releases/0.2.0.json")
    assert manifest["against"] == "shop@v0.1.0"
    found = manifest["compared"]["shop@v0.1.0"]
    assert found["queries"] >= FEWEST
    assert found["trained_on"] == 0
    assert found["by"]["nDCG@10"]["p"] > 0.05
    assert {name: set(costs) for name, costs in manifest["costs"].items()} == {
        name: {"ms", "MiB", "MB"} for name in ("now", "before")
    }
    metrics = {
        name: each["data"]
        for name, each in json.loads(run("dvc metrics show --json", clone).stdout)[""]["data"].items()
    }
    assert metrics["results/gains.json"]["over last release"]["nDCG@10 gain"] == found["by"]["nDCG@10"]["mean"]
    ours, theirs = (
        metrics[f"results/metrics/stacks/{name}.json"]["nDCG@10"] for name in ("bm25+cross_encoder", "last_release")
    )
    assert ours - theirs == pytest.approx(found["by"]["nDCG@10"]["mean"])


def test_release_is_measured_by_its_own_search(weeks: Weeks, run: Run) -> None:
    """The first week's models, asked by the command line, find what the second week's comparison has."""
    (first, _), (clone, _) = weeks[:2]
    hits = pd.read_parquet(clone / paths.RELEASE_HITS)
    query = hits["query_id"].iloc[0]
    documents = clone / paths.DOCUMENTS
    asked = f"python -m ranker search {topic(int(query[1:]))} --documents {documents} --top 100 --jsonl"
    printed = [json.loads(line) for line in run(asked, first).stdout.splitlines()]
    rows = hits[hits["query_id"] == query]
    assert [line["document_id"] for line in printed] == rows["document_id"].tolist()
    assert [line["score"] for line in printed] == pytest.approx(rows["score"].tolist(), abs=1e-5)


def test_third_week_is_refused_by_p(weeks: Weeks, run: Run) -> None:
    clone, said = weeks[2]
    assert said.returncode == 1, said.stdout + said.stderr
    (refused,) = [line for line in said.stderr.splitlines() if line.startswith("weekly: ")]
    assert re.fullmatch(
        r"weekly: shop 0\.3\.0 is refused: it is worse than shop@v0\.2\.0 by 0\.\d+ nDCG@10 "
        r"\(95% interval -0\.\d+ to -0\.\d+, p = 0\.0\d+\)",
        refused,
    )
    tags = [f"{name}@v{version}" for name in ("shop-hub", "shop") for version in ("0.1.0", "0.2.0")]
    assert run("git tag", clone).stdout.split() == tags
    assert (
        run("git status --porcelain --untracked-files=no", clone).stdout == ""
    )  # params, lock and results are as they were
    assert (clone / "to_judge.csv").read_text().startswith("query_id,query,document_id,")
    assert "shop@v0.2.0" in (clone / paths.REPORT).read_text()


def test_weekly_starts_from_a_clean_tree(weeks: Weeks, run: Run) -> None:
    clone, _ = weeks[2]
    set_params(clone, train__epochs=1)
    (line,) = recipe("weekly")
    refused = run(line.replace("$(SEEDS)", "[13]"), clone, check=False)
    run("git checkout -q params.yaml", clone)
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "weekly: the working tree: expected no changes, because a refused run undoes its own, found params.yaml"
    )

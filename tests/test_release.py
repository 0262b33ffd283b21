"""Releases: the paired comparison, the decision, and a release taken from a folder or an archive."""

import json
import re
import shutil
import tarfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from ranker.common.files import read_json, write_json
from ranker.contract.document import query_key
from ranker.evaluation.compare import Served
from ranker.evaluation.last_release import compare_shipped, twins
from ranker.fetch.release import folder_digest, take_release
from ranker.metrics.comparison import Against, Paired
from ranker.metrics.verdict import NO_DIFFERENCE, WORSE, queries_needed, smallest_difference
from ranker.project import paths, tables
from ranker.project.documents import write_documents
from ranker.release.compare import FREE, against, decide, measure_release, of_queries, paired, strongest_free
from ranker.release.hits import unseen_queries
from ranker.release.package import Release, read_release
from ranker.release.recipes import changes, override
from ranker.stack.stack import Stack, write_stack
from ranker.stacks.shipped import shipped_stack
from ranker.stacks.table import Measured
from scripts.release import digests, is_written, write
from tests.factories import PARAMS, Run, refusal

BM25 = Stack("bm25", "as_found", 10, {"cross_encoder": 0.0, "cosine": 0.0, "bm25": 0.0}, "en")
DENSE = Stack("dense", "as_found", 10, {"cross_encoder": 0.0, "cosine": 1.0, "bm25": 0.0}, "en")


def measured(stack: Stack, *seeds: list[float], judged: float = 1.0) -> Measured:
    """A stack with these values of nDCG@10, a list for each seed."""
    tables = {
        seed: pd.DataFrame(
            {
                "query_id": [f"q{row}" for row in range(len(values))],
                "nDCG@10": values,
                "nDCG@10, condensed": values,
                "Judged@10": judged,
            }
        )
        for seed, values in enumerate(seeds)
    }
    return Measured(stack.name, stack, tables, {}, 0.0)


def values(count: int, mean: float, seed: int) -> list[float]:
    return np.clip(np.random.default_rng(seed).normal(mean, 0.1, count), 0, 1).tolist()


def test_paired_difference_is_that_of_a_t_test_and_counts_gains_and_losses() -> None:
    ours, other = values(30, 0.6, 1), values(30, 0.5, 2)
    found = paired(measured(DENSE, ours), measured(BM25, other), "nDCG@10", 13)
    expected = ttest_rel(ours, other)
    bounds = expected.confidence_interval()
    assert found["mean"] == pytest.approx(np.mean(ours) - np.mean(other))
    assert (found["low"], found["high"]) == pytest.approx((bounds.low, bounds.high))
    assert found["p"] == pytest.approx(expected.pvalue, abs=0.01)
    assert (found["stack"], found["than"], found["verdict"]) == ("dense", "bm25", "better")
    assert found["gains"] == sum(one > two for one, two in zip(ours, other, strict=True))
    assert found["gains"] + found["losses"] == found["queries"] == 30


def test_paired_difference_of_several_seeds_compares_each_with_the_one_of_a_release() -> None:
    release = values(12, 0.5, 3)
    seeds = [[value + by for value in release] for by in (0.1, 0.3)]
    found = paired(measured(DENSE, *seeds), measured(BM25, release), "nDCG@10", 13)
    assert found["mean"] == pytest.approx(0.2)
    assert (found["gains"], found["losses"]) == (12, 0)
    assert found["low"] < 0.1 < 0.3 < found["high"]  # two seeds tell little of all seeds


def test_equal_stacks_differ_by_nothing() -> None:
    same = measured(DENSE, values(30, 0.5, 1))
    found = against(same, same, 13)["by"]["nDCG@10"]
    assert (found["mean"], found["p"], found["gains"], found["losses"]) == (0.0, 1.0, 0, 0)
    assert found["verdict"] == NO_DIFFERENCE


@pytest.mark.parametrize(("queries", "columns"), [(9, []), (10, ["nDCG@10"])])
def test_few_queries_give_no_figures(queries: int, columns: list[str]) -> None:
    found = against(measured(DENSE, values(queries, 0.5, 1)), measured(BM25, values(queries, 0.5, 2)), 13, "0.1.0", 40)
    assert list(found["by"]) == columns
    assert (found["queries"], found["trained_on"], found["version"]) == (queries, 40, "0.1.0")


def test_lists_without_unjudged_documents_decide_too_where_many_are_unjudged() -> None:
    ours, other = measured(DENSE, values(30, 0.3, 1), judged=0.5), measured(BM25, values(30, 0.6, 2))
    ours.tables[0]["nDCG@10, condensed"] = values(30, 0.9, 4)
    found = against(ours, other, 13)
    assert list(found["by"]) == ["nDCG@10", "nDCG@10, condensed"]
    assert found["judged"] == 0.5
    assert not found["agree"]
    assert "judge more first" in decide(found, None, "").refusals[0]


def test_a_release_that_is_worse_by_one_column_is_refused_though_the_other_sees_nothing() -> None:
    """Ours finds unjudged documents first, and orders the judged ones as well."""
    ours, other = measured(DENSE, values(30, 0.2, 1), judged=0.2), measured(BM25, values(30, 0.6, 2))
    ours.tables[0]["nDCG@10, condensed"] = other.tables[0]["nDCG@10, condensed"]
    (refused,) = decide(against(ours, other, 13), None, "").refusals
    assert re.match(r"it is worse than the best search that costs nothing by 0\.\d+ nDCG@10 \(", refused)


def test_queries_are_taken_by_name_and_not_by_place() -> None:
    other = measured(BM25, [0.1, 0.2, 0.3])
    assert of_queries(other, pd.Index(["q2", "q0"])).values("nDCG@10").tolist() == [[0.3, 0.1]]


def test_a_query_without_hits_of_the_release_has_0() -> None:
    judged = pd.DataFrame(
        {
            "query_id": ["a", "a", "b"],
            "document_id": ["x", "y", "x"],
            "grade": [2, 0, 1],
            "relevant": [True, False, True],
        }
    )
    hits = pd.DataFrame({"query_id": ["a", "a"], "document_id": ["y", "x"], "score": [2.0, 1.0]})
    found = measure_release(judged, hits, BM25, 10)
    assert found.values("nDCG@10").tolist() == [pytest.approx([1 / np.log2(3), 0.0])]


def test_strongest_free_is_the_best_untrained_stack() -> None:
    base = Stack("base", "as_found", 10, DENSE.weights, "en")
    stacks = [measured(BM25, [0.2]), measured(base, [0.3]), measured(DENSE, [0.9])]
    assert strongest_free(stacks) is stacks[1]
    assert strongest_free(stacks[2:]) is None


def test_smallest_difference_inverts_the_queries_that_a_difference_needs() -> None:
    for queries in (25, 50, 200):
        assert queries_needed(0.1, smallest_difference(0.1, queries)) in (queries, queries + 1)


def found(queries: int, mean: float, verdict: str) -> Against:
    by: Paired = {
        "stack": "dense",
        "than": "bm25",
        "mean": mean,
        "low": mean - 0.02,
        "high": mean + 0.02,
        "spread": 0.1,
        "p": 0.0002,
        "verdict": verdict,
        "queries": queries,
        "gains": 1,
        "losses": 2,
        "could_show": 0.05,
    }
    return {
        "version": "0.1.0",
        "stack": "bm25",
        "queries": queries,
        "trained_on": 0,
        "by": {"nDCG@10": by},
        "judged": 1.0,
        "agree": True,
    }


TAG = "shop@v0.1.0"
NOT_COMPARED: Against = {**found(0, 0.0, NO_DIFFERENCE), "by": {}, "why": "its split is not today's"}
REFUSED = {
    "worse than the last release": (
        found(30, 0.1, "better"),
        found(30, -0.1, WORSE),
        TAG,
        f"it is worse than {TAG} by 0.100",
    ),
    "worse than what costs nothing": (
        found(30, -0.1, WORSE),
        found(30, 0.1, "better"),
        TAG,
        f"it is worse than {FREE} by",
    ),
    "one fold of ten queries": (
        found(12, 0.1, "better"),
        found(12, 0.1, "better"),
        TAG,
        f"12 queries compare it with {TAG}, and a release needs 25",
    ),
    "a release that cannot be compared": (
        found(30, 0.1, "better"),
        NOT_COMPARED,
        TAG,
        f"{TAG} cannot be compared: its split",
    ),
    "a release that was not compared": (found(30, 0.1, "better"), None, TAG, f"{TAG} was not compared"),
    "no held-out query": (None, None, "", "it was not compared with a search that costs nothing"),
}


@pytest.mark.parametrize(("free", "last", "tag", "why"), REFUSED.values(), ids=REFUSED)
def test_release_is_refused(free: Against | None, last: Against | None, tag: str, why: str) -> None:
    assert why in "; ".join(decide(free, last, tag).refusals)


@pytest.mark.parametrize("verdict", [NO_DIFFERENCE, "better"])
def test_release_that_is_not_worse_is_registered(verdict: str) -> None:
    assert decide(found(25, 0.0, NO_DIFFERENCE), found(25, 0.0, verdict), TAG).refusals == []
    assert decide(found(25, 0.0, verdict), None, "").refusals == []  # the first


# A release in a folder, as stage last_release takes it.


@pytest.fixture
def models(tmp_path: Path, ranker_folder: Path, word_vectors: Path) -> Path:
    """A folder like models/, with manifests as stages export and export_retriever write them."""
    folder = tmp_path / "models"
    for name, source in (("ranker", ranker_folder), ("retriever", word_vectors)):
        shutil.copytree(source, folder / name)
        split = {"by": "query", "folds": 5, "held_out": 0, "seed": 13}
        about = {
            "version": "0.1.0",
            "made_of": {"data": {}, "base_model": PARAMS.fetch.base_sha256},
            "params": {"split": split, "first_stage": {"by": "bm25", "language": "en"}, "train": {"epochs": 2}},
            "trained_on": [query_key(f"query of {name}")],
        }
        write_json(folder / name / "manifest.json", read_json(folder / name / "manifest.json") | about)
    write_stack(folder / "stack.json", DENSE)
    return folder


def taken(source: Path, folder: Path) -> Release:
    """The release in a folder or an archive, pinned by the digest that the first try names."""
    folder.mkdir()
    said = refusal(take_release, str(source), "", folder)
    assert said.startswith(f"{source}: evaluate.sha256: expected its digest")
    shutil.rmtree(folder)
    folder.mkdir()
    take_release(str(source), said.rpartition(" ")[2], folder)
    release = read_release(folder)
    assert release is not None
    return release


def test_folder_and_archive_give_the_same_release(models: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "zipped"), "zip", models.parent, "models")
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz") as archive:
        archive.add(models, "release/models")
    sources = models, tmp_path / "zipped.zip", tmp_path / "packed.tar.gz"
    releases = [taken(source, tmp_path / f"taken{row}") for row, source in enumerate(sources)]
    assert len({release.digest for release in releases}) == 1
    for release in releases:
        assert (release.version, release.stack) == ("0.1.0", DENSE)
        assert release.trained_on == {query_key("query of ranker"), query_key("query of retriever")}
        assert release.params["order.by"] == "as_found"
        assert release.params["train.epochs"] == 2


def test_release_without_retriever_is_its_ranker_on_the_first_stage_of_its_params(models: Path, tmp_path: Path) -> None:
    release = taken(models / "ranker", tmp_path / "taken")
    assert release.stack.name == "bm25+cross_encoder"
    assert (release.stack.depth, release.models["cross_encoder"]) == (100, "int8")
    assert release.trained_on == {query_key("query of ranker")}
    assert (release.params["order.by"], release.params["first_stage.retriever"]) == ("cross_encoder", "bm25")
    assert changes(release.params, PARAMS)["order.by"] == "cross_encoder"


def test_release_of_other_bytes_is_refused(models: Path, tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    (models / "ranker/golden.json").write_text("{}")
    assert "golden.json: expected sha256" in refusal(take_release, str(models), "", tmp_path / "here")
    shutil.rmtree(models / "ranker")
    said = refusal(take_release, str(models), "", tmp_path / "there")
    assert said == (
        f"{models}: expected a release: ranker/, retriever/ and stack.json as in models/, or the files of a ranker, "
        "found neither"
    )


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("http://example.org/models.zip", "expected an artifact's version, a folder or an archive, found a URL"),
        ("nowhere", "expected a folder, a zip or a tar, found none"),
    ],
)
def test_other_sources_are_refused(source: str, line: str, tmp_path: Path) -> None:
    assert refusal(take_release, source, "", tmp_path) == f"{source}: {line}"


def test_pin_is_of_all_files(models: Path, tmp_path: Path) -> None:
    release = taken(models, tmp_path / "taken")
    write_stack(models / "stack.json", BM25)
    (tmp_path / "again").mkdir()
    said = refusal(take_release, str(models), release.digest, tmp_path / "again")
    assert f"evaluate.sha256: expected {release.digest}, found " in said
    assert folder_digest(tmp_path / "again") in said


@pytest.fixture
def split(bare: Path) -> Path:
    """A project's folder with four queries, of which stage split put the last one in fold 0."""
    queries = pd.DataFrame({"query_id": list("abcd"), "query": ["Bats", "masks  in wards", "origin", "vaccines"]})
    tables.write_table(paths.SPLIT_QUERIES, queries.assign(tokens=pd.Series([[1]] * 4)))
    pairs = pd.DataFrame(
        [
            (query, name, grade, grade > 0, True, int(query != "d"), True)
            for query in "abcd"
            for name, grade in (("x", 1), ("y", 0))
        ],
        columns=tables.SCHEMAS[paths.SPLIT_PAIRS].names,
    )
    tables.write_table(paths.SPLIT_PAIRS, pairs)
    return bare


def release_of(models: Path, tmp_path: Path, **about: object) -> Release:
    """The release in `models`, with its ranker's manifest changed; None takes a key away."""
    file = models / "ranker/manifest.json"
    manifest = read_json(file) | about
    write_json(file, {name: value for name, value in manifest.items() if value is not None})
    return taken(models / "ranker", tmp_path / "taken")


def test_queries_that_the_release_was_trained_on_are_left_out_by_their_words(
    split: Path, models: Path, tmp_path: Path
) -> None:
    release = release_of(models, tmp_path, trained_on=[query_key("Masks in wards"), query_key("gone since")])
    assert unseen_queries(release, PARAMS)["query_id"].tolist() == ["a", "c", "d"]


def test_queries_whose_words_are_in_another_fold_are_left_out_of_the_comparison(split: Path) -> None:
    queries = tables.read_texts(paths.SPLIT_QUERIES)
    queries.loc[0, "query"] = "Vaccines?"  # in fold 1, as d, "vaccines", in fold 0
    tables.write_table(paths.SPLIT_QUERIES, queries.assign(tokens=pd.Series([[1]] * 4)))
    assert twins() == {"a", "d"}


def test_older_release_was_trained_on_the_training_side_of_todays_split_if_it_is_the_same(
    split: Path, models: Path, tmp_path: Path
) -> None:
    release = release_of(models, tmp_path, trained_on=None)
    assert unseen_queries(release, PARAMS)["query_id"].tolist() == ["d"]
    others = PARAMS.model_copy(update={"split": PARAMS.split.model_copy(update={"seed": 14})})
    assert "its split is not today's" in refusal(unseen_queries, release, others)


def test_recipes_changes_are_those_of_params_that_both_know() -> None:
    then = {
        "train.epochs": 9,
        "order.by": PARAMS.order.by,
        "train.gone": 1,
        "split.seed": 99,
        "fetch.base_model": "path:x",
    }
    assert changes(then, PARAMS) == {"train.epochs": 9, "fetch.base_model": "path:x"}


@pytest.mark.parametrize("value", ["path:/a b/it's", "", 5e-05, 3, ["title", "text"], [], "en", 0.125])
def test_override_is_read_by_dvc_as_the_value(value: object, tmp_path: Path) -> None:
    from dvc.utils.hydra import apply_overrides  # DVC's own reader of -S

    file = tmp_path / "params.json"
    file.write_text(json.dumps({"a": {"b": None}}))
    apply_overrides(file, [f"a.b={override(value)}"])
    assert json.loads(file.read_text()) == {"a": {"b": value}}


def test_a_second_try_is_of_the_same_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """A release that was committed and not tagged is not decided again; other models are."""
    monkeypatch.chdir(tmp_path)
    for name in ("ranker", "hub"):
        (tmp_path / "models" / name).mkdir(parents=True)
        write_json(tmp_path / "models" / name / "manifest.json", {"name": name})
    (tmp_path / "models/retriever").mkdir()
    write_json(tmp_path / "models/retriever/idle.json", {})
    write_stack(paths.STACK, DENSE)
    (tmp_path / ".gitignore").write_text("models\n")
    run("git init -q && git add -A && git commit -qm start", tmp_path)
    assert not is_written(PARAMS)
    write(PARAMS, {"artifacts": digests(PARAMS), "stack": read_json(paths.STACK), "against": ""}, "notes")
    assert is_written(PARAMS)
    write_json(paths.MANIFEST, {"name": "ranker", "trained": "again"})
    assert not is_written(PARAMS)


QUERIES = [f"q{row}" for row in range(14)]


def test_only_queries_that_neither_was_trained_on_are_compared(bare: Path) -> None:
    """The release was trained on two of 14 measured queries, and one has its words in another fold."""
    texts = [f"topic {name}" for name in QUERIES] + ["topic q2?"]
    queries = pd.DataFrame({"query_id": [*QUERIES, "twin"], "query": texts})
    tables.write_table(paths.SPLIT_QUERIES, queries.assign(tokens=pd.Series([[1]] * len(texts))))
    rows = [(name, f"{name}-{grade}", grade, grade > 0, True, 0, True) for name in QUERIES for grade in (1, 0)]
    rows.append(("twin", "q2-1", 1, True, True, 1, True))
    pairs = pd.DataFrame(rows, columns=tables.SCHEMAS[paths.SPLIT_PAIRS].names)
    tables.write_table(paths.SPLIT_PAIRS, pairs)
    titles = ((name, [f"title of {name}"]) for name in pairs["document_id"].unique())
    write_documents(paths.DOCUMENTS, titles, ["title"])
    judged = pairs[pairs["query_id"] != "twin"].reset_index(drop=True)
    ours = replace(measured(DENSE, [1.0] * 14), name=shipped_stack(PARAMS).name, stack=shipped_stack(PARAMS))
    firsts = judged[["query_id", "document_id"]]
    ours = replace(ours, firsts={0: firsts})
    hits = judged.assign(score=[0.0, 1.0] * 14)  # the release has each query's relevant document second
    tables.write_table(paths.RELEASE_HITS, hits[tables.SCORES.names])
    about = {"asked": QUERIES[2:], "why": None, "version": "0.1.0", "against": TAG, "stack": asdict(BM25)}
    paths.RELEASE_ABOUT.parent.mkdir(parents=True, exist_ok=True)
    write_json(paths.RELEASE_ABOUT, about)
    comparison: Any = {}
    stacks = [ours, measured(BM25, [0.5] * 14)]
    served = Served(comparison, {}, pd.DataFrame(), judged, pd.DataFrame(), stacks, firsts)
    found, changed = compare_shipped(served, PARAMS, paths.CHANGED)
    last = found["last_release"]
    assert (last["queries"], last["trained_on"]) == (11, 3)
    assert last["by"]["nDCG@10"]["mean"] == pytest.approx(1 - 1 / np.log2(3))
    assert last["by"]["nDCG@10"]["gains"] == 11
    assert found["free"]["by"]["nDCG@10"]["mean"] == pytest.approx(0.5)
    assert [each.name for each in changed.stacks] == [ours.name, "bm25"]  # no row of fewer queries
    shown = tables.read_table(paths.CHANGED)
    assert not {"q0", "q1", "q2"} & set(shown["query_id"])
    assert shown["query_id"].nunique() == 10

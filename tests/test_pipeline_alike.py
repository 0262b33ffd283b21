"""Queries under two ids, queries that are documents, copies of documents: from stage join to the list to judge."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ranker.common.files import read_json
from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE
from ranker.evaluation.to_judge import write_list
from ranker.metrics.ranking import first_ten
from ranker.project import paths, tables
from tests.factories import ROOT, run_stages, set_base_model, set_params, start_project

QUERIES = 8


def write_collection(folder: Path) -> None:
    """Positives of the sample's first queries, half of them under the id of a twin; each document has a copy.

    Query `1` is also a document; query `2` shares its id with a document of another text.
    """
    judged = pd.read_csv(ROOT / "data/sample" / JUDGEMENTS_FILE, dtype=str)
    queries = json.loads((ROOT / "data/sample" / LABELLED_DATA_FILE).read_text())[:QUERIES]
    texts = {str(query["query_id"]): query["query"] for query in queries}
    positives = judged[judged["query_id"].isin(texts) & (judged["label"] > "0")]
    titles = dict(judged[["document_id", "title-full"]].itertuples(index=False, name=None))
    titles |= {f"copy-of-{name}": title.upper() for name, title in titles.items()}
    titles |= {"1": texts["1"].upper(), "2": "Another text"}
    (folder / "qrels").mkdir(parents=True)
    rows = [json.dumps({"_id": name, "title": title, "text": ""}) for name, title in titles.items()]
    (folder / "corpus.jsonl").write_text("\n".join(rows))
    twins = texts | {f"{name}b": text.capitalize() for name, text in texts.items()}
    rows = [json.dumps({"_id": name, "text": text}) for name, text in twins.items()]
    (folder / "queries.jsonl").write_text("\n".join(rows))
    lines = [
        f"{row.query_id}{'b' * (place % 2)}\t{row.document_id}\t1" for place, row in enumerate(positives.itertuples())
    ]
    (folder / "qrels/test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines, "1\t1\t1", "2\t2\t1"]))


@pytest.fixture(scope="module")
def project(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder after the stages up to mining."""
    folder = tmp_path_factory.mktemp("alike")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        start_project(folder)
        set_base_model(folder, base_model)
        write_collection(folder / "mine")
        set_params(folder, fetch__format="beir", fetch__folder="mine", split__folds=2, negatives__from_rank=1)
        set_params(folder, first_stage__retriever="base_hybrid")
        run_stages("fetch", "base_model", "join", "encode", "embed", "split", "first_stage", "negatives")
    return folder


@pytest.fixture(autouse=True)
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def texts_of(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The query's and the document's text of each row in lower case: an independent reference."""
    documents = pd.read_parquet(paths.DOCUMENTS).set_index("document_id")["title"].str.lower()
    queries = pd.read_parquet(paths.QUERIES).set_index("query_id")["query"].str.lower()
    return list(zip(table["query_id"].map(queries), table["document_id"].map(documents), strict=True))


def test_join_counts_what_reads_alike() -> None:
    counts = read_json(paths.JOIN_COUNTS)
    assert counts["dropped"]["query_itself"] == 1
    assert counts["noted"]["query_under_another_id"] == QUERIES
    assert counts["noted"]["query_is_a_document"] == 1


def test_no_negative_or_stand_in_reads_like_a_positive_of_either_id() -> None:
    pairs, mined = tables.read_table(paths.SPLIT_PAIRS), tables.read_table(paths.MINED_PAIRS)
    relevant, stand_ins = set(texts_of(pairs[pairs["relevant"]])), pairs[~pairs["judged"]]
    assert min(len(stand_ins), len(mined)) > 100
    assert not relevant & set(texts_of(stand_ins))
    assert not relevant & set(texts_of(mined))


def test_a_query_is_no_hit_negative_or_stand_in_of_itself() -> None:
    hits = tables.read_table(paths.HITS)
    unjudged = pd.concat([hits, tables.read_table(paths.MINED_PAIRS), tables.read_table(paths.SPLIT_PAIRS)])
    same = unjudged.loc[unjudged["query_id"] == unjudged["document_id"], "query_id"]
    assert "1" not in set(same)
    for name in ("bm25", "base"):
        ranks = hits.groupby("query_id")[f"{name}_rank"]
        assert (ranks.max() == ranks.count()).all()
        assert (ranks.max() == 200).all() or name == "bm25"  # by which a hit shares a word
        others = hits[hits["query_id"].eq("1b") & hits[f"{name}_rank"].notna()]
        assert "1" in set(others["document_id"]), "of another id, it is a document like any other"


def test_an_equal_id_of_another_text_is_a_hit(capsys: pytest.CaptureFixture[str]) -> None:
    run = [f"{query} Q0 {name} {rank} 0 mine" for query in "12" for rank, name in enumerate(("1", "2", "copy-of-x"))]
    paths.RUNS.mkdir(parents=True, exist_ok=True)
    (paths.RUNS / "mine.trec").write_text("\n".join(run))
    before = {path: path.read_bytes() for path in (paths.HITS, paths.HIT_DOCUMENTS)}
    set_params(Path(), first_stage__retriever="run", first_stage__run="mine.trec")
    run_stages("first_stage")
    hits = tables.read_table(paths.HITS)
    hits = hits.dropna(subset="run_rank").sort_values(["query_id", "run_rank"])
    assert hits[["query_id", "document_id", "run_rank"]].to_numpy().tolist() == [
        ["1", "2", 1],
        ["2", "1", 1],
        ["2", "2", 2],
    ]
    assert "1 hits are the query itself, by id and text, and are left out" in capsys.readouterr().out
    set_params(Path(), first_stage__retriever="base_hybrid", first_stage__run='""')
    for path, content in before.items():
        path.write_bytes(content)


def test_no_text_is_listed_for_judging_twice() -> None:
    """One of a document and its copy is listed, for one of the query's ids; a judged text is not listed at all."""
    pairs, hits = tables.read_table(paths.SPLIT_PAIRS), tables.read_table(paths.HITS).dropna(subset="base_rank")
    judged = pairs[pairs["judged"]]
    ordered = hits[tables.IDS].assign(cross_encoder=-hits["base_rank"], first_stage=hits["bm25"].astype(np.float64))
    firsts = pd.concat(
        [first_ten(ordered, ordered[name].to_numpy()).assign(name=name, seed=13) for name in ordered.columns[2:]]
    )
    write_list(Path("to_judge.csv"), judged, ordered, firsts, "first_stage", [])
    listed = pd.read_csv("to_judge.csv", dtype=str)
    listed = listed.assign(query_id=listed["query_id"].str.removeprefix("'"))  # which keeps 1b from a spreadsheet
    read = texts_of(listed)
    assert len(read) > 50
    assert len(set(read)) == len(read)
    assert not set(read) & set(texts_of(judged))
    first = {
        (query, text) for query, text in texts_of(hits[hits["base_rank"] <= 10]) if query != text
    }  # it was dropped
    assert first - set(texts_of(judged)) <= set(read), "each text is judged or listed"

"""One collection in each format through stages fetch, join and encode: all give the same pairs and documents."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ranker.common.files import read_json, sha256
from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE
from ranker.project import paths, tables
from tests.factories import ROOT, run_module, run_stages, set_base_model, set_params, start_project

QUERIES = {"1": "masks in wards", "2": "bats & birds"}
DOCUMENTS = {
    "a": ("Masks", "A trial of masks."),
    "b": ("Bats", ""),
    "c": ("Birds", "Of all kinds."),
    "d": ("Pigs", "x"),
}
GRADES = [("1", "a", 2), ("1", "b", 0), ("2", "b", 1), ("2", "c", 1), ("2", "nowhere", 1)]


def write_beir(folder: Path) -> None:
    (folder / "qrels").mkdir(parents=True)
    write_corpus(folder / "corpus.jsonl", "_id")
    rows = [{"_id": query_id, "text": text} for query_id, text in QUERIES.items()]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_qrels(folder, GRADES)


def write_qrels(folder: Path, grades: list[tuple[str, str, int]], split: str = "test") -> None:
    lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in grades)]
    (folder / f"qrels/{split}.tsv").write_text("\n".join(lines))


def write_trec(folder: Path) -> None:
    folder.mkdir()
    write_corpus(folder / "corpus.jsonl", "docno")
    topics = "".join(
        f"<topic number='{query_id}'><title>{text.replace('&', '&amp;')}</title></topic>"
        for query_id, text in QUERIES.items()
    )
    (folder / "topics.xml").write_text(f"<topics>{topics}</topics>")
    (folder / "qrels.txt").write_text("".join(f"{query} 0 {document} {grade}\n" for query, document, grade in GRADES))


def write_corpus(path: Path, name: str) -> None:
    rows = [{name: document_id, "title": title, "text": text} for document_id, (title, text) in DOCUMENTS.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folder(base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with the collection as mine-beir, as mine-trec, and as a zip of mine-beir."""
    monkeypatch.chdir(tmp_path)
    start_project(tmp_path)
    set_base_model(tmp_path, base_model)
    write_beir(tmp_path / "beir")
    write_trec(tmp_path / "trec")
    shutil.make_archive("beir", "zip", tmp_path, "beir")
    return tmp_path


def run(folder: Path, **params: Any) -> None:
    set_params(folder, **params)
    run_stages("fetch", "base_model", "join", "encode")


@pytest.mark.parametrize(("form", "source"), [("beir", "beir"), ("beir", "beir.zip"), ("trec", "trec")])
def test_stages_of_each_format(folder: Path, form: str, source: str) -> None:
    run(folder, fetch__format=form, fetch__folder=source, join__document_fields="[title, text]")
    pairs = pd.read_parquet(paths.PAIRS)
    judged = pairs[pairs["judged"]]
    assert list(judged[["query_id", "document_id", "grade"]].itertuples(index=False, name=None)) == GRADES[:4]
    added = pairs[~pairs["judged"]]  # query 2 has no judged negative
    assert sorted(added[["query_id", "document_id", "grade"]].itertuples(index=False, name=None)) == [
        ("2", "a", 0),
        ("2", "d", 0),
    ]
    documents = pd.read_parquet(paths.DOCUMENTS)
    assert dict(
        zip(documents["document_id"], zip(documents["title"], documents["text"], strict=True), strict=True)
    ) == (DOCUMENTS)
    assert pd.read_parquet(paths.QUERIES).to_numpy().tolist() == [list(query) for query in QUERIES.items()]
    counts = read_json(paths.JOIN_COUNTS)
    assert counts["read"] == {"queries": 2, "document_rows": 4, "judgements": 5}
    assert counts.get("qrels_splits") == ({"test": 5} if form == "beir" else None)
    assert counts["kept"]["unjudged_stand_ins"] == 2
    assert {name: count for name, count in counts["dropped"].items() if count} == {"judgement_without_document": 1}
    encoded = pd.read_parquet(paths.ENCODED_DOCUMENTS)
    assert encoded["document_id"].tolist() == list(DOCUMENTS)
    assert encoded["paired"].tolist() == [True, True, True, True]
    tables.write_table(paths.PAIRS, pairs[pairs["document_id"] == "b"])
    run_stages("encode")
    assert pd.read_parquet(paths.ENCODED_DOCUMENTS)["paired"].tolist() == [False, True, False, False]


def test_a_query_stays_in_its_split_where_own_judgements_revise_all_that_the_split_has(folder: Path) -> None:
    """Query 2 has one judgement in test: in the user's file, it would be trained on."""
    write_qrels(folder / "beir", [("2", "b", 1)])
    write_qrels(folder / "beir", [("1", "a", 1), ("1", "b", 0)], "train")
    Path("data/judged.csv").write_text("query_id,document_id,grade\n2,b,2\n")
    run(folder, fetch__format="beir", fetch__folder="beir", split__held_out="test")
    found = pd.read_parquet(paths.QRELS_SPLITS)
    assert sorted(found.itertuples(index=False, name=None)) == [("1", "train"), ("2", "test")]


def test_join_says_how_many_queries_have_no_negative_at_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Query 2 has stand-ins; all four documents are relevant to query 1."""
    grades = [*(("1", name, 1) for name in DOCUMENTS), ("2", "b", 1)]
    write_qrels(folder / "beir", grades)
    run(folder, fetch__format="beir", fetch__folder="beir")
    assert (
        "join: warning: 2 queries have no judged negatives: random unjudged documents stand in for them, but for 1, "
        "whose judgements name every document\n"
    ) in capsys.readouterr().out
    pairs = pd.read_parquet(paths.PAIRS)
    assert sorted(pairs.loc[~pairs["judged"], "query_id"]) == ["2"] * 3


def test_join_counts_grades_and_says_that_the_largest_has_few_judgements(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_qrels(folder / "beir", [("1", "a", 1), ("1", "b", 0), ("2", "b", 12), ("2", "c", 1)])
    run(folder, fetch__format="beir", fetch__folder="beir")
    printed = capsys.readouterr().out
    assert "join: grades: 1 of 0, 2 of 1, 1 of 12\n" in printed
    assert "join: warning: grade 12, the largest, has 1 of 3 judgements above 0, and the next one is 1: gr" in printed
    assert read_json(paths.JOIN_COUNTS)["grades"] == {"0": 1, "1": 2, "12": 1}
    before = sha256(paths.PAIRS)
    set_params(folder, join__grades="[0, 1, 2]")
    line = "join: query 2, document b: expected a grade of join.grades (0, 1, 2), found 12"
    assert run_module("stages.join") == line
    assert sha256(paths.PAIRS) == before
    set_params(folder, join__grades="[0, 1, 12]")
    run_stages("join")
    assert "the largest" not in capsys.readouterr().out


def write_positives(folder: Path) -> set[tuple[str, str]]:
    """Write the sample's first queries and relevant documents as a BEIR folder without negatives; return its pairs."""
    judgements = pd.read_csv(ROOT / "data/sample" / JUDGEMENTS_FILE, dtype=str)
    queries = json.loads((ROOT / "data/sample" / LABELLED_DATA_FILE).read_text())[:12]
    ids = {str(query["query_id"]) for query in queries}
    positives = judgements[judgements["query_id"].isin(ids) & (judgements["label"] > "0")]
    (folder / "qrels").mkdir(parents=True)
    documents = judgements.drop_duplicates("document_id")[["document_id", "title-full"]].itertuples(index=False)
    corpus = [json.dumps({"_id": name, "title": title, "text": ""}) for name, title in documents]
    (folder / "corpus.jsonl").write_text("\n".join(corpus))
    rows = [json.dumps({"_id": str(query["query_id"]), "text": query["query"]}) for query in queries]
    (folder / "queries.jsonl").write_text("\n".join(rows))
    found = positives[["query_id", "document_id", "label"]].itertuples(index=False)
    (folder / "qrels/test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *map("\t".join, found)]))
    return set(zip(positives["query_id"], positives["document_id"], strict=True))


@pytest.fixture
def positives(folder: Path) -> set[tuple[str, str]]:
    """The judged pairs of a folder with positives only, after all stages up to mining, and fold 0's retriever."""
    judged = write_positives(folder / "positives")
    set_params(folder, split__folds=2, negatives__from_rank=1, negatives__per_positive=4, train__head="classifier")
    set_params(folder, train__trainable="head", train__precision="fp32", train__learning_rate=0.01)
    run(folder, fetch__format="beir", fetch__folder="positives", crossval__folds="[0, 1]")
    set_params(folder, first_stage__retriever="bm25", retriever__epochs=1, retriever__precision="fp32")
    run_stages("embed", "split", "first_stage", "negatives")
    assert run_module("crossval.retriever", "13", "0") == 0
    return judged


def trained() -> tuple[str, str]:
    """Digests of the head trained with fold 0 held out, and of the cross-validation's scores of fold 0."""
    run_stages("features", "train")
    assert run_module("crossval.train", "cross_encoder", "13", "0") == 0
    return sha256(paths.CHECKPOINT / "model.safetensors"), sha256(paths.crossval_scores("cross_encoder", 13, 0))


def test_positives_alone_are_trained_on_with_mined_negatives_of_training_queries(
    positives: set[tuple[str, str]], capfd: pytest.CaptureFixture[str]
) -> None:
    """Negatives mined for held-out queries must not change one byte of the training or of its scores."""
    mined, split = tables.read_table(paths.MINED_PAIRS), tables.read_table(paths.SPLIT_PAIRS)
    named = list(zip(mined["query_id"], mined["document_id"], strict=True))
    assert len(set(named)) == len(named)
    assert not set(named) & positives
    assert mined["query_id"].value_counts().to_dict() == {
        query_id: 4 * count for query_id, count in split[split["judged"]]["query_id"].value_counts().items()
    }
    assert set(mined["document_id"]) == set(tables.read_texts(paths.MINED_DOCUMENTS)["document_id"])
    counts = read_json(paths.NEGATIVES)
    assert counts["queries"] == {"all": 12, "mined": 12}
    assert sum(counts["mined"].values()) == len(mined)
    assert counts["mined"]["from_ranks"] > 0
    before = trained()
    side, relevant = split["fold"] != 0, split["relevant"]
    expected = int(relevant[side].sum()) * 5
    line = f"train: {expected} pairs, {expected // 5 * 4} of them mined, {int((~side).sum())} held out; "
    assert line in capfd.readouterr().out
    data = read_json(paths.CHECKPOINT / paths.TRAINING_FILE)["data"]
    assert data[paths.MINED_PAIRS.as_posix()] == sha256(paths.MINED_PAIRS)
    tables.write_table(paths.MINED_PAIRS, mined[mined["fold"] != 0])
    assert trained() == before
    tables.write_table(paths.MINED_PAIRS, mined[mined["fold"] == 0])
    assert all(new != old for new, old in zip(trained(), before, strict=True))


def test_join_refuses_a_field_that_no_document_has(folder: Path) -> None:
    run(folder, fetch__format="beir", fetch__folder="beir")
    before = paths.DOCUMENTS.read_bytes()
    set_params(folder, join__document_fields="[title, txet]")
    assert run_module("stages.join") == "join: join.document_fields: expected documents with a txet, found none in 4"
    assert paths.DOCUMENTS.read_bytes() == before


def test_titles_alone_are_the_default(folder: Path) -> None:
    run(folder, fetch__format="beir", fetch__folder="beir")
    assert list(pd.read_parquet(paths.DOCUMENTS).columns) == ["document_id", "title"]
    assert read_json(paths.ENCODE_COUNTS)["documents"]["texts"] == 4


@pytest.mark.parametrize(
    ("form", "missing", "found"),
    [
        ("beir", "corpus.jsonl", "qrels, queries.jsonl"),
        ("beir", "queries.jsonl", "corpus.jsonl, qrels"),
        ("beir", "qrels/*.tsv", "corpus.jsonl, qrels, queries.jsonl"),
        ("trec", "topics.xml", "corpus.jsonl, qrels.txt"),
        ("trec", "qrels.txt", "corpus.jsonl, topics.xml"),
        ("trec", "corpus.jsonl", "qrels.txt, topics.xml"),
    ],
)
def test_fetch_names_the_file_that_is_missing(folder: Path, form: str, missing: str, found: str) -> None:
    for file in (folder / form).glob(missing):
        file.unlink()
    set_params(folder, fetch__format=form, fetch__folder=form)
    assert run_module("stages.fetch") == f"fetch: {form}: expected the file {missing}, found {found}"
    assert not paths.RAW.exists()


def test_join_of_the_tutorials_files_has_titles_alone(folder: Path) -> None:
    set_params(folder, fetch__folder=ROOT / "data/sample", join__document_fields="[title, text]")
    run_stages("fetch")
    expected = "join: join.document_fields: expected [title] of format tutorial, found ['title', 'text']"
    assert run_module("stages.join") == expected

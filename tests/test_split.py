"""stages.split: twins and near queries in one fold, what leaks counted, all that training reads written, or nothing."""

import json
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import stages.split
from ranker.common.errors import InputError
from ranker.common.files import read_json
from ranker.contract.tokens import load_tokenizer, tokenize
from ranker.project import paths, tables
from ranker.project.documents import read_some_documents, write_documents
from ranker.splits.folds import query_folds
from tests.factories import ROOT, set_params

TEXTS = ["études cliniques", "über masques", "naïveté des virus", "façade à risque"]
TWINS = [*TEXTS, *(unicodedata.normalize("NFD", text) for text in TEXTS)]  # as the case of two keyboards has them


@pytest.fixture
def project(base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that has a params.yaml, and to which `write` writes what comes before this stage."""
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    paths.BASE_MODEL.parent.mkdir()
    paths.BASE_MODEL.symlink_to(base_model)
    return tmp_path


def write(queries: list[str], vectors: list[list[float]]) -> None:
    """Six judgements of each query, two of them relevant; all titles differ."""
    pairs = pd.DataFrame(
        [(str(q), f"d{q}-{i}", i % 3, i % 3 > 1, True) for q in range(len(queries)) for i in range(6)],
        columns=["query_id", "document_id", "grade", "relevant", "judged"],
    )
    titles = [f"{'abcdefghij'[i % 10]}{'klmnopqrst'[i // 10]}" for i in range(len(pairs))]
    frame = pd.DataFrame({"query_id": pairs["query_id"].unique(), "query": queries})
    tables.write_table(paths.PAIRS, pairs)
    tables.write_table(paths.QUERIES, frame)
    write_documents(
        paths.DOCUMENTS, ((name, [title]) for name, title in zip(pairs["document_id"], titles, strict=True)), ["title"]
    )
    tokenizer = load_tokenizer(paths.BASE_MODEL)
    paired = pa.array([True] * len(pairs), pa.bool_())
    asked = tables.pack(frame["query_id"], tokenize(tokenizer, queries))
    judged = tables.pack(pairs["document_id"], tokenize(tokenizer, titles))
    tables.write_tokens(paths.ENCODED_QUERIES, [(asked, [])])
    tables.write_tokens(paths.ENCODED_DOCUMENTS, [(judged, [paired])])
    embedded = pd.DataFrame({"query_id": frame["query_id"], "embedding": vectors})
    tables.write_table(paths.EMBEDDED_QUERIES, embedded)


def fold_of() -> dict[str, int]:
    pairs = tables.read_table(paths.SPLIT_PAIRS)
    assert pairs.groupby("query_id")["fold"].nunique().eq(1).all()
    return dict(zip(pairs["query_id"], pairs["fold"].tolist(), strict=True))


def test_split_puts_twins_that_the_model_reads_alike_in_one_fold(project: Path) -> None:
    """NFC and NFD: equal token ids, whatever the vectors; no query of the held-out side was seen."""
    set_params(project, split__folds=2)
    write(TWINS, [[1.0, 0.0], [0.0, 1.0]] * 4)
    tokens = tables.read_tokens(paths.ENCODED_QUERIES)
    assert all(tokens[i].tolist() == tokens[i + 4].tolist() != [] for i in range(4))
    for seed in range(8):
        set_params(project, split__seed=seed)
        stages.split.main()
        folds = fold_of()
        assert [folds[str(i)] for i in range(4)] == [folds[str(i + 4)] for i in range(4)]
    with pytest.raises(InputError, match="expected at most 4, the number of queries that differ, found 5"):
        set_params(project, split__folds=5)
        stages.split.main()


def test_split_groups_near_queries_where_asked_and_counts_them_where_not(project: Path) -> None:
    """Four queries in a row, each at a cosine of 0.87 to the next one, and four that are far from all."""
    vectors = np.zeros((8, 6))
    vectors[:4, :2] = [[np.cos(angle), np.sin(angle)] for angle in np.linspace(0, np.pi / 2, 4)]
    vectors[4:, 2:] = np.eye(4)
    pairs = [(0, 1), (1, 2), (2, 3)]
    texts = ["bats", "masks", "wards", "origin", "virus", "schools", "vaccines", "children"]
    write(texts, vectors.tolist())
    set_params(project, split__folds=2)
    counted: dict[float, list[int]] = {1.0: [], 0.8: []}
    for near, across in counted.items():
        for seed in range(6):
            set_params(project, split__near=near, split__seed=seed)
            stages.split.main()
            folds = fold_of()
            across.append(read_json(paths.SPLIT_COUNTS)["leakage"]["query_pairs_of_cosine_0.75_across"])
            assert across[-1] == sum(folds[str(one)] != folds[str(other)] for one, other in pairs)
    assert max(counted[1.0]) > 1
    assert counted[0.8] == [0] * 6


def test_split_writes_all_that_training_reads(project: Path) -> None:
    set_params(project, split__folds=4, split__held_out=1)
    write([*TWINS[:4], "bats", "masks", "wards", "virus"], [[1.0, 0.0]] * 8)
    stages.split.main()
    pairs = tables.read_table(paths.SPLIT_PAIRS)
    before = tables.read_table(paths.PAIRS)
    assert pairs[list(before)].equals(before)
    assert pairs["unseen"].all()
    documents = read_some_documents(set(pairs["document_id"]))
    for split, encoded, texts in (
        (paths.SPLIT_QUERIES, paths.ENCODED_QUERIES, tables.read_table(paths.QUERIES)),
        (paths.SPLIT_DOCUMENTS, paths.ENCODED_DOCUMENTS, documents),
    ):
        assert tables.read_texts(split).equals(texts)
        found, expected = tables.read_tokens(split), tables.read_tokens(encoded)
        assert found.values.tolist() == expected.values.tolist()
    counts = read_json(paths.SPLIT_COUNTS)
    assert (counts["training"], counts["held_out"]) == ({"queries": 6, "pairs": 36}, {"queries": 2, "pairs": 12})
    assert counts["leakage"]["queries_seen"] == counts["leakage"]["documents_seen"] == 0
    assert counts["leakage"]["pairs_of_unseen_documents"] == 1


def test_split_of_one_judgement_more_moves_no_query(project: Path) -> None:
    write(["bats", "masks", "wards", "origin", "virus"], [[1.0, 0.0]] * 5)
    stages.split.main()
    before = fold_of()
    pairs = tables.read_table(paths.PAIRS)
    more = pd.DataFrame(
        {"query_id": ["1"], "document_id": ["d4-0"], "grade": [2], "relevant": [True], "judged": [True]}
    )
    tables.write_table(paths.PAIRS, pd.concat([more, pairs], ignore_index=True))
    stages.split.main()
    assert fold_of() == before


def test_split_of_none_holds_nothing_out(project: Path) -> None:
    set_params(project, split__folds=2, split__held_out="none")
    write(["bats", "masks", "wards", "origin"], [[1.0, 0.0]] * 4)
    stages.split.main()
    counts = json.loads(paths.SPLIT_COUNTS.read_text())
    assert counts["held_out"] == {"queries": 0, "pairs": 0}
    assert counts["training"] == {"queries": 4, "pairs": 24}
    assert counts["leakage"] == {}
    assert sorted(set(fold_of().values())) == [0, 1]  # which the cross-validation needs


def test_split_fails_on_a_planted_leak_and_writes_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage itself, with folds that part one of two twins."""
    set_params(project, split__folds=2)
    write(TWINS, [[1.0, 0.0]] * 8)

    def leaking(queries: pd.DataFrame, *arguments: Any) -> "pd.Series[int]":
        folds = query_folds(queries, *arguments)
        folds["5"] = 1 - folds["5"]
        return folds

    monkeypatch.setattr(stages.split, "query_folds", leaking)
    with pytest.raises(InputError, match=r"query 1 \('über masques'\): expected in one fold with query 5, which"):
        stages.split.main()
    assert not paths.SPLIT_PAIRS.parent.exists()
    assert not paths.SPLIT_COUNTS.exists()

"""stages.split: twins and near queries share a fold, leaks are counted, and all inputs of training are written."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import stages.split
from ranker.common.files import read_json
from ranker.contract.tokens import load_tokenizer, tokenize
from ranker.project import paths, tables
from ranker.project.documents import read_some_documents, write_documents
from ranker.project.sides import NAMED, held_out_pairs
from tests.factories import set_params

TEXTS = ["études cliniques", "über masques", "naïveté des virus", "façade à risque"]
WORDS = ["bats", "masks", "wards", "origin", "virus", "schools", "vaccines", "children"]  # some in each of two folds
TWINS = [*TEXTS, *(unicodedata.normalize("NFD", text) for text in TEXTS)]  # two keyboards compose these differently


def write(queries: list[str], vectors: list[list[float]], splits: Sequence[tuple[str, str]] = ()) -> None:
    """Six judgements of each query, two of them relevant; all titles differ."""
    pairs = pd.DataFrame(
        [(str(q), f"d{q}-{i}", i % 3, i % 3 > 1, True) for q in range(len(queries)) for i in range(6)],
        columns=["query_id", "document_id", "grade", "relevant", "judged"],
    )
    titles = [f"{'abcdefghij'[i % 10]}{'klmnopqrst'[i // 10]}" for i in range(len(pairs))]
    frame = pd.DataFrame({"query_id": pairs["query_id"].unique(), "query": queries})
    tables.write_table(paths.PAIRS, pairs)
    tables.write_table(paths.QUERIES, frame)
    tables.write_table(paths.QRELS_SPLITS, pd.DataFrame(splits, columns=["query_id", "qrels_split"]))
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


def test_split_puts_twins_that_the_model_reads_alike_in_one_fold(bare: Path) -> None:
    """NFC and NFD have equal token ids, though their vectors differ; training has seen no held-out query."""
    set_params(bare, split__folds=2)
    write([*TWINS, *WORDS], [[1.0, 0.0], [0.0, 1.0]] * 8)
    tokens = tables.read_tokens(paths.ENCODED_QUERIES)
    assert all(tokens[i].tolist() == tokens[i + 4].tolist() != [] for i in range(4))
    for seed in range(8):
        set_params(bare, split__seed=seed)
        stages.split.main()
        folds = fold_of()
        assert [folds[str(i)] for i in range(4)] == [folds[str(i + 4)] for i in range(4)]


def test_split_counts_near_queries_in_two_folds(bare: Path) -> None:
    """Four queries in a row, each at a cosine of 0.87 to the next one, and four that are far from all."""
    vectors = np.zeros((8, 6))
    vectors[:4, :2] = [[np.cos(angle), np.sin(angle)] for angle in np.linspace(0, np.pi / 2, 4)]
    vectors[4:, 2:] = np.eye(4)
    write(WORDS, vectors.tolist())
    set_params(bare, split__folds=2)
    counted = []
    for seed in range(6):
        set_params(bare, split__seed=seed)
        stages.split.main()
        folds = fold_of()
        counted.append(read_json(paths.SPLIT_COUNTS)["leakage"]["query_pairs_of_cosine_0.75_across"])
        assert counted[-1] == sum(folds[str(one)] != folds[str(other)] for one, other in [(0, 1), (1, 2), (2, 3)])
    assert max(counted) > 1


def test_split_writes_all_that_training_reads(bare: Path) -> None:
    set_params(bare, split__folds=2, split__held_out=1)
    write(WORDS, [[1.0, 0.0]] * 8)
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
    assert (counts["training"], counts["held_out"]) == ({"queries": 5, "pairs": 30}, {"queries": 3, "pairs": 18})
    assert counts["queries_per_fold"] == {"0": 5, "1": 3}
    assert counts["leakage"]["queries_seen"] == counts["leakage"]["documents_seen"] == 0
    assert counts["leakage"]["pairs_of_unseen_documents"] == 1


def test_split_of_more_judgements_and_queries_moves_no_query(bare: Path) -> None:
    """New queries come before, among and after the others, and one existing query gets another id."""
    set_params(bare, split__folds=2)
    write(WORDS, [[1.0, 0.0]] * 8)
    stages.split.main()
    before = dict(zip(WORDS, fold_of().values(), strict=True))
    pairs = tables.read_table(paths.PAIRS)
    more = pairs[:1].assign(document_id="d4-0")
    tables.write_table(paths.PAIRS, pd.concat([more, pairs], ignore_index=True))
    stages.split.main()
    assert dict(zip(WORDS, fold_of().values(), strict=True)) == before
    grown = [*TEXTS, *WORDS[4:], "wards and schools", " Bats", *reversed(WORDS[:4]), "the origin"]
    write(grown, [[1.0, 0.0]] * len(grown))
    stages.split.main()
    after = dict(zip(grown, fold_of().values(), strict=True))
    assert before.items() <= after.items()
    assert after[" Bats"] == before["bats"]


BENCHMARK = [*((str(i), "train") for i in range(6)), ("5", "test"), ("6", "test"), ("7", "test")]


def test_split_holds_out_a_split_by_its_name(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Query 5 of the eight is also in train, and 0 reads like 7."""
    set_params(bare, split__held_out="test")
    write(["Children ", *WORDS[1:]], [[1.0, 0.0]] * 8, BENCHMARK)
    stages.split.main()
    assert fold_of() == {"1": 0, "2": 0, "3": 0, "4": 0, "5": NAMED, "6": NAMED, "7": NAMED}
    printed = capsys.readouterr().out
    assert "split: 1 queries of split test are judged by other splits too: held out with all judgements\n" in printed
    assert "split: 1 queries of other splits dropped, because they read like one of split test\n" in printed
    assert "trained on" not in printed
    counts = read_json(paths.SPLIT_COUNTS)
    assert (counts["training"], counts["held_out"]) == ({"queries": 4, "pairs": 24}, {"queries": 3, "pairs": 18})
    assert counts["queries_per_fold"] == {"test": 3, "0": 4}
    assert counts["leakage"]["queries_seen"] == 0
    training, held_out = held_out_pairs(tables.read_table(paths.SPLIT_PAIRS), "test")
    assert (set(training["query_id"]), set(held_out["query_id"])) == (set("1234"), set("567"))


@pytest.mark.parametrize(
    ("held_out", "splits", "said"),
    [
        (0, BENCHMARK, ", but for its queries of fold 0: to train on train alone, -S split.held_out=test\n"),
        ("none", BENCHMARK, ": to train on train alone, -S split.held_out=test\n"),
        (0, BENCHMARK[6:], ", but for its queries of fold 0: there is no other\n"),
        (0, BENCHMARK[:6], ""),
        (0, [], ""),
    ],
)
def test_split_says_that_a_test_is_trained_on(
    bare: Path, capsys: pytest.CaptureFixture[str], held_out: int | str, splits: list[tuple[str, str]], said: str
) -> None:
    set_params(bare, split__folds=2, split__held_out=held_out)
    write(WORDS, [[1.0, 0.0]] * 8, splits)
    stages.split.main()
    line = f"split: warning: split test of the judgements is trained on{said}"
    printed = capsys.readouterr().out
    assert line in printed if said else "warning" not in printed

"""Tables: what is written is what is read, the same bytes every time, and nothing else is taken for one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker.common.errors import InputError
from ranker.common.files import sha256
from ranker.project import paths, tables


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_table_comes_back_as_it_was() -> None:
    frame = pd.DataFrame({"query_id": ["1", "007", "1e10"], "query": ["NA", "", "β-coronavirus"]})
    tables.write_table(paths.QUERIES, frame)
    pd.testing.assert_frame_equal(tables.read_table(paths.QUERIES), frame, check_dtype=False)


def test_ragged_tokens_come_back_by_id() -> None:
    frame = pd.DataFrame({"document_id": ["a", "b", "c"], "tokens": [[5, 6, 7], [], [8]]})
    tables.write_table(paths.ENCODED_DOCUMENTS, frame)
    tokens = tables.read_tokens(paths.ENCODED_DOCUMENTS)
    rows = tokens.rows(pd.Series(["c", "b", "a"]))
    assert [tokens[row].tolist() for row in rows] == [[8], [], [5, 6, 7]]
    assert tokens[0].dtype == np.int32
    assert tokens.lengths.tolist() == [3, 0, 1]
    with pytest.raises(KeyError, match="no token ids for z"):
        tokens.rows(pd.Series(["a", "z"]))


def test_tokens_in_parts_are_one_table() -> None:
    parts = [tables.pack(["a", "b"], [[5, 6], []]), tables.pack([], []), tables.pack(["c"], [[7, 8, 9]])]
    tables.write_tokens(paths.ENCODED_DOCUMENTS, parts)
    tokens = tables.read_tokens(paths.ENCODED_DOCUMENTS)
    assert tokens.ids.to_pylist() == ["a", "b", "c"]
    assert [tokens[row].tolist() for row in range(3)] == [[5, 6], [], [7, 8, 9]]
    tables.write_tokens(paths.ENCODED_QUERIES, [])
    assert len(tables.read_tokens(paths.ENCODED_QUERIES)) == 0


def test_texts_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CHUNK", 2)
    frame = pd.DataFrame({"document_id": ["a", "b", "c"], "title": ["A", "", "C"]})
    tables.write_table(paths.DOCUMENTS, frame)
    assert list(tables.read_texts(paths.DOCUMENTS)) == [(["a", "b"], ["A", ""]), (["c"], ["C"])]


def test_equal_tables_are_equal_bytes() -> None:
    frame = pd.DataFrame({"query_id": ["1", "2"], "document_id": ["a", "b"], "fold": [0, 1]})
    tables.write_table(paths.FOLDS, frame)
    first = sha256(paths.FOLDS)
    tables.write_table(paths.FOLDS, frame.set_index(pd.Index([7, 9])))
    assert sha256(paths.FOLDS) == first


def test_another_table_is_refused() -> None:
    paths.FOLDS.parent.mkdir(parents=True)
    pq.write_table(pa.table({"query_id": ["1"], "document_id": ["a"], "fold": [0.5]}), paths.FOLDS)
    with pytest.raises(InputError, match="folds.parquet: expected columns .* fold int8, found .* fold double"):
        tables.read_table(paths.FOLDS)


def test_embeddings_come_back_by_id() -> None:
    frame = pd.DataFrame({"document_id": ["a", "b"], "embedding": [[0.6, 0.8], [1.0, 0.0]]})
    tables.write_table(paths.EMBEDDED_DOCUMENTS, frame)
    found = tables.read_embeddings(paths.EMBEDDED_DOCUMENTS)
    assert found.values.dtype == np.float32
    assert found.values[found.index["b"]].tolist() == [1, 0]
    assert found.values[found.index["a"]] == pytest.approx([0.6, 0.8])


def test_scores_of_one_model_have_a_path_and_a_schema_of_their_own() -> None:
    path = paths.crossval_scores("ranker", 13, 2)
    assert path == Path("data/crossval/ranker/13-2.parquet")
    tables.write_table(path, pd.DataFrame({"query_id": ["1"], "document_id": ["a"], "score": [0.5]}), tables.SCORES)
    assert tables.read_table(path, tables.SCORES)["score"].tolist() == [0.5]


def test_a_file_that_is_no_parquet_is_refused() -> None:
    for read in (tables.read_table, tables.read_tokens):
        with pytest.raises(InputError, match="queries.parquet: expected a Parquet file, found none"):
            read(paths.QUERIES if read is tables.read_table else paths.ENCODED_QUERIES)
    with pytest.raises(InputError, match="queries.parquet: expected a Parquet file, found none"):
        next(tables.read_texts(paths.QUERIES))
    paths.FOLDS.parent.mkdir(parents=True)
    paths.FOLDS.write_text("query_id,fold\n")
    with pytest.raises(InputError, match="folds.parquet: expected a Parquet file"):
        tables.read_table(paths.FOLDS)

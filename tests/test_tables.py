"""ranker.project.tables: tables read back as written, with the same bytes every time; other files are refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranker.common.errors import InputError
from ranker.common.files import sha256
from ranker.project import documents, paths, tables


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_read_table_gives_back_what_write_table_wrote() -> None:
    frame = pd.DataFrame({"query_id": ["1", "007", "1e10"], "query": ["NA", "", "β-coronavirus"]})
    tables.write_table(paths.QUERIES, frame)
    pd.testing.assert_frame_equal(tables.read_table(paths.QUERIES), frame, check_dtype=False)


def test_read_tokens_gives_them_back_by_id() -> None:
    frame = pd.DataFrame({"document_id": ["a", "b", "c"], "paired": True, "tokens": [[5, 6, 7], [], [8]]})
    tables.write_table(paths.ENCODED_DOCUMENTS, frame)
    tokens = tables.read_tokens(paths.ENCODED_DOCUMENTS)
    rows = tokens.rows(pd.Series(["c", "b", "a"]))
    assert [tokens[row].tolist() for row in rows] == [[8], [], [5, 6, 7]]
    assert tokens[0].dtype == np.int32
    assert tokens.lengths.tolist() == [3, 0, 1]
    with pytest.raises(KeyError, match="no token ids for z"):
        tokens.rows(pd.Series(["a", "z"]))


def test_write_tokens_makes_one_table_of_parts() -> None:
    packed = [tables.pack(["a", "b"], [[5, 6], []]), tables.pack([], []), tables.pack(["c"], [[7, 8, 9]])]
    parts = [(tokens, [pa.array([True] * len(tokens), pa.bool_())]) for tokens in packed]
    tables.write_tokens(paths.ENCODED_DOCUMENTS, parts)
    tokens = tables.read_tokens(paths.ENCODED_DOCUMENTS)
    assert tokens.ids.to_pylist() == ["a", "b", "c"]
    assert [tokens[row].tolist() for row in range(3)] == [[5, 6], [], [7, 8, 9]]
    tables.write_tokens(paths.ENCODED_QUERIES, [])
    assert len(tables.read_tokens(paths.ENCODED_QUERIES)) == 0


def test_read_documents_comes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "CHUNK", 2)
    documents.write_documents(paths.DOCUMENTS, [("a", ["A"]), ("b", [""]), ("c", ["C"])], ["title"])
    assert list(documents.read_documents()) == [(["a", "b"], ["A", ""], ["A", ""]), (["c"], ["C"], ["C"])]


def test_write_texts_have_their_own_tokens_whatever_the_order() -> None:
    texts = pd.DataFrame({"document_id": ["b", "a", "c"], "title": ["Bats", "A mask", ""], "text": ["B", "A", ""]})
    encoded = tables.pack(["a", "b", "c", "never judged"], [[5, 6], [7], [], [8]])
    tables.write_texts(paths.SPLIT_DOCUMENTS, texts, encoded)
    pd.testing.assert_frame_equal(tables.read_texts(paths.SPLIT_DOCUMENTS), texts, check_dtype=False)
    tokens = tables.read_tokens(paths.SPLIT_DOCUMENTS)
    assert tokens.ids.to_pylist() == ["b", "a", "c"]
    assert [text.tolist() for text in tokens] == [[7], [5, 6], []]
    with pytest.raises(KeyError, match="no token ids for z"):
        tables.write_texts(paths.SPLIT_DOCUMENTS, texts.assign(document_id=list("zac")), encoded)


def test_write_table_of_equal_rows_gives_equal_bytes() -> None:
    frame = pd.DataFrame({"query_id": ["1", "2"], "query": ["bats", "masks"]})
    tables.write_table(paths.QUERIES, frame)
    first = sha256(paths.QUERIES)
    tables.write_table(paths.QUERIES, frame.set_index(pd.Index([7, 9])))
    assert sha256(paths.QUERIES) == first


def test_read_table_refuses_another_schema() -> None:
    paths.SPLIT_PAIRS.parent.mkdir(parents=True)
    pq.write_table(pa.table({"query_id": ["1"], "document_id": ["a"], "fold": [0.5]}), paths.SPLIT_PAIRS)
    with pytest.raises(InputError, match="pairs.parquet: expected columns .* fold int8, .*, found .* fold double"):
        tables.read_table(paths.SPLIT_PAIRS)


def test_read_embeddings_gives_them_back_by_id() -> None:
    frame = pd.DataFrame({"document_id": ["a", "b"], "embedding": [[0.6, 0.8], [1.0, 0.0]]})
    tables.write_table(paths.EMBEDDED_DOCUMENTS, frame)
    found = tables.read_embeddings(paths.EMBEDDED_DOCUMENTS)
    assert found.values.dtype == np.float32
    assert found.values[found.index["b"]].tolist() == [1, 0]
    assert found.values[found.index["a"]] == pytest.approx([0.6, 0.8])


def test_crossval_scores_have_a_path_and_a_schema_of_their_own() -> None:
    path = paths.crossval_scores("cross_encoder", 13, 2)
    assert path == Path("data/crossval/cross_encoder/13-2.parquet")
    tables.write_table(path, pd.DataFrame({"query_id": ["1"], "document_id": ["a"], "score": [0.5]}), tables.SCORES)
    assert tables.read_table(path, tables.SCORES)["score"].tolist() == [0.5]


def test_read_run_gives_back_all_systems() -> None:
    pairs = pd.DataFrame({"query_id": ["1"], "document_id": ["a"], "grade": [2], "relevant": [True], "judged": [True]})
    for scores in ({"cross_encoder": [0.5]}, {"cross_encoder": [0.5], "cross_encoder_int8": [0.25], "bm25": [3.0]}):
        tables.write_run(paths.RUN, pairs.assign(**scores))
        found = tables.read_run(paths.RUN)
        assert list(found) == [*pairs, *scores]
        assert {found[name].dtype for name in scores} == {np.dtype(np.float32)}
        assert found.to_dict("records") == pairs.assign(**scores).to_dict("records")


def test_read_run_refuses_pairs_of_other_columns() -> None:
    tables.write_table(paths.RUN, pd.DataFrame({"query_id": ["1"], "label": [1]}), pa.schema({"query_id": pa.string()}))
    with pytest.raises(InputError, match="run.parquet: expected columns query_id string, document_id string, grade"):
        tables.read_run(paths.RUN)
    paths.RUN.write_text("query_id,grade\n")
    with pytest.raises(InputError, match="run.parquet: expected a Parquet file, found: "):
        tables.read_run(paths.RUN)


def test_read_table_refuses_a_file_that_is_no_parquet() -> None:
    for read in (tables.read_table, tables.read_tokens):
        with pytest.raises(InputError, match="queries.parquet: expected a Parquet file, found none"):
            read(paths.QUERIES if read is tables.read_table else paths.ENCODED_QUERIES)
    with pytest.raises(InputError, match="queries.parquet: expected a Parquet file, found none"):
        next(documents.read_documents(paths.QUERIES))
    paths.PAIRS.parent.mkdir(parents=True)
    paths.PAIRS.write_text("query_id,grade\n")
    with pytest.raises(InputError, match="pairs.parquet: expected a Parquet file"):
        tables.read_table(paths.PAIRS)

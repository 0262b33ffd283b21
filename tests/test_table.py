"""ranker.common.table and ranker.data.tables: one reader of tables for every door, and the format `table`."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.common.errors import InputError
from ranker.common.spreadsheet import query_id_of
from ranker.common.table import SYNONYMS, needed, read_documents, read_table, synonyms
from ranker.data.collection import Collection
from ranker.data.tables import read_tables

GRADES = [("masks", "d1", 2), ("masks", "d2", 0), ("bats, caves", "d2", 1)]
PRODUCTS = {"d1": ("Masks in wards", "For nurses"), "d2": ("Bats; birds", "")}
NO_NAMES = dict.fromkeys(("query", "query_id", "document_id", "grade"), "")


def delimited(delimiter: str, encoding: str = "utf-8") -> Callable[[pd.DataFrame, Path], object]:
    return lambda frame, path: path.write_bytes(frame.to_csv(index=False, sep=delimiter).encode(encoding))


SHAPES: dict[str, Callable[[pd.DataFrame, Path], object]] = {
    "commas.csv": delimited(","),
    "semicolons.csv": delimited(";"),
    "bom.csv": delimited(";", "utf-8-sig"),
    "tabs.tsv": delimited("\t"),
    "bars.txt": delimited("|"),
    "lines.jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "table.parquet": lambda frame, path: frame.to_parquet(path),
}


def written(folder: Path, judgements: str, documents: str, named: dict[str, str] = NO_NAMES) -> Collection:
    (folder / "judgements").write_text(judgements)
    (folder / "products").write_text(documents)
    return read_tables(folder / "judgements", folder / "products", ["title"], named)


@pytest.mark.parametrize("shape", SHAPES)
def test_read_tables_of_each_shape(tmp_path: Path, shape: str) -> None:
    SHAPES[shape](pd.DataFrame(GRADES, columns=["Search Term", "Product-ID", "rating"]), tmp_path / shape)
    rows = [(name, "x", *texts) for name, texts in PRODUCTS.items()]
    documents = tmp_path / f"products-{shape}"
    SHAPES[shape](pd.DataFrame(rows, columns=["id", "price", "Title", "Long description"]), documents)
    found = read_tables(tmp_path / shape, documents, ["title", "long_description"], NO_NAMES)
    masks, bats = map(query_id_of, ("masks", "bats, caves"))
    assert found.queries.to_numpy().tolist() == [[masks, "masks"], [bats, "bats, caves"]]
    graded = found.judgements[["query_id", "document_id", "grade"]].to_numpy().tolist()
    assert graded == [[masks, "d1", 2], [masks, "d2", 0], [bats, "d2", 1]]
    assert dict(found.documents()) == {name: list(texts) for name, texts in PRODUCTS.items()}


@pytest.mark.parametrize("column", [name for name in SYNONYMS if name != "title"])
def test_every_synonym_is_read(tmp_path: Path, column: str) -> None:
    for name in SYNONYMS[column]:
        (tmp_path / "a.csv").write_text(f"{name},other\n7,x\n")
        assert [cells for _, cells in read_table(tmp_path / "a.csv", needed(column), [])] == [{column: "7"}]


def test_read_tables_takes_ids_from_the_table_and_makes_the_others_of_texts(tmp_path: Path) -> None:
    rows = "query_id,query,id,label\n,Face  masks,a,1\n7,face masks,b,0\n7,,c,2\n,bats,a,\n8,bats,a,1\n,pigs,a,1\n"
    found = written(tmp_path, rows, "id,title\nd1,A\n")
    pigs = query_id_of("pigs")
    assert found.queries.to_numpy().tolist() == [["7", "face masks"], ["8", "bats"], [pigs, "pigs"]]
    assert found.judgements["query_id"].tolist() == ["7", "7", "7", "8", "8", pigs]
    assert found.judgements["grade"].isna().tolist() == [False, False, False, True, False, False]


def test_read_tables_takes_a_users_own_names_of_columns(tmp_path: Path) -> None:
    named = NO_NAMES | {"query": "Suchwort", "grade": "sterne", "document_id": "Artikel"}
    rows = "Suchwort;Artikel;Sterne;score\nmasken;7;2;0.13\n"
    found = written(tmp_path, rows, "artikel;title\n7;Masken\n", named)
    assert found.judgements["grade"].tolist() == [2]
    assert list(written(tmp_path, rows, "sku,title\n7,Masken\n", named).documents()) == [("7", ["Masken"])]
    with pytest.raises(InputError, match="expected a column grade .or star., found Suchwort, Artikel, Sterne, score"):
        written(tmp_path, rows, "id,title\n", named | {"grade": "star"})  # never the column score in its place


@pytest.mark.parametrize(
    ("judgements", "documents", "message"),
    [
        (
            "query;product;grade\n",
            "",
            "expected a column document_id .*, found query, product, grade .near: product",
        ),
        ("masks,d1,2\n", "", "judgements: expected a column query .*, found masks, d1, 2: is line 1 the header"),
        ("query,id,grade\n", "", "judgements: expected judgements, found none"),
        ("query,id,grade\nmasks,d1,good\n", "", "line 2: expected a whole number as grade, found 'good'"),
        ("query,id,grade\nmasks,d1,0.5\n", "", "line 2: expected a whole number as grade, found '0.5'"),
        ("query,id,grade\n ,d1,1\n", "", "line 2: expected a query in text, found ' '"),
        ("query,id,grade\nmasks,,1\n", "", "line 2: document_id: expected an id, found ''"),
        (
            "query_id,query,id,grade\n7,masks,a,1\n7,bats,b,1\n",
            "",
            "3: query_id 7: expected the query 'masks'",
        ),
        ("query,id,label,score\n", "", "judgements: expected one column of grade, found label, score"),
        ("PK\x03\x04", "", "judgements: expected CSV, JSON lines or Parquet, found a workbook: save its sheet as CSV"),
        (
            "query,id,grade\nm,a,1\n",
            "id,name\na,b\n",
            "expected a column title .or title_full., found id, name",
        ),
        ("query,id,grade\nm,a,1\n", "titel,id\n", "products: expected a column title .*, found titel, id .near: titel"),
        ("query,id,grade\nm,a,1\n", "id,title\n,b\n", "products: line 2: document_id: expected an id, found ''"),
    ],
)
def test_read_tables_names_what_is_wrong(tmp_path: Path, judgements: str, documents: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        list(written(tmp_path, judgements, documents).documents())
    assert "\n" not in str(error.value)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\x1a"), max_size=12)


@given(st.lists(st.tuples(st.text("abc-_'=0123456789", min_size=1), texts, texts), max_size=8))
def test_documents_are_the_same_in_every_shape(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    """An apostrophe, a formula or a number is text: a table is read as it is."""
    folder = tmp_path_factory.mktemp("shapes")
    frame = pd.DataFrame(rows, columns=["product_id", "title", "text"], dtype=str)
    expected = [(name, [title, text]) for name, title, text in rows]
    for shape, write in SHAPES.items():
        if shape.endswith(".jsonl"):
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in frame.to_dict("records"))
            (folder / shape).write_text("".join(lines), newline="")
        else:
            write(frame, folder / shape)
        assert list(read_documents(folder / shape, ["title", "text"])) == expected


def test_empty_rows_of_a_spreadsheet_are_no_judgements(tmp_path: Path) -> None:
    found = written(tmp_path, "query;id;grade;;\nmasks;a;1;;\n;;;;\n ;;;;\n", "id,title\na,A\n,\n")
    assert len(found.judgements) == 1
    assert list(found.documents()) == [("a", ["A"])]


def test_read_table_of_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for content in ("sku;title\nd1;Masks\n", '{"sku": "d1", "title": "Masks"}\n'):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
        assert list(read_documents(Path("-"), ["title"])) == [("d1", ["Masks"])]


def test_synonyms_have_a_users_name_first() -> None:
    found = synonyms({"grade": "Sterne", "query": ""}, alone=["query"])
    assert found["grade"][:2] == ("sterne", "grade")
    assert found["query"] == SYNONYMS["query"]

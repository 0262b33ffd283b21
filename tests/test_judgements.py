"""ranker.data.tutorial: the tutorial's two files, read unchanged, and one line for each mistake in them."""

from pathlib import Path

import pytest

from ranker.common.errors import InputError
from ranker.data.collection import Collection
from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE, read_labelled_data, read_tutorial
from ranker.project.tables import IDS

HEADER = "document_id,query_id,label,title-full\n"


def read(folder: Path, content: bytes) -> Collection:
    """Read this CSV beside a file without judgements."""
    (folder / LABELLED_DATA_FILE).write_text('[{"query_id": 1, "query": "bats", "relevant_docs": []}]')
    (folder / JUDGEMENTS_FILE).write_bytes(content)
    return read_tutorial(folder, ["title"])


def test_read_tutorial_leaves_cells_unchanged(tmp_path: Path) -> None:
    found = read(tmp_path, "\ufeff".encode() + HEADER.encode() + b'1e10,007,1.0,"NA, ""null""\nnan"\r\n0012,1,0,None\n')
    assert found.judgements[[*IDS, "grade"]].to_numpy().tolist() == [["007", "1e10", 1], ["1", "0012", 0]]
    assert list(found.documents()) == [("1e10", ['NA, "null"\nnan']), ("0012", ["None"])]


def test_read_tutorial_finds_columns_by_name_among_others(tmp_path: Path) -> None:
    found = read(tmp_path, b",title-full,label,query_id,document_id\n0,Bats,2,1,aa\n")
    assert found.judgements[[*IDS, "grade"]].to_numpy().tolist() == [["1", "aa", 2]]
    assert list(found.documents()) == [("aa", ["Bats"])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"document_id,query_id,title-full\na,1,A\n",
            "expected column label once, found it 0 times among: document_id",
        ),
        (b"document_id,query_id,label,label,title-full\na,1,1,1,A\n", "expected column label once, found it 2 times"),
        (b"", "expected column document_id once, found it 0 times among: nothing"),
        (
            HEADER.encode() + b'a,1,1,"A\nB"\nb,1,high,B\n',
            "line 4 (query_id '1', document_id 'b'): expected a whole number as grade, found 'high'",
        ),
        (
            HEADER.encode() + b"a,1,0.5,A\n",
            "line 2 (query_id '1', document_id 'a'): expected a whole number as grade, found '0.5'",
        ),
        (
            HEADER.encode() + "a,1,\u0661,A\n".encode(),
            "line 2 (query_id '1', document_id 'a'): expected a whole number as grade, found '\u0661'",
        ),
        (
            HEADER.encode() + b"a,1,500,A\n",
            "line 2 (query_id '1', document_id 'a'): expected a grade of at most 16, found '500'",
        ),
        (HEADER.encode() + b",1,1,A\n", "line 2: expected a document_id, found ''"),
        (HEADER.encode() + b"a,1,1,A\n\nb,1,1,B,C\n", "line 4: expected 4 cells, found 5"),
        (HEADER.encode() + b"a,1,1,A,B\n", "line 2: expected 4 cells, found 5"),
        (HEADER.encode() + b'a,1,1,"A\nb,1,1,B\n', "line 2: expected CSV, found: unexpected end of data"),
        (HEADER.encode() + b"a,1,1,caf\xe9\n", "line 2: expected UTF-8, found byte 0xe9"),
    ],
)
def test_read_tutorial_names_mistakes(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, content)
    assert str(error.value).startswith(f"{tmp_path / JUDGEMENTS_FILE}: {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "expected JSON, found: EOF"),
        ("{}", "the file: expected a valid array"),
        ('[{"query_id": 1, "relevant_docs": []}]', "0.query: expected a value"),
        ('[{"query_id": 1, "query": "q", "relevant_docs": [{"id": "a", "score": 0.5}]}]', "0.relevant_docs.0.score:"),
        (
            '[{"query_id": 1.5, "query": "q", "relevant_docs": []}]',
            "0.query_id: expected a valid string or integer",
        ),
        (
            '[{"query_id": 1, "query": "q", "relevant_docs": []},'
            ' {"query_id": "1", "query": "r", "relevant_docs": []}]',
            "query_id 1: expected once, found with 'q' and 'r'",
        ),
    ],
)
def test_read_labelled_data_names_mistakes(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "labelled.json"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        read_labelled_data(path)
    assert f"labelled.json: {message}" in str(error.value)

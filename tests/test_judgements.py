"""ranker.data.tutorial: the tutorial's two files, read unchanged, and one line for each mistake in them."""

from pathlib import Path

from ranker.data.collection import Collection
from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE, read_tutorial
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

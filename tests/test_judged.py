"""A user's own judgements: any table of grades is merged into one file, which join reads beside every format."""

import contextlib
import csv
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.common.errors import InputError
from ranker.common.files import read_json
from ranker.common.spreadsheet import for_spreadsheet, from_spreadsheet, query_id_of, shown, write_table
from ranker.common.table import read_table
from ranker.data.collection import Collection, judgements_table
from ranker.data.judged import COLUMNS, read_judgements, with_judgements, write_judgements
from ranker.judging.form import write_form
from ranker.judging.merge import Merged, merge
from ranker.project import paths
from tests.factories import ROOT, run_module, set_params
from tests.test_pipeline_formats import write_beir, write_trec

FIELDS = ["title", "text"]
QUERIES = {"1": "masks", "2": "bats", "007": "old spies"}
DOCUMENTS = {  # ids and texts that a spreadsheet changes, computes or misreads
    "00123": ("Apes", "Of Africa"),
    "123": ("Asses", "Of Asia"),
    "1E5": ("=1+1 is two", "+1"),
    "2020-01-02": ("-5 degrees", "@home"),
    "123456789012345678": ("'Tis the season", "1E5"),
    "SEPT2": ('Septins, "two"; and\nmore', "é ü € 中"),
    "true": ("True bugs", "007"),
    "'quoted": ("Quotes", "'"),
    "=cmd": ("10:30", " "),
    "long": ("Long", "word " * 1000),
}
SOURCE = [("1", "00123", 1), ("1", "123", 0), ("2", "1E5", 2), ("007", "SEPT2", 0)]


def collection(*judgements: tuple[str, str, int]) -> Collection:
    return Collection(
        queries=pd.DataFrame({"query_id": list(QUERIES), "query": list(QUERIES.values())}, dtype=str),
        judgements=judgements_table(list(judgements or SOURCE)),
        documents=lambda: iter([(name, list(texts)) for name, texts in DOCUMENTS.items()]),
    )


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def merged(tmp_path: Path, text: str, source: Collection | None = None) -> Merged:
    """Merge a table given as text; the file of judgements is written. Return the changes."""
    result = merge(write(tmp_path / "in.csv", text), tmp_path / "judged.csv", source or collection(), FIELDS)
    write_judgements(tmp_path / "judged.csv", result.rows)
    return result


def counts(result: Merged) -> tuple[int, int, int, int, int]:
    return len(result.new), result.of_new_queries, len(result.revised), result.known, result.without_grade


def triples(source: Collection) -> set[tuple[str, str, int]]:
    return set(source.judgements[["query_id", "document_id", "grade"]].itertuples(index=False, name=None))


def joined(tmp_path: Path, source: Collection | None = None) -> Collection:
    return with_judgements(source or collection(), tmp_path / "judged.csv", FIELDS)


def findings(found: Collection) -> list[tuple[str, str, str, bool]]:
    assert found.findings is not None
    return list(found.findings.itertuples(index=False, name=None))


def test_the_committed_file_is_a_header_alone() -> None:
    """The header alone changes no collection."""
    assert (ROOT / "data/judged.csv").read_text() == ",".join(COLUMNS) + "\n"
    source = collection()
    assert with_judgements(source, ROOT / "data/judged.csv", FIELDS) is source


def test_new_revised_and_known_grades(tmp_path: Path) -> None:
    text = "query_id,document_id,grade\n1,1E5,2\n1,123,1\n2,1E5,2.0\n2,123,\n"
    assert counts(merged(tmp_path, text)) == (1, 0, 1, 1, 1)
    assert (tmp_path / "judged.csv").read_text() == (
        "query_id,query,document_id,title,grade,earlier\n1,masks,123,Asses,1,0\n1,masks,'1E5,'=1+1 is two,2,\n"
    )
    found = joined(tmp_path)
    assert triples(found) == {("1", "00123", 1), ("2", "1E5", 2), ("007", "SEPT2", 0), ("1", "123", 1), ("1", "1E5", 2)}
    assert len(found.judgements) == 5
    assert findings(found) == [("1", "123", "revised_grade", True)]
    assert found.own == 2
    content = (tmp_path / "judged.csv").read_bytes()
    assert counts(merged(tmp_path, text)) == (0, 0, 0, 3, 1)
    assert (tmp_path / "judged.csv").read_bytes() == content, "a second run changes nothing"


def test_a_grade_that_is_revised_again_keeps_those_before(tmp_path: Path) -> None:
    for grade in (1, 2, 1, 0):
        merged(tmp_path, f"query_id,document_id,grade\n1,123,{grade}\n")
    (row,) = read_judgements(tmp_path / "judged.csv")
    assert (row.grade, row.earlier) == (0, "0 1 2 1")
    assert ("1", "123", 0) in triples(joined(tmp_path))


def test_a_source_that_contradicts_itself_is_settled(tmp_path: Path) -> None:
    source = collection(("1", "123", 0), ("1", "123", 2), ("2", "1E5", 1))
    assert counts(merged(tmp_path, "query_id,document_id,grade\n1,123,2\n", source)) == (0, 0, 1, 0, 0)
    assert triples(joined(tmp_path, source)) == {("1", "123", 2), ("2", "1E5", 1)}


def test_queries_by_their_text_and_new_ones(tmp_path: Path) -> None:
    text = "query,product_id,rating\n Masks,1E5,1\nwinter boots,1E5,2\nWinter  boots,123,0\n"
    assert counts(merged(tmp_path, text)) == (3, 2, 0, 0, 0)
    made = query_id_of("winter boots")
    found = joined(tmp_path)
    assert {("1", "1E5", 1), (made, "1E5", 2), (made, "123", 0)} <= triples(found)
    assert found.queries.to_numpy().tolist()[-1] == [made, "winter boots"]
    assert len(found.queries) == len(QUERIES) + 1
    assert counts(merged(tmp_path, text)) == (0, 0, 0, 3, 0)
    later = replace(collection(), queries=pd.DataFrame({"query_id": ["61"], "query": ["Winter boots"]}, dtype=str))
    assert {row for row in triples(joined(tmp_path, later)) if row[0] == "61"} == {("61", "1E5", 2), ("61", "123", 0)}


NAMES = [
    ("query_id,document_id,grade", ","),
    ("qid;docno;relevance", ";"),
    ("query-id\tcorpus-id\tscore", "\t"),
    ("Query_ID|doc_id|Label", "|"),
    ("note;query_id;cord_uid;grade;score", ";"),  # grade before score
]


@pytest.mark.parametrize(("header", "delimiter"), NAMES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_columns_by_their_usual_names(tmp_path: Path, header: str, delimiter: str, encoding: str) -> None:
    names = header.split(delimiter)
    row = delimiter.join((["a,b"] if names[0] == "note" else []) + ["1", "1E5", "2", "9"])
    row = row if len(names) == 5 else row.removesuffix(f"{delimiter}9")
    (tmp_path / "in.csv").write_text(f"{header}\r\n{row}\r\n", encoding=encoding, newline="")
    (judgement,) = merge(tmp_path / "in.csv", tmp_path / "judged.csv", collection(), FIELDS).new
    assert (*judgement.pair, judgement.grade) == ("1", "1E5", 2)


def test_parquet(tmp_path: Path) -> None:
    columns = {"query_id": ["007", "1"], "document_id": ["00123", "123"], "grade": [2.0, None]}
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    result = merge(tmp_path / "in.parquet", tmp_path / "judged.csv", collection(), FIELDS)
    assert [(*row.pair, row.grade) for row in result.new] == [("007", "00123", 2)]
    assert result.without_grade == 1


HEADER = "query_id,query,document_id,title,text,grade\n"
MISTAKES = {
    "no whole number": ("1,,1E5,,,1.5\n", "line 2: expected a whole number as grade, found '1.5'"),
    "a word": ("1,,1E5,,,good\n", "line 2: expected a whole number as grade, found 'good'"),
    "below 0": ("1,,1E5,,,-1\n", "line 2: expected a grade of 0 or more, found -1"),
    "too large": ("1,,1E5,,,17\n", "line 2: expected a grade of at most 16, found '17'"),
    "unknown query": ("3,,1E5,,,1\n", "line 2: expected the id of a query, or a text beside it, found '3'"),
    "no query": (",,1E5,,,1\n", "line 2: expected the id or the text of a query, found neither"),
    "another query's id": ("2,masks,1E5,,,1\n", "line 2: query 2: expected 'bats', the text of this id, found 'masks'"),
    "unknown document": ("1,,z,,,1\n", "line 2: expected the id of a document, found 'z'"),
    "an id as a number": (
        "1,,100000,=1+1 is two,,1\n",
        "line 2: expected the id of a document, such as '1E5', which has this title, found '100000'",
    ),
    "leading zeros gone": ("1,,123,Apes,,1\n", "line 2: document 123: expected the title 'Asses', found 'Apes'"),
    "another text": ("1,,123,,Of Africa,1\n", "line 2: document 123: expected the text 'Of Asia', found 'Of Africa'"),
    "two grades": (
        "1,,1E5,,,1\n1,,1E5,,,2\n",
        "line 3: query 1, document 1E5: expected one grade, found 1 ({file}: line 2) and 2",
    ),
    "two texts of a new query": ("9,a,1E5,,,1\n9,b,123,,,1\n", "line 3: query 9: expected 'a', found 'b'"),
    "a cell too many": ("1,,1E5,,,1,\n", "line 2: expected 6 cells, found 7"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(tmp_path: Path, mistake: str) -> None:
    rows, message = MISTAKES[mistake]
    file = write(tmp_path / "in.csv", HEADER + rows)
    with pytest.raises(InputError) as found:
        merge(file, tmp_path / "judged.csv", collection(), FIELDS)
    assert str(found.value) == f"{file}: {message.format(file=file)}"


def test_a_grade_outside_the_named_scale_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "in.csv", HEADER + "1,,1E5,,,2\n")
    assert merge(file, tmp_path / "judged.csv", collection(), FIELDS, [0, 1, 2]).new
    with pytest.raises(InputError, match=r"line 2: expected a grade of join.grades \(0, 1\), found 2"):
        merge(file, tmp_path / "judged.csv", collection(), FIELDS, [0, 1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"",
            "expected a column query_id or query (or qid, topic, topic_id, query_text, search_query, search_term)",
        ),
        (b"query_id,product,grade\n", "_id, id, cord_uid), found query_id, product, grade (near: product)"),
        (b"query_id,label,id,score\n", "expected one column of grade, found label, score"),
        (b"query_id,document_id,grade\n1,\xe9,1\n", "expected UTF-8, found byte 0xe9"),
        ("query_id,document_id,grade\n".encode("utf-16"), "expected UTF-8, found byte 0xff"),
        (b"PK\x03\x04 and so on", "expected CSV, JSON lines or Parquet, found a workbook: save its sheet as CSV"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "in.csv").write_bytes(content)
    with pytest.raises(InputError) as found:
        merge(tmp_path / "in.csv", tmp_path / "judged.csv", collection(), FIELDS)
    assert str(found.value).startswith(f"{tmp_path / 'in.csv'}: ")
    assert message in str(found.value)


OTHERS = [
    ("9", "", "123", "Asses", "judged_in_another_collection"),  # no such query, and no text of one
    ("1", "masks", "zzz", "Zebras", "judged_in_another_collection"),
    ("new", "a new one", "zzz", "", "judged_in_another_collection"),
    ("1", "respirators", "123", "Asses", "judged_with_another_text"),
    ("1", "masks", "123", "Zebras", "judged_with_another_text"),
    ("new", "a new one", "123", "Zebras", "judged_with_another_text"),
]


@pytest.mark.parametrize(("query_id", "query", "document_id", "title", "why"), OTHERS)
def test_rows_of_another_collection_are_counted_and_left(
    tmp_path: Path, query_id: str, query: str, document_id: str, title: str, why: str
) -> None:
    """Such rows stay in the file after a merge, even if this collection has the same ids."""
    left = f"{query_id},{query},{document_id},{title},3,\n"
    write(tmp_path / "judged.csv", ",".join(COLUMNS) + "\n" + left)
    found = joined(tmp_path)
    assert triples(found) == set(SOURCE)
    assert found.queries["query_id"].tolist() == list(QUERIES)
    assert findings(found) == [(query_id, document_id, why, False)]
    merged(tmp_path, "query_id,document_id,grade\n1,123,2\n")
    assert left in (tmp_path / "judged.csv").read_text()
    assert ("1", "123", 2) in triples(joined(tmp_path))


def test_duplicates_in_the_file(tmp_path: Path) -> None:
    rows = ["1,masks,1E5,,2,\n", "1,,1E5,,2,\n"]
    write(tmp_path / "judged.csv", ",".join(COLUMNS) + "\n" + "".join(rows))
    assert findings(joined(tmp_path)) == [("1", "1E5", "duplicate_pair", False)]
    merged(tmp_path, "query_id,document_id,grade\n1,1E5,1\n")
    assert [(row.grade, row.earlier) for row in read_judgements(tmp_path / "judged.csv")] == [(1, "2")]
    file = write(tmp_path / "judged.csv", ",".join(COLUMNS) + "\n" + rows[0] + "1,,1E5,,0,\n")
    with pytest.raises(InputError) as found:
        joined(tmp_path)
    expected = f"query 1, document 1E5: expected one grade, found 2 ({file}: line 2) and 0"
    assert str(found.value) == f"{file}: line 3: {expected}"


def test_the_file_is_sorted_for_any_order_of_tables(tmp_path: Path) -> None:
    lines = ["2,123,1\n", "1,SEPT2,2\n", "1,1E5,0\n", "007,123,3\n"]
    for order in (lines, lines[::-1]):
        (tmp_path / "judged.csv").unlink(missing_ok=True)
        for line in order:
            merged(tmp_path, f"query_id,document_id,grade\n{line}")
        pairs = [row.pair for row in read_judgements(tmp_path / "judged.csv")]
        assert pairs == [("007", "123"), ("1", "1E5"), ("1", "SEPT2"), ("2", "123")]


cells = st.one_of(st.text(max_size=12), st.text("0123456789eE.-+/:' =@", max_size=8))


@given(st.lists(st.tuples(cells, cells), max_size=5))
def test_cells_for_a_spreadsheet_are_read_as_they_were(rows: list[tuple[str, str]]) -> None:
    for row in rows:
        for cell in row:
            written = for_spreadsheet(cell)
            assert from_spreadsheet(written) == cell
            assert not written.startswith(("=", "+", "-", "@", "\t", "\r", "\n", " "))


@given(
    st.one_of(st.binary(max_size=60), st.text("query_id,document_id,grade;\t\"'\r\n\0", max_size=60).map(str.encode))
)
def test_any_bytes_are_a_table_or_a_mistake(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "in.csv"
        file.write_bytes(content)
        with contextlib.suppress(InputError):
            list(read_table(file, [["query_id"]]))


def write_listed(tmp_path: Path, pairs: Iterable[tuple[str, str]]) -> Path:
    """A list of pairs to judge as stage evaluate writes it."""
    rows = [
        (query_id, QUERIES[query_id], name, *map(shown, DOCUMENTS[name]), "bm25", 0.25 / 10**number)
        for number, (query_id, name) in enumerate(pairs)
    ]
    write_table(
        tmp_path / "to_judge.csv", ["query_id", "query", "document_id", *FIELDS, "found_by", "could_move"], rows
    )
    return tmp_path / "to_judge.csv"


def fill(form: Path, grade: Callable[[int], int]) -> None:
    """Type grades into the form; all other cells keep their text, as in a careful spreadsheet."""
    with form.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    with form.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([header, *([*row[:-1], str(grade(i))] for i, row in enumerate(rows))])


def test_a_form_shows_all_that_is_ranked_and_not_who_found_it(tmp_path: Path) -> None:
    listed = write_listed(tmp_path, [("1", name) for name in DOCUMENTS])
    assert write_form(listed, tmp_path / "grades.csv") == len(DOCUMENTS)
    content = (tmp_path / "grades.csv").read_bytes()
    assert content.startswith("\ufeffquery_id,query,document_id,title,text,grade\n".encode())
    rows = [row for _, row in read_table(tmp_path / "grades.csv", spreadsheet=True)]
    assert [row["document_id"] for row in rows] == list(DOCUMENTS)
    assert [(row["title"], row["text"]) for row in rows] == [tuple(map(shown, texts)) for texts in DOCUMENTS.values()]
    assert not any(
        cell.startswith(("=", "+", "-", "@")) for line in csv.reader(content.decode().splitlines()) for cell in line
    )
    with pytest.raises(InputError, match=r"grades.csv: expected a new file, found an existing one"):
        write_form(listed, tmp_path / "grades.csv")
    assert (tmp_path / "grades.csv").read_bytes() == content
    assert counts(merge(tmp_path / "grades.csv", tmp_path / "judged.csv", collection(), FIELDS)) == (0, 0, 0, 0, 10)


def through_libreoffice(file: Path, reading: str) -> Path:
    """The file as LibreOffice opens and saves it, with semicolons."""
    folder, saving = file.parent, "csv:Text - txt - csv (StarCalc):59,34,76,1"
    options = [f"-env:UserInstallation=file://{folder}/profile", "--headless", f"--infilter=CSV:{reading}"]
    subprocess.run(
        ["soffice", *options, "--convert-to", saving, "--outdir", "out", file.name],
        cwd=folder,
        env={"HOME": str(folder), "PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        timeout=180,
    )
    return folder / "out" / file.name


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
def test_a_form_comes_back_from_a_spreadsheet_with_grades_alone(tmp_path: Path) -> None:
    """Opened as UTF-8, with numbers and dates recognised; texts opened in another character set are refused."""
    form = tmp_path / "grades.csv"
    write_form(write_listed(tmp_path, [(query_id, name) for query_id in QUERIES for name in DOCUMENTS]), form)
    fill(form, lambda number: number % 4)
    before = [row for _, row in read_table(form, spreadsheet=True)]
    # 44,34: a comma and quotes. 76: UTF-8. Then from line 1, US English, quoted cells as others, special numbers.
    saved = through_libreoffice(form, "44,34,76,1,,1033,false,true")
    assert b";" in saved.read_bytes().splitlines()[0]
    assert [row for _, row in read_table(saved, spreadsheet=True)] == before
    result = merge(saved, tmp_path / "judged.csv", collection(), FIELDS)
    assert len(result.new) + len(result.revised) + result.known == len(QUERIES) * len(DOCUMENTS)
    with pytest.raises(InputError, match="document SEPT2: expected the text 'é ü € 中', found '"):
        merge(through_libreoffice(form, "44,34,1,1"), tmp_path / "judged.csv", collection(), FIELDS)


@pytest.fixture(params=["tutorial", "beir", "zip", "trec"])
def project(
    request: pytest.FixtureRequest, fetched_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with a fetched collection of one format, a fetched base model, and a graded table."""
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "data/judged.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    kind = request.param
    folder = tmp_path / "mine"
    {"trec": write_trec}.get(kind, write_beir)(folder)
    if kind == "tutorial":
        write_tutorial(folder)
    elif kind == "zip":
        shutil.make_archive("mine", "zip", tmp_path, "mine")
    place = "mine.zip" if kind == "zip" else "mine"
    set_params(tmp_path, fetch__format={"zip": "beir"}.get(kind, kind), fetch__folder=place)
    assert run_module("stages.fetch") == 0
    paths.BASE_MODEL.symlink_to(fetched_model)
    write(
        tmp_path / "grades.csv",
        'query,document_id,title,grade\nMasks in wards,c,Birds,2\nowls,c,,1\n"bats & birds",b,Bats,0\n',
    )
    return tmp_path


def write_tutorial(folder: Path) -> None:
    """The queries and judgements of `write_beir`'s folder as the tutorial's two files."""
    shutil.rmtree(folder)
    folder.mkdir()
    grades = [("1", "a", 2), ("1", "b", 0), ("2", "b", 1), ("2", "c", 1)]
    titles = {"a": "Masks", "b": "Bats", "c": "Birds"}
    entries = [
        {"query_id": q, "query": text, "relevant_docs": [{"id": d, "score": g} for query, d, g in grades if query == q]}
        for q, text in (("1", "masks in wards"), ("2", "bats & birds"))
    ]
    (folder / "labelled_data_all.json").write_text(json.dumps(entries))
    rows = "".join(f"{d},{q},{g},{titles[d]}\n" for q, d, g in grades)
    (folder / "training_all_jugdments_data.csv").write_text(f"document_id,query_id,label,title-full\n{rows}")


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_command_and_join_for_each_format(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(project)
    assert run_module("scripts.judge", "grades.csv", "--dry-run") == 0
    printed = capsys.readouterr().out
    counted = "judge: 2 new judgements (2 relevant, 1 of new queries), 1 revised, 0 unchanged, 0 rows without a grade\n"
    assert printed.startswith(counted + "judge: revised: query 2 (bats & birds), document b (Bats): 1 -> 0\n")
    assert printed.endswith("judge: data/judged.csv: dry run, nothing written\n")
    assert contents(project) == before
    assert run_module("scripts.judge", "grades.csv") == 0
    after = contents(project)
    assert {file.relative_to(project).as_posix() for file in after if before.get(file) != after[file]} == {
        "data/judged.csv"
    }
    assert run_module("stages.join") == 0
    pairs = pd.read_parquet(paths.PAIRS)
    made = query_id_of("owls")
    judged = pairs[pairs["judged"]]
    assert set(judged[["query_id", "document_id", "grade"]].itertuples(index=False, name=None)) == {
        *[("1", "a", 2), ("1", "b", 0), ("1", "c", 2), ("2", "b", 0), ("2", "c", 1), (made, "c", 1)]
    }
    assert pd.read_parquet(paths.QUERIES).to_numpy().tolist()[-1] == [made, "owls"]
    counted_by_join = read_json(paths.JOIN_COUNTS)
    assert counted_by_join["read"]["own_judgements"] == 3
    assert {name: count for name, count in counted_by_join["noted"].items() if count} == {"revised_grade": 1}
    assert "2,b,revised_grade,True" in paths.JOIN_FINDINGS.read_text()


def test_a_mistake_writes_nothing(project: Path) -> None:
    write(project / "wrong.csv", "query_id,document_id,grade\n1,c,1\n1,a,1\n1,nowhere,1\n")
    before = contents(project)
    message = "judge: wrong.csv: line 4: expected the id of a document, found 'nowhere'"
    assert run_module("scripts.judge", "wrong.csv") == message
    assert run_module("scripts.judge", "none.csv") == "judge: none.csv: No such file or directory"
    assert contents(project) == before
    shutil.rmtree(project / "data/raw")
    assert "expected the judged collection" in str(run_module("scripts.judge", "grades.csv"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"judged.csv: expected a CSV file with the columns query_id, .*, found none$"):
        joined(tmp_path)

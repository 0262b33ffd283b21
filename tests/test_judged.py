"""scripts.judge: what is filled in is read from the files of each format, and a mistake changes none of them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ranker.common.errors import InputError
from ranker.data.beir import read_beir
from ranker.data.collection import Collection
from ranker.data.trec import read_trec
from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE, read_tutorial
from ranker.judging import to_judge
from ranker.judging.judged import merge_judgements
from ranker.project.params import Params
from ranker.project.tables import IDS
from tests.factories import PARAMS, ROOT, run_module, set_params
from tests.readme import command

HEADER = "query_id,query,document_id,title,grade,found_by,could_move\n"
FILLED = HEADER + '1,masks,c,"Caves, ""dark""",2,bm25,0.1\n1,masks,d,Dogs,,bm25,0.05\n2,bats,a,Apes,0.0,bm25,0.01\n'
SAID = "2 new judgements (1 relevant), 0 known already, 1 rows left empty -> "
OLD = [("1", "a", 1), ("1", "b", 0), ("2", "c", 2), ("2", "d", 0)]
NEW = [("1", "c", 2), ("2", "a", 0)]
TITLES = {"a": "Apes", "b": "Bats", "c": 'Caves, "dark"', "d": "Dogs é"}
QUERIES = {"1": "masks", "2": "bats"}


def write_tutorial(folder: Path) -> None:
    by_query = {q: [{"id": d, "score": grade} for query, d, grade in OLD if query == q] for q in QUERIES}
    entries = [{"query_id": int(q), "query": text, "relevant_docs": by_query[q]} for q, text in QUERIES.items()]
    (folder / LABELLED_DATA_FILE).write_text(json.dumps(entries, indent=1))
    rows = [f'{grade},"{TITLES[d].replace(chr(34), 2 * chr(34))}",{d},{q}' for q, d, grade in OLD]
    text = "\r\n".join(["label,title-full,document_id,query_id", *rows])  # other columns, no last line's end
    (folder / JUDGEMENTS_FILE).write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n")


def write_corpus(folder: Path) -> None:
    lines = [json.dumps({"_id": document_id, "title": title}) + "\n" for document_id, title in TITLES.items()]
    (folder / "corpus.jsonl").write_text("".join(lines))


def write_beir(folder: Path) -> None:
    write_corpus(folder)
    lines = [json.dumps({"_id": query_id, "text": text}) + "\n" for query_id, text in QUERIES.items()]
    (folder / "queries.jsonl").write_text("".join(lines))
    (folder / "qrels").mkdir()
    rows = "".join(f"{q}\t{d}\t{grade}\n" for q, d, grade in OLD)
    (folder / "qrels/train.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")


def write_trec(folder: Path) -> None:
    write_corpus(folder)
    (folder / "topics.xml").write_text("".join(f"{query_id}\t{text}\n" for query_id, text in QUERIES.items()))
    (folder / "qrels.txt").write_text("\n".join(f"{q} 0 {d} {grade}" for q, d, grade in OLD))  # no last line's end


def read_trec_files(folder: Path) -> Collection:
    topics, qrels, corpus = (folder / name for name in ("topics.xml", "qrels.txt", "corpus.jsonl"))
    return read_trec(topics, qrels, corpus, ["title"], "title")


WRITE: dict[str, Callable[[Path], None]] = {"tutorial": write_tutorial, "beir": write_beir, "trec": write_trec}
READ: dict[str, Callable[[Path], Collection]] = {
    "tutorial": lambda folder: read_tutorial(folder, ["title"]),
    "beir": lambda folder: read_beir(folder, ["title"], []),
    "trec": read_trec_files,
}
FILES = {"tutorial": [LABELLED_DATA_FILE, JUDGEMENTS_FILE], "beir": ["qrels/judged.tsv"], "trec": ["qrels.txt"]}


def params_of(kind: str, place: Path, **fetch: object) -> Params:
    changed = PARAMS.fetch.model_copy(update={"format": kind, "folder": str(place)} | fetch)
    return PARAMS.model_copy(update={"fetch": changed})


@pytest.fixture(params=WRITE)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A format; `tmp_path`/mine is a folder of it, and beside it is a file that was filled in."""
    (tmp_path / "mine").mkdir()
    WRITE[request.param](tmp_path / "mine")
    (tmp_path / "judged.csv").write_text(FILLED)
    return str(request.param)


def merge(tmp_path: Path, kind: str, filled: str | bytes = FILLED) -> list[str]:
    content = filled if isinstance(filled, bytes) else filled.encode()
    (tmp_path / "judged.csv").write_bytes(content)
    return merge_judgements(tmp_path / "judged.csv", params_of(kind, tmp_path / "mine"))


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def triples(collection: Collection) -> set[tuple[str, str, int]]:
    return set(collection.judgements[[*IDS, "grade"]].itertuples(index=False, name=None))


def test_what_was_filled_in_is_read_beside_what_was_there(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "mine"
    before = list(READ[kind](folder).documents())
    said = merge(tmp_path, kind)
    assert said == [SAID + ", ".join(str(folder / file) for file in FILES[kind])]
    after = READ[kind](folder)
    assert triples(after) == {*OLD, *NEW}
    assert len(after.judgements) == len(OLD) + len(NEW)
    assert dict(before) == dict(after.documents()) == {name: [title] for name, title in TITLES.items()}
    if after.listed is not None:
        assert set(after.listed.itertuples(index=False, name=None)) == {*OLD, *NEW}
    assert merge(tmp_path, kind) == [
        "0 new judgements (0 relevant), 2 known already, 1 rows left empty -> nothing to write"
    ]


def test_what_was_there_stays_as_it_was_to_the_byte(tmp_path: Path, kind: str) -> None:
    before = contents(tmp_path / "mine")
    merge(tmp_path, kind)
    merge(tmp_path, kind, HEADER + "1,,d,,1,,\n")
    after = contents(tmp_path / "mine")
    for file, content in before.items():
        if file.name != LABELLED_DATA_FILE:
            assert after[file].startswith(content)
    if kind == "tutorial":
        assert after[tmp_path / "mine" / JUDGEMENTS_FILE].count(b"\n") == after[
            tmp_path / "mine" / JUDGEMENTS_FILE
        ].count(b"\r\n")


def test_the_list_of_what_to_judge_has_the_columns_that_are_read() -> None:
    assert ",".join(to_judge.COLUMNS) + "\n" == HEADER


MISTAKES = {
    "no whole number": ("1,,c,,1.5,,\n", "line 2: expected a whole number as grade, found '1.5'"),
    "a word": ("1,,c,,yes,,\n", "line 2: expected a whole number as grade, found 'yes'"),
    "below 0": ("1,,c,,-1,,\n", "line 2: expected a grade of 0 or more, found -1"),
    "too large": ("1,,c,,17,,\n", "line 2: expected a grade of at most 16, found '17'"),
    "unknown query": ("3,,c,,1,,\n", "line 2: expected the id of a query of fetch.folder, found '3'"),
    "unknown document": ("1,,z,,1,,\n", "line 2: expected the id of a document of fetch.folder, found 'z'"),
    "two grades": ("1,,c,,1,,\n1,,c,,2,,\n", "line 3: query 1, document c: expected one grade, found 1 and 2"),
    "another grade": ("1,,b,,1,,\n", "line 2: query 1, document b: expected 0, its grade already, found 1"),
    "a cell too many": ("1,,c,,1,,,\n", "line 2: expected 7 cells, found 8"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_and_nothing_written(tmp_path: Path, kind: str, mistake: str) -> None:
    before = contents(tmp_path / "mine")
    rows, message = MISTAKES[mistake]
    with pytest.raises(InputError) as found:
        merge(tmp_path, kind, HEADER + rows)
    assert str(found.value) == f"{tmp_path / 'judged.csv'}: {message}"
    with pytest.raises(InputError, match=r"line 4: "):
        merge(tmp_path, kind, HEADER + "1,,c,,1,,\n1,,c,,1,,\n9,,c,,1,,\n")
    assert contents(tmp_path / "mine") == before


@pytest.mark.parametrize(
    ("filled", "message"),
    [
        ("", "expected column query_id once, found it 0 times among: nothing"),
        (
            "query_id;document_id;grade\n",
            "expected column query_id once, found it 0 times among: query_id;document_id;grade",
        ),
        (
            "query_id,document_id,grade,grade\n",
            "expected column grade once, found it 2 times among: query_id, document_id",
        ),
        (HEADER.encode() + b"1,\xe9,c,,1,,\n", "line 2: expected UTF-8, found byte 0xe9"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path, kind: str, filled: str | bytes, message: str) -> None:
    with pytest.raises(InputError) as found:
        merge(tmp_path, kind, filled)
    assert str(found.value).startswith(f"{tmp_path / 'judged.csv'}: {message}")


def test_a_pair_that_only_the_json_has_is_made_good(tmp_path: Path) -> None:
    """As where a run was stopped between the two files."""
    write_tutorial(tmp_path)
    before = (tmp_path / JUDGEMENTS_FILE).read_bytes()
    (tmp_path / "judged.csv").write_text(FILLED)
    merge_judgements(tmp_path / "judged.csv", params_of("tutorial", tmp_path))
    whole = contents(tmp_path)
    (tmp_path / JUDGEMENTS_FILE).write_bytes(before)
    merge_judgements(tmp_path / "judged.csv", params_of("tutorial", tmp_path))
    assert contents(tmp_path) == whole
    (tmp_path / JUDGEMENTS_FILE).write_bytes(before)
    (tmp_path / "judged.csv").write_text(FILLED.replace(",2,bm25", ",1,bm25"))
    with pytest.raises(InputError, match="query 1, document c: expected 2, its grade already, found 1"):
        merge_judgements(tmp_path / "judged.csv", params_of("tutorial", tmp_path))


def test_splits_that_leave_out_what_was_judged_are_told_of(tmp_path: Path) -> None:
    write_beir(tmp_path)
    (tmp_path / "judged.csv").write_text(FILLED)
    params = params_of("beir", tmp_path, qrels_splits=["train"])
    assert merge_judgements(tmp_path / "judged.csv", params)[1:] == [
        "fetch.qrels_splits leaves out judged: add it, or none of these judgements is read"
    ]


def test_a_grade_that_the_named_scale_has_not_is_refused(tmp_path: Path) -> None:
    write_trec(tmp_path)
    before = contents(tmp_path)
    params = params_of("trec", tmp_path)
    params = params.model_copy(update={"join": params.join.model_copy(update={"grades": [0, 1]})})
    (tmp_path.parent / "judged.csv").write_text(HEADER + "1,,c,,2,,\n")
    with pytest.raises(InputError, match=r"line 2: expected a grade of join.grades \(0, 1\), found 2"):
        merge_judgements(tmp_path.parent / "judged.csv", params)
    assert contents(tmp_path) == before


def test_ids_with_white_space_have_no_place_between_columns(tmp_path: Path) -> None:
    write_trec(tmp_path)
    with (tmp_path / "corpus.jsonl").open("a") as file:
        print(json.dumps({"_id": "e f", "title": "Eels"}), file=file)
    (tmp_path / "judged.csv").write_text(HEADER + "1,,e f,,1,,\n")
    with pytest.raises(InputError, match="document e f: expected ids without white space"):
        merge_judgements(tmp_path / "judged.csv", params_of("trec", tmp_path))


@pytest.mark.parametrize(
    ("fetch", "message"),
    [
        ({"format": "ir_datasets", "id": "cord19"}, "found ir_datasets: copy data/raw, a BEIR folder, and set fetch"),
        ({"folder": "mine.zip"}, "found mine.zip: unpack the archive and name the folder"),
        ({"folder": "https://a.org/b.zip"}, "found https://a.org/b.zip: unpack the archive and name"),
    ],
)
def test_what_cannot_be_added_to_is_refused_with_what_to_do(fetch: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        merge_judgements(Path("judged.csv"), params_of("tutorial", Path("mine"), **fetch))


def test_the_command_says_it_in_a_line(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    set_params(tmp_path, fetch__format=kind, fetch__folder="mine")
    _, _, module, file = command("python -m scripts.judge").split()
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(FILLED)
    monkeypatch.chdir(tmp_path)
    assert run_module(module, file) == 0
    assert capsys.readouterr().out == f"judge: {SAID}{', '.join(f'mine/{name}' for name in FILES[kind])}\n"
    assert run_module(module, "none.csv") == "judge: none.csv: No such file or directory"

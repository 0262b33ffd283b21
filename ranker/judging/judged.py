"""Judgements that were filled in by hand, merged into the files of `fetch.folder` that they are missing from."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ranker.common.csv_rows import csv_rows
from ranker.common.errors import InputError
from ranker.common.files import atomic
from ranker.data.beir import HEADER, read_beir
from ranker.data.collection import Collection, parse_grade
from ranker.data.trec import read_trec
from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE, read_tutorial
from ranker.project import paths
from ranker.project.params import Fetch, Params
from ranker.project.tables import IDS

SPLIT = "judged"  # of a BEIR folder, what is merged into it
COLUMNS = [*IDS, "grade"]  # what is read of a filled-in file
Pair = tuple[str, str]  # query_id, document_id


@dataclass(frozen=True)
class Row:
    """A row that has a grade."""

    where: str
    query_id: str
    document_id: str
    grade: int


def merge_judgements(judged: Path, params: Params) -> list[str]:
    """Add to the files of `fetch.folder` the new grades of the CSV file `judged` (COLUMNS), and say how many they are.

    Files are written whole, or not at all. InputError names the row that is a mistake: a grade that is no whole number
    or below 0, an id that the files do not have, a pair with two grades, or with another one than in these files.
    """
    folder = _folder(params.fetch)
    collection = _read(folder, params)
    rows, empty = _filled(judged)
    _check_scale(rows, params.join.grades)
    _check_ids(rows, collection)
    new = _not_judged(rows, collection)
    files = _write(folder, new, collection, params.fetch) if new else []
    relevant = sum(row.grade >= params.join.relevant_from for row in new)
    counts = f"{len(new)} new judgements ({relevant} relevant), {len(rows) - len(new)} known already"
    lines = [f"{counts}, {empty} rows left empty -> {', '.join(map(str, files)) or 'nothing to write'}"]
    if new and params.fetch.format == "beir" and params.fetch.qrels_splits and SPLIT not in params.fetch.qrels_splits:
        lines.append(f"fetch.qrels_splits leaves out {SPLIT}: add it, or none of these judgements is read")
    return lines


def _folder(fetch: Fetch) -> Path:
    if fetch.format == "ir_datasets":
        raise InputError(
            f"fetch.format: expected tutorial, beir or trec, whose files can be added to, found ir_datasets: copy "
            f"{paths.RAW}, a BEIR folder, and set fetch.format beir, fetch.folder to the copy and fetch.id to nothing"
        )
    folder = Path(fetch.folder)
    if not folder.is_dir():
        raise InputError(
            f"fetch.folder: expected a folder, whose files can be added to, found {fetch.folder}: unpack the "
            "archive and name the folder in which its files are"
        )
    return folder


def _read(folder: Path, params: Params) -> Collection:
    """The collection as it is in its folder, of a BEIR folder all splits."""
    fetch, fields = params.fetch, params.join.document_fields
    if fetch.format == "tutorial":
        return read_tutorial(folder, fields)
    if fetch.format == "beir":
        return read_beir(folder, fields, [])
    return read_trec(folder / fetch.topics, folder / fetch.qrels, folder / fetch.corpus, fields, fetch.query_field)


def _filled(path: Path) -> tuple[list[Row], int]:
    """The rows that have a grade, each pair once, and how many have none."""
    rows: dict[Pair, Row] = {}
    empty = 0
    with path.open("rb") as file:
        for line, cells in csv_rows(str(path), file, lambda _: COLUMNS):
            query_id, document_id, cell = cells.values()
            where = f"{path}: line {line}"
            grade = parse_grade(where, cell)
            if grade is None:
                empty += 1
                continue
            if grade < 0:
                raise InputError(f"{where}: expected a grade of 0 or more, found {grade}")
            first = rows.setdefault((query_id, document_id), Row(where, query_id, document_id, grade))
            if first.grade != grade:
                raise InputError(f"{where}: {_pair(first)}: expected one grade, found {first.grade} and {grade}")
    return list(rows.values()), empty


def _pair(row: Row) -> str:
    return f"query {row.query_id}, document {row.document_id}"


def _check_scale(rows: list[Row], scale: list[int]) -> None:
    for row in rows:
        if scale and row.grade not in scale:
            raise InputError(
                f"{row.where}: expected a grade of join.grades ({', '.join(map(str, scale))}), found {row.grade}"
            )


def _check_ids(rows: list[Row], collection: Collection) -> None:
    queries = set(collection.queries["query_id"])
    documents = {document_id for document_id, _ in collection.documents()}
    for row in rows:
        if row.query_id not in queries:
            raise InputError(f"{row.where}: expected the id of a query of fetch.folder, found {row.query_id!r}")
        if row.document_id not in documents:
            raise InputError(f"{row.where}: expected the id of a document of fetch.folder, found {row.document_id!r}")


def _not_judged(rows: list[Row], collection: Collection) -> list[Row]:
    """Rows of pairs that have no grade; InputError names one that has another."""
    graded = collection.judgements.dropna()
    judged = dict(zip(graded[IDS].itertuples(index=False, name=None), graded["grade"], strict=True))
    known = _listed(collection) | judged
    for row in rows:
        older = known.get((row.query_id, row.document_id), row.grade)
        if older != row.grade:
            raise InputError(f"{row.where}: {_pair(row)}: expected {older}, its grade already, found {row.grade}")
    return [row for row in rows if (row.query_id, row.document_id) not in judged]


def _listed(collection: Collection) -> dict[Pair, int]:
    """What the tutorial's JSON says."""
    if collection.listed is None:
        return {}
    pairs = collection.listed[IDS].itertuples(index=False, name=None)
    return dict(zip(pairs, collection.listed["labelled_grade"], strict=True))


def _write(folder: Path, rows: list[Row], collection: Collection, fetch: Fetch) -> list[Path]:
    """Write the rows by the folder's format; the files."""
    if fetch.format == "tutorial":
        return _add_to_tutorial(folder, rows, collection)
    for row in rows:
        if any(character.isspace() for character in row.query_id + row.document_id):
            raise InputError(f"{row.where}: {_pair(row)}: expected ids without white space, which ends a column there")
    if fetch.format == "beir":
        file, header = folder / "qrels" / f"{SPLIT}.tsv", "\t".join(HEADER) + "\n"
        lines = [f"{row.query_id}\t{row.document_id}\t{row.grade}\n" for row in rows]
    else:
        file, header = folder / fetch.qrels, ""
        lines = [f"{row.query_id} 0 {row.document_id} {row.grade}\n" for row in rows]
    content = file.read_bytes() if file.is_file() else header.encode()
    with atomic(file) as whole:
        whole.write_bytes(_appended(content, "".join(lines)))
    return [file]


def _add_to_tutorial(folder: Path, rows: list[Row], collection: Collection) -> list[Path]:
    """The JSON takes its place before the CSV: a run that is killed between the two is made good by another."""
    labelled, judgements = folder / LABELLED_DATA_FILE, folder / JUDGEMENTS_FILE
    with atomic(judgements) as csv_file, atomic(labelled) as json_file:
        csv_file.write_bytes(_csv_with(judgements.read_bytes(), rows, collection))
        listed = _listed(collection)
        missing = (row for row in rows if (row.query_id, row.document_id) not in listed)
        json_file.write_bytes(_json_with(labelled.read_bytes(), missing))
    return [labelled, judgements]


def _csv_with(content: bytes, rows: list[Row], collection: Collection) -> bytes:
    titles = {document_id: title for document_id, (title,) in reversed(list(collection.documents())) if title.strip()}
    lines = io.StringIO(content.decode("utf-8-sig"), newline="")
    header, added = next(csv.reader(lines)), io.StringIO()
    writer = csv.DictWriter(added, header, lineterminator="\r\n" if b"\r" in content.partition(b"\n")[0] else "\n")
    for row in rows:
        cells = {"document_id": row.document_id, "query_id": row.query_id, "label": row.grade}
        writer.writerow(cells | {"title-full": titles.get(row.document_id, "")})
    return _appended(content, added.getvalue())


def _json_with(content: bytes, rows: Iterable[Row]) -> bytes:
    """A line for each query, as in the sample."""
    entries = json.loads(content.decode("utf-8-sig"))
    by_query = {str(entry["query_id"]): entry["relevant_docs"] for entry in entries}
    for row in rows:
        by_query[row.query_id].append({"id": row.document_id, "score": row.grade})
    return ("[\n" + ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries) + "\n]\n").encode()


def _appended(content: bytes, text: str) -> bytes:
    """`text` on lines of its own after `content`."""
    gap = b"" if not content or content.endswith(b"\n") else b"\n"
    return content + gap + text.encode()

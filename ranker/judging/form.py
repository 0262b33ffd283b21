"""The form to fill in: the rows of a list to judge, with an empty column grade."""

from pathlib import Path

from ranker.common.errors import InputError
from ranker.common.files import atomic
from ranker.common.spreadsheet import write_table
from ranker.common.table import needed, read_table
from ranker.project.tables import IDS

NOT_FOR_JUDGES = ("grade", "found_by", "could_move")


def write_form(listed: Path, form: Path) -> int:
    """Write the rows of a list to judge to a new file, with an empty column grade; returns the number of rows.

    The form omits the system that found a document, because it must not influence the grade. InputError if the file
    exists, because it may have grades already.
    """
    if form.exists():
        raise InputError(f"{form}: expected a new file, found an existing one, which stays unchanged")
    rows = [cells for _, cells in read_table(listed, [["query_id", "query"], *needed("document_id")], spreadsheet=True)]
    columns = [name for name in (rows[0] if rows else IDS) if name not in NOT_FOR_JUDGES]
    with atomic(form) as partial:
        cells = ([*(row[name] for name in columns), ""] for row in rows)
        write_table(partial, [*columns, "grade"], cells, encoding="utf-8-sig")
    return len(rows)

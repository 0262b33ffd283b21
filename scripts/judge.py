"""Merge a table of grades into the file of your own judgements (fetch.judgements), or make a form to fill in.

python -m scripts.judge grades.csv --form              # a new file: the rows of results/to_judge.csv, without grades
python -m scripts.judge grades.csv [--dry-run]         # merge it, or show what it would change
"""

import argparse
from pathlib import Path

from ranker.common.errors import InputError, one_line, run_stage
from ranker.common.table import synonyms
from ranker.data.judged import write_judgements
from ranker.judging.form import write_form
from ranker.judging.merge import Merged, merge
from ranker.project import paths
from ranker.project.params import Params, load_params
from stages.join import read_collection


def report(merged: Merged, min_relevant_grade: int) -> list[str]:
    """Lines with the counts of a table's changes, and with each revised grade."""
    relevant = sum(row.grade >= min_relevant_grade for row in merged.new)
    return [
        f"{len(merged.new)} new judgements ({relevant} relevant, {merged.of_new_queries} of new queries), "
        f"{len(merged.revised)} revised, {merged.known} unchanged, {merged.without_grade} rows without a grade",
        *(
            f"revised: query {row.query_id} ({row.query}), document {row.document_id} ({row.title}): "
            f"{row.earlier.split()[-1]} -> {row.grade}"
            for row in merged.revised
        ),
    ]


def judge(table: Path, params: Params, dry_run: bool) -> None:
    if not paths.RAW.is_dir():
        raise InputError(f"{paths.RAW}: expected the judged collection, found none: dvc repro fetch")
    file = Path(params.fetch.judgements)
    named = synonyms(params.fetch.columns.model_dump())
    merged = merge(table, file, read_collection(params), params.join.document_fields, params.join.grades, named)
    for line in report(merged, params.join.min_relevant_grade):
        print(f"judge: {one_line(line)}")
    if dry_run or not merged.new + merged.revised:
        print(f"judge: {file}: {'dry run, ' if dry_run else ''}nothing written")
        return
    write_judgements(file, merged.rows)
    print(f"judge: -> {file}: commit it, because dvc exp apply undoes uncommitted changes; then dvc repro")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "file", type=Path, help="a CSV or Parquet file: query_id or query, document_id, grade (or their usual names)"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the changes without writing them")
    parser.add_argument(
        "--form",
        type=Path,
        nargs="?",
        const=paths.TO_JUDGE,
        metavar="LIST",
        help="write FILE from a list of pairs to judge",
    )
    arguments = parser.parse_args()
    if arguments.form:
        count = write_form(arguments.form, arguments.file)
        print(f"judge: {arguments.file}: {count} rows; fill in the column grade, then merge the file")
    else:
        judge(arguments.file, load_params(), arguments.dry_run)


if __name__ == "__main__":
    run_stage("judge", main)

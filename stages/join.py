"""Give each judgement its query and title, and account for every judgement that is dropped.

python -m stages.join
"""

from ranker.common.errors import run_stage
from ranker.common.files import write_json
from ranker.data.join import join
from ranker.data.tutorial import read_judgements, read_labelled_data
from ranker.project import paths, tables
from ranker.project.params import load_params
from ranker.project.tables import write_csv


def main() -> None:
    params = load_params().join
    labelled = read_labelled_data(paths.RAW_LABELLED_DATA)
    joined = join(labelled, read_judgements(paths.RAW_JUDGEMENTS), params.relevant_from)
    tables.write_table(paths.QUERIES, joined.queries)
    tables.write_table(paths.DOCUMENTS, joined.documents)
    tables.write_table(paths.PAIRS, joined.pairs)
    write_csv(paths.JOIN_FINDINGS, joined.findings)
    write_json(paths.JOIN_COUNTS, joined.counts)
    for group, counts in joined.counts.items():
        print(f"join: {group}: {', '.join(f'{count} {name}' for name, count in counts.items() if count) or 'nothing'}")


if __name__ == "__main__":
    run_stage("join", main)

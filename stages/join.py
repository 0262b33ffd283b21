"""Give each judgement its query and title, and account for every judgement that is dropped.

python -m stages.join
"""

from ranker import tables
from ranker.errors import run_stage
from ranker.files import write_csv, write_json
from ranker.judgements import read_judgements, read_labelled_data
from ranker.pairs import join
from ranker.params import load_params


def main() -> None:
    params = load_params().join
    labelled = read_labelled_data(tables.RAW_LABELLED_DATA)
    joined = join(labelled, read_judgements(tables.RAW_JUDGEMENTS), params.relevant_from)
    tables.write_table(tables.QUERIES, joined.queries)
    tables.write_table(tables.DOCUMENTS, joined.documents)
    tables.write_table(tables.PAIRS, joined.pairs)
    write_csv(tables.JOIN_FINDINGS, joined.findings)
    write_json(tables.JOIN_COUNTS, joined.counts)
    for group, counts in joined.counts.items():
        print(f"join: {group}: {', '.join(f'{count} {name}' for name, count in counts.items() if count) or 'nothing'}")


if __name__ == "__main__":
    run_stage("join", main)

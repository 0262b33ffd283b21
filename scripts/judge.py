"""Merge a filled-in list of judgements into the files of fetch.folder, which older judgements of it stay in.

python -m scripts.judge results/to_judge.csv
"""

import argparse
from pathlib import Path

from ranker.common.errors import run_stage
from ranker.judging.judged import merge_judgements
from ranker.project.params import load_params


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judged", type=Path, help="a CSV file with the columns query_id, document_id and grade")
    for line in merge_judgements(parser.parse_args().judged, load_params()):
        print(f"judge: {line}")


if __name__ == "__main__":
    run_stage("judge", main)

"""Measure this project beside its peers, in one run, and write bench/results: table.md, and latest.json with its rows.

python -m bench [--data FOLDER] [--repeats N] [--quick]

Its int8 rows measure models/ranker, the output of stage export after its gate: run `dvc repro export` first.
"""

import argparse
import os
import tempfile
from pathlib import Path

import torch
from transformers import BertConfig

from bench import data
from bench.cases import Setup, all_cases
from bench.runner import run_case
from bench.table import case_rows, page
from ranker.common.files import write_json
from ranker.contract.folder import MANIFEST_FILE
from ranker.project import paths

RESULTS = Path("bench/results")


def set_up(pairs: data.Pairs, quick: bool) -> Setup:
    """Data and models of the benchmark; `quick` takes few pairs."""
    return Setup(
        pairs=pairs.some(96) if quick else pairs,
        base_model=paths.BASE_MODEL.absolute(),
        exported=paths.RANKER.absolute(),
        share=32 if quick else 960,
    )


def describe(setup: Setup, source: Path) -> dict[str, str]:
    """Base model and data, for the page."""
    config = BertConfig.from_pretrained(setup.base_model)
    return {
        "base model": f"BERT of {config.num_hidden_layers} layers of {config.hidden_size} units",
        "data": f"{len(setup.pairs):,} pairs of {source}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data.SAMPLE, help="a folder with the tutorial's two files")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="run every case on a few pairs, as a check")
    args = parser.parse_args()
    if not (paths.RANKER / MANIFEST_FILE).is_file():
        parser.error(f"expected {paths.RANKER}, found none: run dvc repro export")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder  # for files that jobs leave, too
        if args.quick:  # a check only; beside running tests, two threads wait for each other
            torch.set_num_threads(1)
        setup = set_up(data.read_pairs(args.data), args.quick)
        rows = []
        for case in all_cases(setup):
            rows += case_rows(case, run_case(case, 1 if args.quick else args.repeats, here=args.quick))
        table = page("Side by side", describe(setup, args.data), rows)
    print(table)
    if not args.quick:
        write_json(RESULTS / "latest.json", rows)
        (RESULTS / "table.md").write_text(table, "utf-8")


if __name__ == "__main__":
    main()

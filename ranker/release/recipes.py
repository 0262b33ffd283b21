"""Two recipes, this project's and a release's, cross-validated on today's data: for releases trained on all queries."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ranker.common.errors import InputError, one_line
from ranker.common.files import read_json
from ranker.fetch.registry import take
from ranker.metrics.comparison import Against, StackTable
from ranker.metrics.ranking import MAIN
from ranker.project import paths
from ranker.project.params import Params, flat
from ranker.release.compare import against, strongest_free
from ranker.stack.stack import as_stack
from ranker.stacks.table import Measured

# A recipe's params: all that a model, or the search, is made by. The data, the folds and the names are today's.
SECTIONS = ("encode", "first_stage", "negatives", "order", "retriever", "train")
NAMES = ("fetch.base_model", "fetch.base_sha256", "join.document_fields")
PIPELINE = "crossval/dvc.yaml"
TODAY = "release-today"  # the experiment of this project's own recipe


@dataclass(frozen=True)
class Validated:
    """A cross-validation: its stacks, and the one that ships."""

    stacks: list[Measured]
    shipped: Measured


def changes(then: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """The recipe's params that a release had otherwise, with its values; params that one has alone are left out."""
    now = flat(params.model_dump())
    of_recipe = [name for name in then if name.split(".")[0] in SECTIONS or name in NAMES]
    return {name: then[name] for name in of_recipe if name in now and then[name] != now[name]}


def compare_recipes(
    then: Mapping[str, Any] | None, version: str | None, params: Params, seeds: list[int]
) -> tuple[Against | None, Against | None]:
    """The shipped stack against the strongest that costs nothing, and against the release with the params `then`.

    Each recipe is cross-validated in an experiment of its own, so the working tree stays as it is; DVC runs only what
    its cache lacks.
    """
    ours = cross_validated(TODAY, {}, params, seeds)
    free = strongest_free(ours.stacks)
    last = None
    if then is not None and version is not None:
        differ = changes(then, params)
        theirs = cross_validated(f"release-as-{version.replace('.', '-')}", differ, params, seeds) if differ else ours
        last = against(ours.shipped, aligned(theirs.shipped, ours.shipped), params.split.seed, version)
    return against(ours.shipped, free, params.split.seed) if free else None, last


def aligned(other: Measured, ours: Measured) -> Measured:
    """`other` with its queries in the order of `ours`; InputError if it measured others."""
    order = next(iter(ours.tables.values()))["query_id"]
    tables = {seed: table.set_index("query_id").reindex(order) for seed, table in other.tables.items()}
    if any(table[MAIN].isna().any() for table in tables.values()):
        raise InputError("cross-validation: expected the same queries by both recipes, found others")
    tables = {seed: table.reset_index() for seed, table in tables.items()}
    return Measured(other.name, other.stack, tables, {}, other.runs)


def cross_validated(experiment: str, differ: Mapping[str, Any], params: Params, seeds: list[int]) -> Validated:
    """Cross-validate with params changed, as an experiment of this name."""
    folds = list(range(params.split.folds))
    settings = {"crossval.folds": folds, "crossval.seeds": seeds, "crossval.shares": [], "crossval.compare": ["all"]}
    for key in differ:
        print(f"release: cross-validating {experiment} with {key} {differ[key]}", flush=True)
    subprocess.run(["dvc", "exp", "remove", experiment], capture_output=True)
    command = ["dvc", "exp", "run", "--temp", "--name", experiment, PIPELINE]
    for key, value in {**differ, **settings}.items():
        command += ["-S", f"{key}={override(value)}"]
    if subprocess.run(command).returncode:
        raise InputError(f"{PIPELINE}: expected the cross-validation {experiment} to run, found the errors above")
    return read_validated(experiment)


def override(value: object) -> str:
    """A value as `dvc exp run -S` reads it.

    >>> override([0, 1]), override("path:a b"), override(5e-05), override(["title", "text"])
    ('[0, 1]', "'path:a b'", '5e-05', "['title', 'text']")
    """
    if isinstance(value, list):
        return "[" + ", ".join(map(override, value)) + "]"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return json.dumps(value)


def experiment_ref(experiment: str) -> str:
    """The Git reference of an experiment; InputError if there is not one of this name."""
    listed = subprocess.run(["git", "for-each-ref", "--format=%(refname)", "refs/exps"], capture_output=True, text=True)
    refs = [ref for ref in listed.stdout.split() if ref.rpartition("/")[2] == experiment]
    if len(refs) != 1:
        raise InputError(f"{experiment}: expected one experiment, found {len(refs)} {one_line(listed.stderr)}")
    return refs[0]


def read_validated(experiment: str) -> Validated:
    """The measures of a finished experiment."""
    ref = experiment_ref(experiment)
    with tempfile.TemporaryDirectory() as folder:
        for name, path in (("crossval", paths.CROSSVAL), ("by_query", paths.CROSSVAL_BY_QUERY)):
            take(path, ref, Path(folder) / name)
        table: StackTable = read_json(Path(folder) / "crossval")["stacks"]
        by_query = pq.read_table(Path(folder) / "by_query").to_pandas()
    language = "en"  # of no weight here: the hits are known
    stacks = []
    for name, row in table["rows"].items():
        rows = by_query[by_query["stack"] == name]
        tables = {int(seed): of.drop(columns=["stack", "seed"]) for seed, of in rows.groupby("seed")}
        stack = as_stack({**row, "language": language})
        stacks.append(Measured(name, stack, tables, {}, row["cross_encoder_runs"], row["reference"]))
    return Validated(stacks, next(each for each in stacks if each.name == table["shipped"]))

"""Write the page with the verdict, its confidence, and each query's gain or loss.

python -m stages.report
"""

import os
from dataclasses import replace
from typing import Any, cast

import pandas as pd

from ranker.common.errors import run_stage
from ranker.common.files import read_json, sha256
from ranker.contract.folder import Manifest, Model, served_model
from ranker.metrics.comparison import Comparison, Measures
from ranker.project import paths, tables
from ranker.project.params import Params, load_params
from ranker.report.files import collection, new_version, read_last_release, read_outcome, read_results, write_page
from ranker.report.outcome import Outcome, verdict_lines
from ranker.report.page import Results, render, render_unmeasured
from ranker.report.release import Version, heading, subtitle
from ranker.report.stacks import with_costs
from ranker.stacks.costs import read_costs


def note(params: Params) -> str:
    """The scope of the figures."""
    also = "" if params.split.by == "query" else ", of queries that have other pairs in training (split.by pair)"
    held_out = f"{'split' if params.split.named else 'fold'} {params.split.held_out}"
    return (
        f"Held-out {held_out}. The exported ONNX models were measured on pairs that they were not trained on{also}. "
        "There is one split and one seed: intervals and tests cover queries only, and another training seed or chip "
        "also moves the cross-encoder's figures. The int8 model scores each pair by itself, like Vespa. A random order "
        "is given by its expectation."
    )


def counts() -> dict[str, dict[str, object]]:
    """Small tables of counts: dropped, leaked, mined, truncated and undefined; and of measures over all pairs."""
    measures: Measures = read_json(paths.MEASURES)
    found: dict[str, dict[str, object]] = {}
    found |= {f"join: {group}": values for group, values in read_json(paths.JOIN_COUNTS).items()}
    found |= {f"split: {group}": values for group, values in read_json(paths.SPLIT_COUNTS).items()}
    found["negatives"] = mined(read_json(paths.NEGATIVES))
    found["trained with"] = trained_with(read_manifest())
    found["cut"] = {**measures["cut"]}
    found["queries"] = {
        "queries": measures["queries"],
        "queries_without_a_relevant_pair": measures["queries_without_a_relevant_pair"],
    }
    return found | {f"over all pairs: {system}": {**values} for system, values in measures["over_all_pairs"].items()}


def read_manifest() -> Manifest:
    """Stage export's manifest."""
    manifest: Manifest = read_json(paths.MANIFEST)
    return manifest


def mined(found: dict[str, Any]) -> dict[str, object]:
    """Stage negatives' counts, and its rate of false negatives by hidden positives."""
    hidden = found["false_negatives"]
    rates = {name: hidden[name]["from_ranks"]["rate"] for name in ("guarded", "unguarded")}
    return {
        "queries_with_few_judged_negatives": found["queries"]["mined"],
        **{f"mined_{name}": count for name, count in found["mined"].items()},
        "hidden_positives": hidden["hidden"],
        **{f"relevant_among_mined_{name}": "not known" if rate is None else rate for name, rate in rates.items()},
    }


def trained_with(manifest: Manifest) -> dict[str, object]:
    """The training machine's precision, processes, threads, chip and versions, as stage train recorded them."""
    recorded = manifest["made_of"]["trained_on"]
    chip = {"processor": recorded["chip"]["processor"], "instructions": " ".join(recorded["chip"]["instructions"])}
    settings = {name: recorded[name] for name in ("precision", "processes", "threads")}
    return {**settings, **chip, **recorded["versions"]}


def digests(manifest: Manifest) -> dict[str, str]:
    """SHA-256 of the figures' inputs."""
    made_of = {"base model": manifest["made_of"]["base_model"], **manifest["made_of"]["data"]}
    files = {f"{paths.RANKER.as_posix()}/{name}": digest for name, digest in manifest["files"].items()}
    run = {paths.RUN.as_posix(): sha256(paths.RUN)} if paths.RUN.is_file() else {}
    return made_of | files | run


def timed(results: Results, params: Params) -> Results:
    """Add milliseconds to the table of stacks and to the depth curve, if a model of this architecture was timed."""
    reranked = results.comparison.get("reranked")
    if not reranked or not results.stacks:
        return results
    retriever = served_model(paths.RETRIEVER, params.retriever.model)
    costs = read_costs(params, cast(Model, reranked["model"]), retriever)
    if costs is None:
        return results
    depths = [row | {"ms": row["depth"] * costs.pair} for row in results.depths]
    comparison: Comparison = {**results.comparison, "stacks": with_costs(results.stacks, costs)}
    return replace(results, comparison=comparison, depths=depths, ms_of=costs.pair_tokens)


def now(params: Params) -> Version:
    """The version that params.yaml makes, with the data that stage export recorded."""
    manifest = read_manifest()
    return new_version(params, manifest["collection"], manifest["made_of"]["data"])


def outcome(params: Params) -> Outcome:
    """The outcome on the held-out queries."""
    return read_outcome(
        params,
        *(paths.COMPARISON, paths.PER_QUERY, paths.RERANKED_PER_QUERY),
        scope="on this split and seed",
        crossval=False,
        now=now(params),
        to_judge=paths.TO_JUDGE,
    )


def page(params: Params, found: Outcome) -> str:
    """The page as HTML."""
    results = read_results(
        found,
        *(tables.read_run(paths.RUN), paths.RERANKED_RUN, paths.DEPTH_CURVE),
        note=note(params),
        documents=tables.read_texts(paths.SPLIT_DOCUMENTS, paths.HIT_DOCUMENTS),
        curves={
            "reliability": pd.read_csv(paths.RELIABILITY_CURVE),
            "roc": pd.read_csv(paths.ROC_CURVE),
            "precision_recall": pd.read_csv(paths.PRECISION_RECALL_CURVE),
        },
        counts=counts(),
        params=params.model_dump(exclude={"crossval"}),
        digests=digests(read_manifest()),
        changed=tables.read_table(paths.CHANGED),
    )
    return render(timed(results, params))


def unmeasured(params: Params) -> str:
    """The page of a version that was trained on all judgements."""
    last = read_last_release(params)
    title = heading(params.export.name, params.export.version, collection(params.fetch), last)
    return render_unmeasured(title, subtitle(now(params), last), digests(read_manifest()))


def main() -> None:
    params = load_params()
    if params.split.held_out == "none":
        write_page(paths.REPORT, unmeasured(params))
    else:
        found = outcome(params)
        write_page(paths.REPORT, page(params, found))
        if os.environ.get("VERDICT") != "later":  # make repro has it said by scripts.summary
            print(*(f"report: {line}" for line in verdict_lines(found)), sep="\n")
    print(f"report: {paths.REPORT}")


if __name__ == "__main__":
    run_stage("report", main)

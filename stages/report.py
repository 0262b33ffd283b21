"""Write the page that shows whether the ranker helps, by how much, how surely, and where it hurts.

python -m stages.report
"""

from typing import Any

import pandas as pd

from ranker.common.errors import run_stage
from ranker.common.files import atomic, read_json, sha256
from ranker.project import paths, tables
from ranker.project.params import Params, load_params
from ranker.report.answer import deciding
from ranker.report.page import Results, render, render_unmeasured
from ranker.vespa.latency import ms_per_hit, read_figures


def note(params: Params) -> str:
    """What the figures are of."""
    leak = "" if params.split.by == "query" else ", but whose other pairs it was (split.by pair)"
    return (
        f"Measured with the exported ONNX models on queries that they were not trained on{leak}. One split and one "
        "seed: intervals and tests are over queries alone, and another seed of training or another chip moves the "
        "cross-encoder's figures too. The int8 model scores each pair by itself, as Vespa does. A random order is "
        "given by its expectation."
    )


def counts(measures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Small tables of what was dropped, what leaks, what is undefined, and what probabilities are worth."""
    split = measures["split"]
    joined = split.pop("joined")
    found = {f"join: {group}": values for group, values in joined.items()}
    found |= {f"split: {group}": values for group, values in split.items()}
    found["negatives"] = mined(read_json(paths.NEGATIVES))
    found["trained with"] = trained_with(measures["manifest"])
    found["cut"] = measures["cut"]
    found["queries"] = {name: measures[name] for name in ("queries", "queries_without_a_relevant_pair")}
    return found | {f"over all pairs: {system}": values for system, values in measures["over_all_pairs"].items()}


def mined(found: dict[str, Any]) -> dict[str, Any]:
    """What stage negatives mined, and how much of what it would mine was relevant: of positives that were hidden."""
    hidden = found["false_negatives"]
    rates = {name: hidden[name]["from_ranks"]["rate"] for name in ("guarded", "unguarded")}
    return {
        "queries_with_few_judged_negatives": found["queries"]["mined"],
        **{f"mined_{name}": count for name, count in found["mined"].items()},
        "hidden_positives": hidden["hidden"],
        **{f"relevant_among_mined_{name}": "not known" if rate is None else rate for name, rate in rates.items()},
    }


def trained_with(manifest: dict[str, Any]) -> dict[str, Any]:
    """What the model's weights depend on beside its inputs, as stage train recorded it."""
    recorded = manifest["made_of"]["trained_on"]
    chip = {"processor": recorded["chip"]["processor"], "instructions": " ".join(recorded["chip"]["instructions"])}
    return {name: recorded[name] for name in ("precision", "processes", "threads")} | chip | recorded["versions"]


def digests(manifest: dict[str, Any]) -> dict[str, str]:
    """SHA-256 of what the figures were made from."""
    made_of = {"base model": manifest["made_of"]["base_model"], **manifest["made_of"]["data"]}
    files = {f"{paths.RANKER.as_posix()}/{name}": digest for name, digest in manifest["files"].items()}
    run = {paths.RUN.as_posix(): sha256(paths.RUN)} if paths.RUN.is_file() else {}
    return made_of | files | run


def reranking(comparison: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of what is served, where queries were held out."""
    if "reranked" not in comparison:
        return {}
    curve, figures = pd.read_csv(paths.DEPTH_CURVE), read_figures()
    ms = ms_per_hit(figures, comparison["reranked"]["model_bytes"])
    if figures is None or ms is None:
        return {"depths": curve.to_dict("records")}
    timed = curve.assign(ms=curve["depth"] * ms).to_dict("records")
    return {"depths": timed, "ms_of": figures["tokens_per_pair"]["mean"]}


def write_page(page: str) -> None:
    with atomic(paths.REPORT) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")
    print(f"report: {paths.REPORT}")


def main() -> None:
    params = load_params()
    measures = read_json(paths.MEASURES)
    if params.split.held_out == "none":
        write_page(render_unmeasured(digests(measures["manifest"])))
        return
    comparison = read_json(paths.COMPARISON)
    served = deciding(comparison) is not comparison
    per_query = paths.RERANKED_PER_QUERY if served else paths.PER_QUERY
    results = Results(
        title=f"Held-out {'split' if params.split.named else 'fold'} {params.split.held_out}",
        scope="on this split and seed",
        note=note(params),
        comparison=comparison,
        per_query=pd.read_csv(per_query, dtype={"query_id": str, "query": str}, keep_default_na=False),
        run=tables.read_run(paths.RERANKED_RUN if served else paths.RUN),
        documents=tables.read_texts(paths.SPLIT_DOCUMENTS, paths.HIT_DOCUMENTS),
        curves={
            "reliability": pd.read_csv(paths.RELIABILITY_CURVE),
            "roc": pd.read_csv(paths.ROC_CURVE),
            "precision_recall": pd.read_csv(paths.PRECISION_RECALL_CURVE),
        },
        counts=counts(measures),
        params=params.model_dump(exclude={"crossval"}),
        digests=digests(measures["manifest"]),
        to_judge=paths.TO_JUDGE,
        **reranking(comparison),
    )
    write_page(render(results))


if __name__ == "__main__":
    run_stage("report", main)

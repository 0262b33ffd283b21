"""Measure the exported ranker on the held-out queries, beside what it has to beat.

python -m stages.evaluate
"""

from typing import Any

import pandas as pd
from sklearn.metrics import roc_auc_score

from ranker.common.errors import InputError, run_stage
from ranker.common.files import atomic, read_json, write_json
from ranker.contract.folder import MANIFEST_FILE, MODEL_FILES
from ranker.evaluation.baselines import SCORED, UNTRAINED, baseline_scores
from ranker.evaluation.reranking import (
    compare_hits,
    compared_systems,
    deciding_table,
    depth_curve,
    measure_hits,
    orders,
    reranked_run,
    smallest_depth,
)
from ranker.evaluation.shipped import SHIPPED, cut_audit, served_model
from ranker.evaluation.significance import compare
from ranker.evaluation.systems import Measured, measure_systems, undefined, withheld
from ranker.evaluation.to_judge import write_empty_list, write_list
from ranker.evaluation.trec_files import runs_of, write_trec_files
from ranker.metrics.classification import (
    classification_measures,
    precision_recall,
    reliability_curve,
    roc,
)
from ranker.metrics.ranking import mean_measures, per_query_table, relevant_queries
from ranker.project import paths, tables
from ranker.project.documents import read_some_fields
from ranker.project.params import Params, load_params
from ranker.project.versions import say_other_versions
from ranker.splits.folds import held_out_pairs, unseen_by_training


def classify(run: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Measures over all pairs, whatever their query: the cross-encoder's probabilities, and the order of SCORED."""
    relevant = run["relevant"].to_numpy()
    found = {"cross_encoder": classification_measures(relevant, run["cross_encoder"].to_numpy())}
    return found | {system: {"ROC AUC": float(roc_auc_score(relevant, run[system]))} for system in SCORED}


def compare_unseen(run: pd.DataFrame, systems: list[str], seed: int) -> dict[str, Any]:
    """The same comparison over the pairs whose document training had not seen."""
    counts = {"queries": run["query_id"].nunique(), "pairs": len(run)}
    measured = measure_systems(run, systems).systems if len(run) else {}
    if "cross_encoder" not in measured or counts["queries"] < 2:  # a document or so of each query has no order
        return counts
    compared = compare(measured, UNTRAINED, seed)
    compared["headline"] |= withheld(run)
    return counts | compared


def write_measures(run: pd.DataFrame, measured: Measured, comparison: dict[str, Any], details: dict[str, Any]) -> None:
    """One flat file of metrics for each system, which `dvc metrics show` makes a table of; and all else."""
    with atomic(paths.METRICS) as partial:
        partial.mkdir()
        for system, table in measured.systems.items():
            write_json(partial / f"{system}.json", mean_measures(table))
    write_json(paths.MEASURES, details)
    queries = tables.read_judged_texts(paths.SPLIT_QUERIES)
    strongest = comparison["headline"]["strongest"]
    tables.write_csv(paths.PER_QUERY, per_query_table(run, queries, measured.systems, strongest))


def write_curves(run: pd.DataFrame) -> None:
    """Calibration, ROC and precision-recall: the data of DVC's plots and the report's."""
    bins = reliability_curve(run["relevant"].to_numpy(), run["cross_encoder"].to_numpy())
    tables.write_csv(paths.RELIABILITY_CURVE, bins.assign(calibrated=bins["probability"]))
    tables.write_csv(paths.ROC_CURVE, roc(run, ("cross_encoder", *SCORED)))
    tables.write_csv(paths.PRECISION_RECALL_CURVE, precision_recall(run, ("cross_encoder", *SCORED)))


def held_out_run(params: Params) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Held-out pairs with the scores of every system, and of these the unseen documents' alone."""
    queries, documents = tables.read_judged_texts(paths.SPLIT_QUERIES), tables.read_judged_texts(paths.SPLIT_DOCUMENTS)
    embedded = tables.read_embeddings(paths.EMBEDDED_QUERIES), tables.read_embeddings(paths.EMBEDDED_DOCUMENTS)
    _, held_out = held_out_pairs(tables.read_table(paths.SPLIT_PAIRS), params.split.held_out)
    run = tables.read_run(paths.SCORED_PAIRS)
    if not run[tables.IDS].equals(held_out[tables.IDS]):
        raise InputError(f"{paths.SCORED_PAIRS}: expected the held-out pairs of {paths.SPLIT_PAIRS}, found others")
    fields = read_some_fields(documents["document_id"])
    run = run.join(baseline_scores(run, queries, fields, embedded, params.first_stage.language))
    unseen = unseen_by_training(held_out, tables.read_table(paths.MINED_PAIRS))
    return run, run[unseen]


def rerank(params: Params, judged: pd.DataFrame) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The comparison of what is served, the first stage's best hits reordered, and its runs.

    `judged` are pairs of queries that have a relevant one; what stands in for judged documents is left out.
    """
    judged = judged[judged["judged"]].reset_index(drop=True)
    count = params.vespa.rerank_count
    hits = tables.read_table(paths.SCORED_HITS)
    hits = hits[hits["query_id"].isin(judged["query_id"])].reset_index(drop=True)
    measured = measure_hits(judged, hits, count)
    with atomic(paths.RERANKED_METRICS) as partial:
        partial.mkdir()
        for system, table in measured.items():
            write_json(partial / f"{system}.json", mean_measures(table))
    systems = {name: table for name, table in measured.items() if name != "perfect"}
    compared = compare_hits(systems, measured["perfect"], params.split.seed)
    queries = tables.read_judged_texts(paths.SPLIT_QUERIES)
    strongest = compared["headline"]["strongest"]
    tables.write_csv(paths.RERANKED_PER_QUERY, per_query_table(judged, queries, measured, strongest))
    curve = depth_curve(judged, [hits])
    tables.write_csv(paths.DEPTH_CURVE, curve)
    model = served_model(paths.RANKER, params.vespa.model)
    size = (paths.RANKER / MODEL_FILES[model]).stat().st_size
    settings = {"first_stage": params.first_stage.by, "model": model, "model_bytes": size, "count": count}
    ordered = orders(judged, hits, count)
    tables.write_run(paths.RERANKED_RUN, reranked_run(judged, ordered))
    write_list(paths.TO_JUDGE, judged, ordered, compared_systems(strongest), params.join.grades)
    runs = runs_of(ordered, ("cross_encoder", "first_stage"), "reranked-")
    return {**settings, **compared, "smallest_depth": smallest_depth(curve)}, runs


def audit(run: pd.DataFrame) -> dict[str, Any]:
    """What the tables do not show: of what they are made, and what of it was cut."""
    cut = cut_audit(run)
    if cut["pairs_cut"]:
        print(
            f"evaluate: warning: {cut['queries_cut']} of {cut['queries']} queries and {cut['documents_cut']} documents "
            f"are cut: nDCG@10 {cut['nDCG@10']:.3f}, uncut {cut['nDCG@10_uncut']:.3f} (encode.*_input_size)",
            flush=True,
        )
    return {
        "cut": cut,
        "split": read_json(paths.SPLIT_COUNTS),
        "manifest": read_json(paths.RANKER / MANIFEST_FILE),
    }


def write_nothing_measured() -> None:
    """Where all judgements were trained on, no query is left to measure on: that is the cross-validation's to do."""
    with atomic(paths.METRICS) as partial:
        partial.mkdir()
        write_json(partial / "none.json", {})  # DVC warns of empty folders
    write_json(paths.COMPARISON, {"headline": {"verdict": "not measured"}})
    write_json(paths.MEASURES, {"manifest": read_json(paths.RANKER / MANIFEST_FILE)})
    write_empty_list(paths.TO_JUDGE)
    print("evaluate: split.held_out none: no query is left to measure on; `make crossval` measures this recipe")


def main() -> None:
    params = load_params()
    say_other_versions("evaluate")
    seed = params.split.seed
    if params.split.held_out == "none":
        write_nothing_measured()
        return
    held_out, unseen = held_out_run(params)
    systems = [name for name in (*SHIPPED, *SCORED) if name in held_out]
    run = relevant_queries(held_out)
    measured = measure_systems(run, systems)
    comparison = compare(measured.systems, UNTRAINED, seed) | {
        "left_out": measured.left_out,
        "unseen_documents": compare_unseen(relevant_queries(unseen), systems, seed),
    }
    comparison["headline"] |= withheld(run)
    details = undefined(held_out, run, measured) | audit(held_out)
    details["over_all_pairs"] = classify(held_out)
    write_measures(run, measured, comparison, details)
    write_curves(held_out)
    tables.write_run(paths.RUN, held_out.drop(columns="uncut"))
    runs = runs_of(run, systems)
    if params.split.by == "query":
        comparison["reranked"], served = rerank(params, run)
        comparison["decides"] = deciding_table(comparison["reranked"])
        runs |= served
    else:
        comparison["decides"] = {"table": "judged", "system": None, "judged": None}
        write_empty_list(paths.TO_JUDGE)
    write_json(paths.COMPARISON, comparison)
    write_trec_files(run, runs, paths.TREC_FILES)
    means = {system: mean_measures(table) for system, table in measured.systems.items()}
    print(pd.DataFrame(means).T.to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    run_stage("evaluate", main)

"""Measure the exported ranker and the baselines on the held-out queries.

python -m stages.evaluate
"""

import pandas as pd
from sklearn.metrics import roc_auc_score

from ranker.common.errors import InputError, run_stage
from ranker.common.files import atomic, write_json
from ranker.contract.folder import MODEL_FILES, served_model
from ranker.evaluation.baselines import baseline_scores, read_judged
from ranker.evaluation.compare import Evaluation, Served, cut_audit, evaluate, undefined
from ranker.evaluation.last_release import by_query, compare_shipped, gains
from ranker.evaluation.means import means_table, write_means
from ranker.evaluation.reranking import reranked_run
from ranker.evaluation.to_judge import write_empty_list, write_list
from ranker.evaluation.trec_files import runs_of, write_trec_files
from ranker.metrics.classification import (
    classification_measures,
    precision_recall,
    reliability_curve,
    roc,
)
from ranker.metrics.comparison import Cut, Decides, OverAllPairs, Shipped
from ranker.metrics.ranking import per_query_table
from ranker.metrics.systems import BASELINES
from ranker.metrics.verdict import NOT_MEASURED
from ranker.project import paths, tables
from ranker.project.params import Params, load_params
from ranker.project.preflight import say_other_versions
from ranker.project.sides import held_out_pairs, unseen_by_training
from ranker.stacks.shipped import shipped_stack
from ranker.stacks.table import stack_table

ONE = 0  # stands for the exported model's seed, the only one measured here


def classify(run: pd.DataFrame) -> OverAllPairs:
    """Measures over the pairs of all queries together: the cross-encoder's probabilities, the baselines' order."""
    relevant = run["relevant"].to_numpy()
    found = {"cross_encoder": classification_measures(relevant, run["cross_encoder"].to_numpy())}
    return found | {system: {"ROC AUC": float(roc_auc_score(relevant, run[system]))} for system in BASELINES}


def write_curves(run: pd.DataFrame) -> None:
    """Write calibration, ROC and precision-recall, for DVC's plots and the report's."""
    bins = reliability_curve(run["relevant"].to_numpy(), run["cross_encoder"].to_numpy())
    tables.write_csv(paths.RELIABILITY_CURVE, bins.assign(calibrated=bins["probability"]))
    tables.write_csv(paths.ROC_CURVE, roc(run, ("cross_encoder", *BASELINES)))
    tables.write_csv(paths.PRECISION_RECALL_CURVE, precision_recall(run, ("cross_encoder", *BASELINES)))


def held_out_run(params: Params) -> pd.DataFrame:
    """Held-out pairs with the scores of every system, and `unseen`, true if training did not see the document."""
    pairs = tables.read_table(paths.SPLIT_PAIRS)
    _, held_out = held_out_pairs(pairs, params.split.held_out)
    run = tables.read_run(paths.SCORED_PAIRS)
    if not run[tables.IDS].equals(held_out[tables.IDS]):
        raise InputError(f"{paths.SCORED_PAIRS}: expected the held-out pairs of {paths.SPLIT_PAIRS}, found others")
    unseen = unseen_by_training(held_out, tables.read_table(paths.MINED_PAIRS))
    texts = read_judged(pairs, params.first_stage.language)
    return run.join(baseline_scores(run, texts)).assign(unseen=unseen)


def write_served(served: Served, decides: Decides, queries: pd.DataFrame, params: Params) -> None:
    """Write the evaluation of the served rankings; adds the rows to judge to `decides`."""
    strongest = served.comparison["headline"]["strongest"]
    tables.write_csv(paths.RERANKED_PER_QUERY, per_query_table(served.judged, queries, served.means, strongest))
    tables.write_csv(paths.DEPTH_CURVE, served.curve)
    tables.write_run(paths.RERANKED_RUN, reranked_run(served.judged, served.ordered))
    scored, scale = (served.judged, served.ordered, served.firsts), params.join.grades
    decides["rows"] = write_list(paths.TO_JUDGE, *scored, strongest, scale)


def by_stack(served: Served) -> dict[str, pd.DataFrame]:
    """Each stack's measures per query."""
    return {each.name: next(iter(each.tables.values())) for each in served.stacks}


def write_evaluation(found: Evaluation, params: Params) -> None:
    """Write the comparison, and a flat file of measures for each system, for `dvc metrics show`."""
    comparison, means, served, shipped = found.comparison, found.measures.means, found.served, Shipped()
    if served:
        shipped, served = compare_shipped(served, params, paths.CHANGED)
    queries = tables.read_texts(paths.SPLIT_QUERIES)
    inner = {paths.RERANKED_METRICS.name: served.means, paths.STACK_METRICS.name: by_stack(served)} if served else {}
    write_means(paths.METRICS, means, inner)
    strongest = comparison["headline"]["strongest"]
    tables.write_csv(paths.PER_QUERY, per_query_table(found.judged, queries, means, strongest))
    runs, qrels = runs_of(found.judged, [name for name in means if name in found.judged]), {"qrels": found.judged}
    if served:
        qrels |= {"reranked-qrels": served.judged} if comparison["queries_left_out"] else {}
        write_served(served, comparison["decides"], queries, params)
        runs |= runs_of(served.ordered, ("cross_encoder", "first_stage"), "reranked-")
        model = served_model(paths.RANKER, params.vespa.model)
        size = (paths.RANKER / MODEL_FILES[model]).stat().st_size
        comparison["reranked"] = {
            "first_stage": params.first_stage.retriever,
            "model": model,
            "model_bytes": size,
            **served.comparison,
        }
        comparison["stacks"] = stack_table(served.stacks, shipped_stack(params).name, params.split.seed)
    else:
        write_empty_list(paths.TO_JUDGE)
        tables.write_table(paths.CHANGED, pd.DataFrame(columns=tables.CHANGED.names))
    write_json(paths.GAINS, gains(shipped))
    tables.write_table(paths.BY_QUERY, by_query(served.stacks if served else []))
    write_json(paths.COMPARISON, {**comparison, **shipped})
    write_trec_files(qrels, runs, paths.TREC_FILES)


def audit_cut(run: pd.DataFrame) -> Cut:
    """Count truncated texts, and warn of them."""
    cut = cut_audit(run)
    if cut["pairs_cut"]:
        print(
            f"evaluate: warning: {cut['queries_cut']} of {cut['queries']} queries and {cut['documents_cut']} documents "
            f"are cut: nDCG@10 {cut['nDCG@10']:.3f}, uncut {cut['nDCG@10_uncut']:.3f} (encode.*_input_size)",
            flush=True,
        )
    return cut


def write_nothing_measured() -> None:
    """Write empty outputs for a model trained on all judgements; cross-validation measures its recipe."""
    with atomic(paths.METRICS) as partial:
        partial.mkdir()
        write_json(partial / "none.json", {})  # DVC warns of empty folders
    write_json(paths.COMPARISON, {"headline": {"verdict": NOT_MEASURED}})
    write_json(paths.MEASURES, {})
    write_json(paths.GAINS, {})
    write_empty_list(paths.TO_JUDGE)
    print("evaluate: split.held_out none: all queries are trained on; `make crossval` measures this recipe")


def main() -> None:
    params = load_params()
    say_other_versions("evaluate")
    if params.split.held_out == "none":
        write_nothing_measured()
        return
    run = held_out_run(params)
    hits = tables.read_table(paths.SCORED_HITS) if params.split.by == "query" else None
    found = evaluate({ONE: run}, {} if hits is None else {ONE: hits}, params)
    write_evaluation(found, params)
    counts = undefined(run, found.judged, found.measures)
    write_json(paths.MEASURES, {**counts, "cut": audit_cut(run), "over_all_pairs": classify(run)})
    write_curves(run)
    tables.write_run(paths.RUN, run.drop(columns=["uncut", "unseen"]))
    print(means_table(found.measures.means))


if __name__ == "__main__":
    run_stage("evaluate", main)

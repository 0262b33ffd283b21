"""Measure the exported ranker on the held-out queries, beside what it has to beat.

python -m stages.evaluate
"""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from ranker.common.errors import run_stage
from ranker.common.files import write_json
from ranker.evaluation.baselines import BASELINES, baseline_scores
from ranker.evaluation.significance import compare
from ranker.metrics.classification import classification_measures, precision_recall, reliability_curve, roc
from ranker.metrics.ranking import mean_measures, measure_systems, per_query_table, relevant_queries
from ranker.project import paths, tables
from ranker.project.params import load_params
from ranker.project.tables import write_csv
from ranker.serving.ranker import Ranker
from ranker.splits.folds import held_out_pairs
from ranker.splits.leakage import unseen_pairs

SYSTEMS = ("ranker", *BASELINES)


def score_with_ranker(pairs: pd.DataFrame, batch_tokens: int) -> np.ndarray:
    """Scores of the ONNX model that ships, float32 [pairs]."""
    queries, documents = tables.read_tokens(paths.ENCODED_QUERIES), tables.read_tokens(paths.ENCODED_DOCUMENTS)
    return Ranker(paths.RANKER).score_pairs(
        [queries[row] for row in queries.rows(pairs["query_id"])],
        [documents[row] for row in documents.rows(pairs["document_id"])],
        batch_tokens,
        partial(tqdm, desc="score", unit="batch", disable=None),
    )


def classify(run: pd.DataFrame) -> dict[str, dict[str, float]]:
    """What is measured over all pairs, whatever their query: the ranker's probabilities, and every system's order."""
    labels = run["label"].to_numpy()
    orders = {system: {"ROC AUC": float(roc_auc_score(labels, run[system]))} for system in BASELINES}
    return {"ranker": classification_measures(labels, run["ranker"].to_numpy())} | orders


def measure_slice(run: pd.DataFrame) -> dict[str, Any]:
    """Mean measures over the queries that have a relevant pair among these, and how many they are."""
    run = relevant_queries(run)
    counts = {"queries": run["query_id"].nunique(), "pairs": len(run)}
    if run.empty:
        return counts
    return counts | {name: mean_measures(table) for name, table in measure_systems(run, SYSTEMS).items()}


def write_curves(run: pd.DataFrame) -> None:
    """Calibration, ROC and precision-recall: the data of DVC's plots and the report's."""
    bins = reliability_curve(run["label"].to_numpy(), run["ranker"].to_numpy())
    diagonal = bins["probability"]
    write_csv(paths.RELIABILITY_CURVE, bins.assign(calibrated=diagonal))
    write_csv(paths.ROC_CURVE, roc(run, SYSTEMS))
    write_csv(paths.PRECISION_RECALL_CURVE, precision_recall(run, SYSTEMS))


def main() -> None:
    params = load_params()
    texts = tables.read_table(paths.QUERIES), tables.read_table(paths.DOCUMENTS)
    embedded = tables.read_embeddings(paths.EMBEDDED_QUERIES), tables.read_embeddings(paths.EMBEDDED_DOCUMENTS)
    pairs, folds = tables.read_table(paths.PAIRS), tables.read_table(paths.FOLDS)
    training, run = held_out_pairs(pairs, folds, params.split.held_out)
    run["ranker"] = score_with_ranker(run, params.train.eval_batch_tokens)
    run = run.join(baseline_scores(run, training, texts, embedded, params.split.seed))
    measured = measure_systems(run, SYSTEMS)
    classified = classify(run)
    measures = {system: mean_measures(table) | classified[system] for system, table in measured.items()}
    unseen = measure_slice(run[unseen_pairs(training, run, texts[1])])
    tables.write_table(paths.RUN, run)
    write_csv(paths.PER_QUERY, per_query_table(run, texts[0], measured))
    write_curves(run)
    write_json(paths.COMPARISON, compare(measured, params.split.seed))
    write_json(paths.MEASURES, measures | {"unseen_documents": unseen})
    print(pd.DataFrame(measures).T.to_string(float_format="{:.3f}".format, na_rep=""))


if __name__ == "__main__":
    run_stage("evaluate", main)

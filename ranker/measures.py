"""Measures of a ranking, by ir_measures, and of a classifier, by scikit-learn."""

import ir_measures
import numpy as np
import pandas as pd
from ir_measures import AP, RR, P, nDCG
from scipy.special import expit
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score


def ranking_measures(pairs: pd.DataFrame, scores: np.ndarray, relevant_from: int) -> pd.DataFrame:
    """Measures of each query's ranking of its judged documents by falling score.

    `pairs` has query_id, document_id and grade; `scores` is float [pairs]. Returns one row per query, in order of
    first appearance, with query_id, nDCG@10 (gain = grade, discount = log2, ideal from the judged documents), P@5, AP
    and RR (relevant = grade of at least `relevant_from`). Equal scores are ordered by document_id, falling, as in
    trec_eval. ValueError if a score is not finite: trec_eval would rank it somewhere.
    """
    if not np.isfinite(scores).all():
        raise ValueError("expected finite scores, found NaN or infinity")
    named = {
        "nDCG@10": nDCG @ 10,
        "P@5": P(rel=relevant_from) @ 5,
        "AP": AP(rel=relevant_from),
        "RR": RR(rel=relevant_from),
    }
    qrels = pd.DataFrame(
        {"query_id": pairs["query_id"], "doc_id": pairs["document_id"], "relevance": pairs["grade"].astype(int)}
    )
    run = pd.DataFrame({"query_id": pairs["query_id"], "doc_id": pairs["document_id"], "score": scores.astype(float)})
    table = pd.DataFrame(index=pd.Index(pairs["query_id"].unique(), name="query_id"), columns=list(named), dtype=float)
    names = {measure: name for name, measure in named.items()}
    for metric in ir_measures.iter_calc(list(named.values()), qrels, run):
        table.loc[metric.query_id, names[metric.measure]] = metric.value
    return table.reset_index()


def mean_measures(per_query: pd.DataFrame) -> dict[str, float]:
    """Mean over queries of each measure of `ranking_measures`."""
    return {str(name): float(value) for name, value in per_query.drop(columns="query_id").mean().items()}


def probability(scores: np.ndarray) -> np.ndarray:
    """Probability that a pair is relevant, float [pairs], from logit 1 - logit 0."""
    return np.asarray(expit(scores.astype(float)))


def classification_measures(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Log loss (nats), accuracy at probability 0.5 and ROC AUC from 0/1 labels and logit 1 - logit 0."""
    relevant = probability(scores)
    return {
        "log loss": float(log_loss(labels, relevant)),
        "accuracy": float(accuracy_score(labels, relevant >= 0.5)),
        "ROC AUC": float(roc_auc_score(labels, scores)),
    }

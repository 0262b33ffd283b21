"""Measures of a ranking, by ir_measures; of a classifier, by scikit-learn; of how alike two rankings are, by scipy."""

from collections.abc import Iterable

import ir_measures
import numpy as np
import pandas as pd
from ir_measures import AP, RR, Judged, P, nDCG
from scipy.special import expit
from scipy.stats import kendalltau
from sklearn.metrics import accuracy_score, log_loss, precision_recall_curve, roc_auc_score, roc_curve

EXPONENTIAL = "nDCG@10 (exponential gain)"
POINTS = np.arange(101) / 100  # of the curves
BINS = 10  # of the reliability curve, each with as many pairs


def ranking_measures(pairs: pd.DataFrame, scores: np.ndarray, relevant_from: int) -> pd.DataFrame:
    """Measures of each query's ranking of its judged documents by falling score.

    `pairs` has query_id, document_id and grade; `scores` is float [pairs]. Returns one row per query, in order of
    first appearance, with query_id, nDCG@10 (gain = grade, discount = log2, ideal from the judged documents), the same
    with gain = 2^grade - 1, P@5, AP and RR (relevant = grade of at least `relevant_from`). Equal scores are ordered by
    document_id, falling, as in trec_eval. ValueError if a score is not finite: trec_eval would rank it somewhere.
    """
    if not np.isfinite(scores).all():
        raise ValueError("expected finite scores, found NaN or infinity")
    linear = {nDCG @ 10: "nDCG@10"}
    binary = {P(rel=relevant_from) @ 5: "P@5", AP(rel=relevant_from): "AP", RR(rel=relevant_from): "RR"}
    grades = pairs["grade"].to_numpy().clip(min=0)
    run = pd.DataFrame({"query_id": pairs["query_id"], "doc_id": pairs["document_id"], "score": scores.astype(float)})
    # Gains that nDCG(gains=...) maps would, in one call, be those of the other measures too (ir_measures 0.4.3).
    passes = ((linear, grades), ({nDCG @ 10: EXPONENTIAL}, 2**grades - 1), (binary, grades))
    names = [name for named, _ in passes for name in named.values()]
    table = pd.DataFrame(index=pd.Index(pairs["query_id"].unique(), name="query_id"), columns=names, dtype=float)
    for named, gains in passes:
        qrels = pd.DataFrame(
            {"query_id": pairs["query_id"], "doc_id": pairs["document_id"], "relevance": gains.astype(int)}
        )
        for metric in ir_measures.iter_calc(list(named), qrels, run):
            table.loc[metric.query_id, named[metric.measure]] = metric.value
    return table.reset_index()


def judged_share(run: pd.DataFrame, scores: np.ndarray) -> pd.DataFrame:
    """Judged@10, the share of each query's ten best pairs that were judged: query_id and Judged@10.

    `run` has query_id, document_id and judged (bool); of fewer than ten pairs, it is their share.
    """
    judged = run[run["judged"]]
    qrels = pd.DataFrame({"query_id": judged["query_id"], "doc_id": judged["document_id"], "relevance": 0})
    ranked = pd.DataFrame({"query_id": run["query_id"], "doc_id": run["document_id"], "score": scores.astype(float)})
    found = {metric.query_id: metric.value for metric in ir_measures.iter_calc([Judged @ 10], qrels, ranked)}
    query_ids = run["query_id"].unique()
    return pd.DataFrame({"query_id": query_ids, "Judged@10": [found[query_id] for query_id in query_ids]})


def kendall_tau(pairs: pd.DataFrame, scores: np.ndarray, others: np.ndarray) -> float:
    """Kendall's tau-b of two systems' scores, mean over queries: 1 where they order each query's documents alike.

    `pairs` has query_id; scores are float [pairs]. A query of one document counts 1, and so does one whose scores are
    all equal on both sides; equal on one side alone, 0.
    """
    taus = []
    for rows in pairs.groupby("query_id", sort=False).indices.values():
        orders = np.ptp(scores[rows]) > 0, np.ptp(others[rows]) > 0  # whether there is one
        taus.append(kendalltau(scores[rows], others[rows]).statistic if all(orders) else float(not any(orders)))
    return float(np.mean(taus))


def top_overlap(pairs: pd.DataFrame, scores: np.ndarray, others: np.ndarray, top: int) -> float:
    """The share of each query's `top` best documents that another system has among its own, mean over queries.

    `pairs` has query_id; scores are float [pairs]. Of fewer documents than `top`, all are compared.
    """
    shares = []
    for rows in pairs.groupby("query_id", sort=False).indices.values():
        best, other = (set(np.argsort(-side[rows], kind="stable")[:top]) for side in (scores, others))
        shares.append(len(best & other) / len(best))
    return float(np.mean(shares))


def measure_systems(run: pd.DataFrame, systems: Iterable[str], relevant_from: int) -> dict[str, pd.DataFrame]:
    """`ranking_measures` of each system, whose scores are the column of `run` that is named so."""
    return {system: ranking_measures(run, run[system].to_numpy(), relevant_from) for system in systems}


def per_query_table(run: pd.DataFrame, queries: pd.DataFrame, measured: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per query: its text, its judged and relevant pairs, each system's measures, the gain over BM25.

    `name` is the id and the text: what a plot has one bar of.
    """
    texts = queries["query"].str.split().str.join(" ")  # a line each in CSV
    queries = pd.DataFrame(
        {"query_id": queries["query_id"], "query": texts, "name": queries["query_id"] + " · " + texts}
    )
    table = queries.merge(run.groupby("query_id")["label"].agg(pairs="size", relevant="sum").reset_index())
    for system, per_query in measured.items():
        table = table.merge(per_query.set_index("query_id").add_prefix(f"{system} ").reset_index())
    return table.assign(gain=table["ranker nDCG@10"] - table["bm25 nDCG@10"])


def relevant_queries(run: pd.DataFrame) -> pd.DataFrame:
    """The rows of queries that have a relevant pair among them; of others, no ranking is better than another."""
    return run[run.groupby("query_id")["label"].transform("any")].reset_index(drop=True)


def mean_measures(per_query: pd.DataFrame) -> dict[str, float]:
    """Mean over queries of each measure of `ranking_measures`."""
    return {str(name): float(value) for name, value in per_query.drop(columns="query_id").mean().items()}


def probability(scores: np.ndarray) -> np.ndarray:
    """Probability that a pair is relevant, float [pairs], from logit 1 - logit 0."""
    return np.asarray(expit(scores.astype(float)))


def classification_measures(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Log loss (nats), accuracy at 0.5, ROC AUC and calibration error, from 0/1 labels and logit 1 - logit 0.

    The calibration error is the expected one (ECE): the mean over `reliability_curve`'s bins, weighted by their pairs,
    of |mean probability - share of relevant pairs|.
    """
    bins = reliability_curve(labels, scores)
    relevant = probability(scores)
    return {
        "log loss": float(log_loss(labels, relevant)),
        "accuracy": float(accuracy_score(labels, relevant >= 0.5)),
        "ROC AUC": float(roc_auc_score(labels, scores)),
        "calibration error": float(
            np.average((bins["probability"] - bins["relevant_share"]).abs(), weights=bins["pairs"])
        ),
    }


def reliability_curve(labels: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """Pairs in order of their probability, in BINS bins of as many: probability and relevant_share (means), pairs."""
    table = pd.DataFrame({"probability": probability(scores), "relevant_share": labels})
    table = table.sort_values("probability", kind="stable", ignore_index=True)
    bins = table.groupby(np.arange(len(table)) * BINS // len(table))
    return bins.mean().assign(pairs=bins.size()).reset_index(drop=True)


def roc(run: pd.DataFrame, systems: Iterable[str]) -> pd.DataFrame:
    """ROC curves over all pairs, whatever their query, at POINTS rates: false_positive_rate, and one column a system.

    `run` has label (0 or 1) and the systems' scores.
    """
    table = pd.DataFrame({"false_positive_rate": POINTS})
    for system in systems:
        false_positives, true_positives, _ = roc_curve(run["label"], run[system])
        table[system] = np.interp(POINTS, false_positives, true_positives)
    return table


def precision_recall(run: pd.DataFrame, systems: Iterable[str]) -> pd.DataFrame:
    """Interpolated precision over all pairs, whatever their query, at POINTS recalls: recall, and one column a system.

    It is the best precision at this recall or a higher one. `run` has label (0 or 1) and the systems' scores.
    """
    table = pd.DataFrame({"recall": POINTS})
    for system in systems:
        precision, recall, _ = precision_recall_curve(run["label"], run[system])  # of falling recall, to 0
        best = np.maximum.accumulate(precision)
        table[system] = best[len(recall) - 1 - np.searchsorted(recall[::-1], POINTS)]
    return table

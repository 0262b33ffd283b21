"""Measures of a ranking, by ir_measures; of a classifier, by scikit-learn; of how alike two rankings are, by scipy."""

from collections.abc import Iterable

import ir_measures
import numpy as np
import pandas as pd
from ir_measures import AP, RR, P, nDCG

EXPONENTIAL = "nDCG@10 (exponential gain)"


def ranking_measures(pairs: pd.DataFrame, scores: np.ndarray) -> pd.DataFrame:
    """Measures of each query's ranking of its judged documents by falling score.

    `pairs` has query_id, document_id, grade and label; `scores` is float [pairs]. Returns one row per query, in order
    of first appearance, with query_id, nDCG@10 (gain = grade, discount = log2, ideal from the judged documents), the
    same with gain = 2^grade - 1, P@5, AP and RR (relevant = label 1). Equal scores are ordered by document_id, falling,
    as in trec_eval. ValueError if a score is not finite: trec_eval would rank it somewhere.
    """
    if not np.isfinite(scores).all():
        raise ValueError("expected finite scores, found NaN or infinity")
    linear = {nDCG @ 10: "nDCG@10"}
    binary = {P @ 5: "P@5", AP: "AP", RR: "RR"}
    grades = pairs["grade"].to_numpy().clip(min=0)
    run = pd.DataFrame({"query_id": pairs["query_id"], "doc_id": pairs["document_id"], "score": scores.astype(float)})
    # Gains that nDCG(gains=...) maps would, in one call, be those of the other measures too (ir_measures 0.4.3).
    passes = ((linear, grades), ({nDCG @ 10: EXPONENTIAL}, 2**grades - 1), (binary, pairs["label"].to_numpy()))
    names = [name for named, _ in passes for name in named.values()]
    table = pd.DataFrame(index=pd.Index(pairs["query_id"].unique(), name="query_id"), columns=names, dtype=float)
    for named, gains in passes:
        qrels = pd.DataFrame(
            {"query_id": pairs["query_id"], "doc_id": pairs["document_id"], "relevance": gains.astype(int)}
        )
        for metric in ir_measures.iter_calc(list(named), qrels, run):
            table.loc[metric.query_id, named[metric.measure]] = metric.value
    return table.reset_index()


def measure_systems(run: pd.DataFrame, systems: Iterable[str]) -> dict[str, pd.DataFrame]:
    """`ranking_measures` of each system, whose scores are the column of `run` that is named so."""
    return {system: ranking_measures(run, run[system].to_numpy()) for system in systems}


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

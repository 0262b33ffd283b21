"""Measures of rankings by ir_measures, and their expectation for a random order."""

from collections.abc import Mapping, Sequence
from typing import Any

import ir_measures
import numpy as np
import pandas as pd
from ir_measures import AP, RR, P, R, nDCG

MAIN = "nDCG@10"  # the measure of verdicts
CONDENSED = f"{MAIN}, condensed"  # of lists without their unjudged documents: Sakai, SIGIR 2007
JUDGED = "Judged@10"
DISCOUNTS = 1 / np.log2(np.arange(2, 12))  # of ranks 1 to 10
GRADED = {nDCG @ 10: "nDCG@10"}  # the gain is the grade
BINARY = {RR: "RR@10", AP: "AP", P @ 5: "P@5"}  # RR is cut below: ir_measures' RR@10 breaks ties differently
MEASURES = (*GRADED.values(), *BINARY.values())


def ranking_measures(run: pd.DataFrame, scores: np.ndarray) -> pd.DataFrame:
    """Measures of each query's ranking of its judged documents by falling score.

    `run` has query_id, document_id, grade and relevant (bool); `scores` is float [pairs]. Returns one row per query, in
    order of first appearance, with query_id and MEASURES: nDCG@10 with the grade as gain, log2 as discount and the
    ideal of the judged documents; RR@10, AP and P@5 of what is relevant. Equal scores are ordered by document_id,
    falling, as in trec_eval. ValueError if a score is not finite: trec_eval would rank it somewhere.
    """
    return _measured(run, _ranked(run, scores), BINARY)


def hits_measures(judged: pd.DataFrame, hits: pd.DataFrame, scores: np.ndarray, count: int) -> pd.DataFrame:
    """Measures of each query's ranking of its hits. Unjudged hits count as not relevant.

    `judged` has query_id, document_id, grade and relevant of all judged pairs, retrieved or not; `hits` query_id and
    document_id; `scores` is float [hits]. Returns one row per query of `judged`: query_id, MEASURES as in
    `ranking_measures`, but against the ideal of all judged documents, R@`count`, and Judged@10, the judged share of the
    retrieved top ten. A query without hits has 0 for each measure and NaN for the share; if no query has hits, the
    share is 1.
    """
    table = _measured(judged, _ranked(hits, scores), BINARY | {R @ count: f"R@{count}"})
    first = first_ten(hits, scores).merge(judged[["query_id", "document_id", "grade"]], how="left")
    shares = table["query_id"].map(first["grade"].notna().groupby(first["query_id"]).mean())
    return table.assign(**{JUDGED: shares if shares.notna().any() else 1.0})


def _ranked(run: pd.DataFrame, scores: np.ndarray) -> pd.DataFrame:
    if not np.isfinite(scores).all():
        raise ValueError("expected finite scores, found NaN or infinity")
    return pd.DataFrame({"query_id": run["query_id"], "doc_id": run["document_id"], "score": scores.astype(float)})


def _measured(judged: pd.DataFrame, ranked: pd.DataFrame, binary: dict[Any, str]) -> pd.DataFrame:
    """One row per query of `judged`, with GRADED by its grades and `binary` by its relevance."""
    index = pd.Index(judged["query_id"].unique(), name="query_id")
    table = pd.DataFrame(0.0, index=index, columns=[*GRADED.values(), *binary.values()])
    # One call for each kind of relevance: ir_measures 0.4.3 would apply one measure's gains to all others.
    for column, measures in (("grade", GRADED), ("relevant", binary)):
        gains = judged[column].clip(lower=0).astype(int)
        qrels = pd.DataFrame({"query_id": judged["query_id"], "doc_id": judged["document_id"], "relevance": gains})
        for metric in ir_measures.iter_calc(list(measures), qrels, ranked):
            table.loc[metric.query_id, measures[metric.measure]] = metric.value
    table["RR@10"] = table["RR@10"].where(table["RR@10"] >= 1 / 10, 0.0)
    return table.reset_index()


def expected_measures(run: pd.DataFrame) -> pd.DataFrame:
    """`ranking_measures` expected for a random order of each query's judged documents, in closed form.

    A single draw is noisy: on TREC-COVID one had 0.185, and the expectation is 0.219.
    """
    rows = [
        {"query_id": query_id, **_expected(rows["grade"].clip(lower=0).to_numpy(), rows["relevant"].to_numpy())}
        for query_id, rows in run.groupby("query_id", sort=False)
    ]
    return pd.DataFrame(rows, columns=["query_id", *MEASURES])


def _expected(grades: np.ndarray, relevant: np.ndarray) -> dict[str, float]:
    """Expectations of MEASURES over all orders of one query's documents, at least one of them relevant."""
    count = len(grades)
    positives = int(relevant.sum())
    ranks = np.arange(1, count + 1)
    top = min(count, len(DISCOUNTS))
    ideal = float(np.sort(grades)[::-1][:top] @ DISCOUNTS[:top])
    # The first relevant document has only irrelevant ones before it.
    before = np.cumprod(np.concatenate([[1.0], 1 - positives / (count - ranks[:-1] + 1)]))
    first = before * positives / (count - ranks + 1)
    # Relevant up to rank i: itself, and i - 1 others, relevant with the share that relevant ones have of all others.
    others = (positives - 1) / (count - 1) if count > 1 else 0.0
    return {
        "nDCG@10": float(grades.mean() * DISCOUNTS[:top].sum() / ideal),
        "RR@10": float((first / ranks)[:top].sum()),
        "AP": float(((1 + (ranks - 1) * others) / ranks).mean()),
        "P@5": positives / count * min(count, 5) / 5,
    }


def trec_order(table: pd.DataFrame, by: Sequence[str] = ("query_id",)) -> pd.DataFrame:
    """Sort rows by the columns `by`, rising, then in trec_eval's order: score, then document_id, both falling.

    `table` has `by`, score and document_id. Scores become float32, because trec_eval compares in single precision.
    """
    table = table.assign(score=table["score"].astype(np.float32))
    return table.sort_values([*by, "score", "document_id"], ascending=[True] * len(by) + [False, False])


def first_ten(hits: pd.DataFrame, scores: np.ndarray) -> pd.DataFrame:
    """query_id and document_id of each query's first ten hits in `trec_order`; `scores` is float [hits]."""
    table = trec_order(hits[["query_id", "document_id"]].assign(score=scores))
    return table.loc[table.groupby("query_id").cumcount() < len(DISCOUNTS), ["query_id", "document_id"]]


def has_no_order(run: pd.DataFrame, scores: np.ndarray) -> bool:
    """True if each query's documents have equal scores, which would rank them by their ids."""
    return bool(pd.Series(scores).groupby(run["query_id"].to_numpy()).nunique().le(1).all())


def relevant_queries(run: pd.DataFrame) -> pd.DataFrame:
    """The rows of queries with a relevant document. For other queries, all rankings are equally good.

    Tables leave out those queries, and stage evaluate counts them.
    """
    return run[run.groupby("query_id")["relevant"].transform("any")].reset_index(drop=True)


def mean_measures(per_query: pd.DataFrame) -> dict[str, float]:
    """Mean of each measure over queries."""
    return {str(name): float(value) for name, value in per_query.drop(columns="query_id").mean().items()}


def per_query_table(
    run: pd.DataFrame, queries: pd.DataFrame, measured: Mapping[str, pd.DataFrame], baseline: str
) -> pd.DataFrame:
    """One row per query: its text, its judged and relevant documents, each system's measures, the gain over `baseline`.

    `name`, the id with the text, labels a plot's bar.
    """
    texts = queries["query"].str.split().str.join(" ")  # one line each in CSV
    names = pd.DataFrame({"query_id": queries["query_id"], "query": texts, "name": queries["query_id"] + " · " + texts})
    table = names.merge(run.groupby("query_id")["relevant"].agg(pairs="size", relevant="sum").reset_index())
    for system, per_query in measured.items():
        table = table.merge(per_query.set_index("query_id").add_prefix(f"{system} ").reset_index())
    return table.assign(gain=table[f"cross_encoder {MAIN}"] - table[f"{baseline} {MAIN}"])

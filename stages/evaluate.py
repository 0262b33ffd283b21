"""Measure the exported ranker on the held-out queries, beside BM25 and a random order.

python -m stages.evaluate
"""

import numpy as np
import pandas as pd

from ranker import tables
from ranker.baselines import bm25_scores, random_scores
from ranker.errors import run_stage
from ranker.files import atomic, write_json
from ranker.folds import held_out_pairs
from ranker.measures import classification_measures, mean_measures, ranking_measures
from ranker.params import load_params
from ranker.serving import OnnxRanker

SYSTEMS = ("ranker", "bm25", "random")


def score_with_ranker(pairs: pd.DataFrame, batch_size: int) -> np.ndarray:
    """Scores of the ONNX model that ships, float32 [pairs]."""
    queries, documents = tables.read_tokens(tables.ENCODED_QUERIES), tables.read_tokens(tables.ENCODED_DOCUMENTS)
    return OnnxRanker(tables.RANKER).score(
        [queries[query_id] for query_id in pairs["query_id"]],
        [documents[document_id] for document_id in pairs["document_id"]],
        batch_size,
    )


def per_query_table(run: pd.DataFrame, queries: pd.DataFrame, measures: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per query: its text, its judged and relevant pairs, each system's measures, the gain over BM25."""
    table = queries.merge(run.groupby("query_id")["label"].agg(pairs="size", relevant="sum").reset_index())
    for system, per_query in measures.items():
        table = table.merge(per_query.set_index("query_id").add_prefix(f"{system} ").reset_index())
    return table.assign(gain=table["ranker nDCG@10"] - table["bm25 nDCG@10"])


def main() -> None:
    params = load_params()
    queries, documents = tables.read_table(tables.QUERIES), tables.read_table(tables.DOCUMENTS)
    _, run = held_out_pairs(tables.read_table(tables.PAIRS), tables.read_table(tables.FOLDS), params.split.held_out)
    run = run.assign(
        ranker=score_with_ranker(run, params.train.eval_batch_size),
        bm25=bm25_scores(run, queries, documents),
        random=random_scores(run, params.split.seed),
    )
    per_query = {system: ranking_measures(run, run[system].to_numpy(), params.join.relevant_from) for system in SYSTEMS}
    measures = {system: mean_measures(table) for system, table in per_query.items()}
    measures["ranker"] |= classification_measures(run["label"].to_numpy(), run["ranker"].to_numpy())
    tables.write_table(tables.RUN, run)
    with atomic(tables.PER_QUERY) as partial:
        per_query_table(run, queries, per_query).to_csv(partial, index=False, lineterminator="\n")
    write_json(tables.MEASURES, measures)
    print(pd.DataFrame(measures).T.to_string(float_format="{:.3f}".format, na_rep=""))


if __name__ == "__main__":
    run_stage("evaluate", main)

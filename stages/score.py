"""Score the held-out queries' judged pairs and hits with the exported models, once for all measures.

python -m stages.score
"""

import pandas as pd

from ranker.common.errors import run_stage
from ranker.contract.folder import served_model
from ranker.contract.stacks import trains_retriever
from ranker.evaluation.shipped import retriever_cosines, served_scores, shipped_scores, uncut_scores
from ranker.project import paths, tables
from ranker.project.params import Params, load_params
from ranker.project.preflight import say_other_versions
from ranker.project.sides import held_out_pairs


def score_judged(params: Params) -> pd.DataFrame:
    """The held-out pairs with the scores of each exported model, and of the fp32 one without truncation."""
    queries, documents = tables.read_texts(paths.SPLIT_QUERIES), tables.read_texts(paths.SPLIT_DOCUMENTS)
    pairs = tables.read_table(paths.SPLIT_PAIRS)
    if params.split.held_out == "none":
        return pairs[:0][tables.PAIR.names]
    run = held_out_pairs(pairs, params.split.held_out)[1][tables.PAIR.names]
    run = run.join(shipped_scores(run, queries, documents))
    if trains_retriever(params.first_stage.retriever):
        model = served_model(paths.RETRIEVER, params.retriever.model)
        run = run.assign(retriever=retriever_cosines(run, queries, documents, model))
    return run.assign(uncut=uncut_scores(run, queries, documents))


def score_hits(params: Params, query_ids: "pd.Series[str]") -> pd.DataFrame:
    """The hits of held-out queries with the served model's score."""
    queries, documents = tables.read_texts(paths.SPLIT_QUERIES), tables.read_texts(paths.HIT_DOCUMENTS)
    hits = tables.read_table(paths.HITS)
    hits = hits[hits["query_id"].isin(query_ids)].reset_index(drop=True)
    model = served_model(paths.RANKER, params.vespa.model)
    print(
        f"score: {len(hits)} hits of {len(query_ids)} queries, one by one, as Vespa scores them, with {model}",
        flush=True,
    )
    return hits.assign(cross_encoder=served_scores(hits, queries, documents, model))


def main() -> None:
    params = load_params()
    say_other_versions("score")
    judged = score_judged(params)
    tables.write_run(paths.SCORED_PAIRS, judged)
    # A split by pair puts queries on both sides, so their hits are not held out.
    query_ids = judged["query_id"].drop_duplicates() if params.split.by == "query" else judged["query_id"][:0]
    tables.write_table(paths.SCORED_HITS, score_hits(params, query_ids))


if __name__ == "__main__":
    run_stage("score", main)

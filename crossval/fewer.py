"""Train retriever and cross-encoder on a share of the training queries, for the curve over judgements.

python -m crossval.fewer SHARE FOLD
"""

import argparse
import hashlib

import pandas as pd
import pyarrow as pa

from ranker.common.errors import InputError, run_stage
from ranker.model.cross_encoder import initial_model
from ranker.model.dataset import encode_pairs, load_training_pairs, project_layout, targets
from ranker.model.predict import score
from ranker.project import paths, tables
from ranker.project.documents import read_some_tokens
from ranker.project.params import Params, load_crossval_params
from ranker.project.preflight import check_params_fit_model, say_other_versions
from ranker.project.sides import held_out_pairs, training_sides
from ranker.retrieval.fold_hits import fold_hits
from ranker.training.checkpoints import remove_checkpoints
from ranker.training.retriever import train_retriever
from ranker.training.trainer import fine_tune


def some_queries(query_ids: "pd.Series[str]", share: float) -> set[str]:
    """A share of the queries, at least two, by a hash of their ids, so that a smaller share is part of a larger one."""
    ordered = sorted(query_ids.unique(), key=lambda name: hashlib.sha256(name.encode()).digest())
    return set(ordered[: max(2, round(share * len(ordered)))])


def cross_encoder_scores(
    hits: pd.DataFrame, asked: set[str], fold: int, params: Params, name: str
) -> "pd.Series[float]":
    """Scores of `hits` by a cross-encoder that is trained on the queries of `asked`."""
    pairs, encoded = load_training_pairs(params)
    encoded = encoded.with_targets(targets(pairs, params.train.targets, params.join.grades))
    training, _ = training_sides(pairs, fold)
    rows = training[pairs["query_id"].iloc[training].isin(asked).to_numpy()]
    model = initial_model(params)
    fine_tune(model, encoded.take(rows), params.train, name=name)
    remove_checkpoints(name)
    queries = tables.read_tokens(paths.ENCODED_QUERIES)
    documents = read_some_tokens(pa.array(hits["document_id"].unique(), pa.string()))
    layout = project_layout(params, paths.BASE_MODEL)
    found = score(model, encode_pairs(hits.assign(relevant=False), queries, documents, layout))
    return pd.Series(found, hits.index)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("share", type=float)
    parser.add_argument("fold", type=int)
    asked = parser.parse_args()
    say_other_versions("crossval")
    params = load_crossval_params()
    check_params_fit_model(paths.BASE_MODEL, params)
    if params.train.trainable == "head":
        raise InputError("crossval.shares: expected train.trainable layers, top-N or all, found head")
    training, held_out = held_out_pairs(tables.read_table(paths.SPLIT_PAIRS), asked.fold)
    queries = some_queries(training["query_id"], asked.share)
    training = training[training["query_id"].isin(queries)].reset_index(drop=True)
    name = f"crossval/fewer-{asked.share}-{asked.fold}"
    print(f"crossval: fold {asked.fold}: {len(queries)} training queries, {len(training)} pairs", flush=True)
    texts = tables.read_tokens(paths.SPLIT_QUERIES), tables.read_tokens(paths.SPLIT_DOCUMENTS)
    model = train_retriever(training, *texts, params.retriever, params.join.grades, f"{name}-retriever")
    remove_checkpoints(f"{name}-retriever")
    hits = fold_hits(model, held_out, params)
    hits = hits.assign(cross_encoder=cross_encoder_scores(hits, queries, asked.fold, params, name))
    tables.write_table(paths.crossval_fewer(asked.share, asked.fold), hits, tables.SCHEMAS[paths.SCORED_HITS])


if __name__ == "__main__":
    run_stage("crossval", main)

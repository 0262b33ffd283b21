"""Train the retriever of one seed and fold, as stage retriever does, and find its held-out queries' hits with it.

python -m crossval.retriever SEED FOLD
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd
from ranker.training.retriever import train_retriever

from ranker.common.errors import run_stage
from ranker.contract.stacks import LISTS
from ranker.model.cross_encoder import save_encoder
from ranker.model.embedding import Embedder
from ranker.project import paths, tables
from ranker.project.documents import count_documents, read_fields, read_token_parts
from ranker.project.params import Params, load_crossval_params
from ranker.project.preflight import check_params_fit_model, say_other_versions
from ranker.project.sides import held_out_pairs
from ranker.project.tables import IDS
from ranker.retrieval.base_vectors import base_cosines
from ranker.retrieval.hits import Bm25Index
from ranker.retrieval.lists import join_lists, listed
from ranker.retrieval.vectors import Vectors, with_time_left
from ranker.training.checkpoints import remove_checkpoints

UNTRAINED = [name for name in LISTS if name != "dense"]


def all_vectors(encoder: Path, queries: pd.DataFrame, file: Path) -> Vectors:
    """Vectors of these queries and of all documents by a retriever in stage base_model's format."""
    embed, tokens = Embedder(encoder), tables.read_tokens(paths.ENCODED_QUERIES)
    asked = tokens.take(tokens.rows(queries["query_id"]).tolist())
    named = tables.pack(queries["query_id"], list(asked))
    parts = with_time_left(read_token_parts(), count_documents(), "crossval")
    return Vectors(named, lambda texts: embed(texts, "query"), parts, lambda texts: embed(texts, "document"), file)


def find(vectors: Vectors, judged: pd.DataFrame, queries: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Every list's hits of `queries`, then their `judged` pairs that are no hits, with all scores: tables.HIT."""
    depth = params.first_stage.depth
    hits = tables.read_table(paths.HITS)
    hits = hits[hits["query_id"].isin(queries["query_id"])]
    lists = {name: hits.dropna(subset=f"{name}_rank").assign(rank=hits[f"{name}_rank"]) for name in UNTRAINED}
    lists["dense"] = listed(vectors.hits(queries["query_id"], depth + 1), depth, "crossval")
    found = join_lists({name: rows for name, rows in lists.items() if len(rows)})
    found = pd.concat([found, judged[IDS]], ignore_index=True).drop_duplicates(IDS, ignore_index=True)
    bm25 = Bm25Index(queries, read_fields(), params.first_stage.language)
    found = found.assign(bm25=bm25.scores(found), base_cosine=base_cosines(found), retriever=vectors.cosines(found))
    return found.reindex(columns=tables.HIT.names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("fold", type=int)
    asked = parser.parse_args()
    say_other_versions("crossval")
    params = load_crossval_params()
    check_params_fit_model(paths.BASE_MODEL, params)
    training, held_out = held_out_pairs(tables.read_table(paths.SPLIT_PAIRS), asked.fold)
    name = f"crossval/retriever-{asked.seed}-{asked.fold}"
    print(f"crossval: retriever, seed {asked.seed}, fold {asked.fold}: {len(training)} training pairs", flush=True)
    texts = tables.read_tokens(paths.SPLIT_QUERIES), tables.read_tokens(paths.SPLIT_DOCUMENTS)
    settings = params.retriever.model_copy(update={"seed": asked.seed})
    model = train_retriever(training, *texts, settings, params.join.grades, name)
    queries = tables.read_table(paths.QUERIES)
    queries = queries[queries["query_id"].isin(held_out["query_id"])].reset_index(drop=True)
    with tempfile.TemporaryDirectory() as folder:
        save_encoder(model, Path(folder) / "encoder", settings.max_length)
        vectors = all_vectors(Path(folder) / "encoder", queries, Path(folder) / "documents.f32")
        found = find(vectors, held_out, queries, params)
    tables.write_table(paths.crossval_scores("retriever", asked.seed, asked.fold), found, tables.HIT)
    remove_checkpoints(name)


if __name__ == "__main__":
    run_stage("crossval", main)

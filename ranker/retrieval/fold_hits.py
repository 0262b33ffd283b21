"""The hits of a cross-validation's held-out queries, found with their own fold's retriever."""

import tempfile
from pathlib import Path

import pandas as pd

from ranker.contract.stacks import LISTS
from ranker.model.cross_encoder import save_encoder
from ranker.model.embedding import Embedder
from ranker.model.segment_cosine import BertForBiEncoder
from ranker.project import paths, tables
from ranker.project.documents import count_documents, read_fields, read_token_parts
from ranker.project.params import Params
from ranker.project.tables import IDS
from ranker.retrieval.base_vectors import base_cosines
from ranker.retrieval.hits import Bm25Index
from ranker.retrieval.lists import join_lists, listed
from ranker.retrieval.vectors import Vectors, with_time_left

UNTRAINED = [name for name in LISTS if name != "dense"]


def fold_hits(model: BertForBiEncoder, judged: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Every list's hits of the queries of `judged`, the held-out pairs, then these pairs, with scores: tables.HIT."""
    queries = tables.read_table(paths.QUERIES)
    queries = queries[queries["query_id"].isin(judged["query_id"])].reset_index(drop=True)
    with tempfile.TemporaryDirectory() as folder:
        save_encoder(model, Path(folder) / "encoder", params.retriever.max_length)
        vectors = all_vectors(Path(folder) / "encoder", queries, Path(folder) / "documents.f32")
        return find(vectors, judged, queries, params)


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
    ranks = {name: f"{name}_rank" for name in UNTRAINED}
    lists = {name: hits.dropna(subset=rank).rename(columns={rank: "rank"}) for name, rank in ranks.items()}
    lists["dense"] = listed(vectors.hits(queries["query_id"], depth + 1), depth, "crossval")
    found = join_lists({name: rows for name, rows in lists.items() if len(rows)})
    found = pd.concat([found, judged[IDS]], ignore_index=True).drop_duplicates(IDS, ignore_index=True)
    bm25 = Bm25Index(queries, read_fields(), params.first_stage.language)
    found = found.assign(bm25=bm25.scores(found), base_cosine=base_cosines(found), retriever=vectors.cosines(found))
    return found.reindex(columns=tables.HIT.names)

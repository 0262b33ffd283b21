"""Score judged pairs with the exported models, each in the way it is used."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from tqdm import tqdm

from ranker.common.files import read_json
from ranker.contract.folder import CONTRACT_FILE, MODEL_FILES, Model
from ranker.project import paths, tables
from ranker.serving.ranker import Ranker
from ranker.serving.retriever import Retriever


def shipped_scores(run: pd.DataFrame, queries: pd.DataFrame, documents: pd.DataFrame) -> pd.DataFrame:
    """Scores, float32, of `cross_encoder` and, if the folder has it, `cross_encoder_int8`, in the order of `run`.

    Starts from texts, as a user does. The fp32 model scores a query's documents in batches, like Ranker.score. The int8
    model scores each pair by itself, like Vespa, because rounding makes scores depend on the batch. `queries` has
    query_id and query, `documents` document_id and text.
    """
    ranker = Ranker(paths.RANKER)
    scores = {"cross_encoder": _by_query(run, queries, documents, ranker, ranker.score)}
    if (paths.RANKER / MODEL_FILES["int8"]).is_file():
        ranker = Ranker(paths.RANKER, "int8")
        scores["cross_encoder_int8"] = _by_query(run, queries, documents, ranker, ranker.score_unbatched)
    return pd.DataFrame(scores, run.index)


def _by_query(
    run: pd.DataFrame,
    queries: pd.DataFrame,
    documents: pd.DataFrame,
    ranker: Ranker,
    score: Callable[..., np.ndarray],
) -> np.ndarray:
    asked, texts = queries.set_index("query_id")["query"], documents.set_index("document_id")["text"]
    scores = np.empty(len(run), np.float32)
    groups = run.groupby("query_id", sort=False).indices
    for query_id, rows in tqdm(groups.items(), desc="score", unit="query", disable=None):
        encoded = ranker.encode_documents(texts[run["document_id"].iloc[rows]].tolist())
        scores[rows] = score(ranker.encode_query(asked[str(query_id)]), encoded)
    return scores


def retriever_cosines(run: pd.DataFrame, queries: pd.DataFrame, documents: pd.DataFrame, model: Model) -> np.ndarray:
    """The exported retriever's cosine of each pair, float32 [pairs], from texts."""
    retriever = Retriever(paths.RETRIEVER, model)
    asked, texts = queries.set_index("query_id")["query"], documents.set_index("document_id")["text"]
    vectors = []
    for ids, known, embed in (
        (run["query_id"], asked, retriever.embed_queries),
        (run["document_id"], texts, retriever.embed_documents),
    ):
        rows, names = pd.factorize(ids)
        vectors.append(embed(known[names].tolist())[rows])
    return np.einsum("ij,ij->i", *vectors)


def served_scores(hits: pd.DataFrame, queries: pd.DataFrame, documents: pd.DataFrame, model: Model) -> np.ndarray:
    """Scores of `model` for hits, float32 [hits], each pair by itself, like Vespa."""
    ranker = Ranker(paths.RANKER, model)
    return _by_query(hits, queries, documents, ranker, ranker.score_unbatched)


def uncut_scores(run: pd.DataFrame, queries: pd.DataFrame, documents: pd.DataFrame) -> np.ndarray:
    """Scores of the fp32 model with texts truncated only at its last position, float32 [pairs].

    Pairs that fit the contract keep the column cross_encoder of `run`.
    """
    longest = [int(lengths.max(initial=0)) for lengths in tables.token_counts(run)]
    ranker = Ranker(paths.RANKER)
    layout = ranker.layout
    if longest[0] <= layout.max_query_tokens and longest[1] <= layout.max_document_tokens:
        return run["cross_encoder"].to_numpy()
    positions = int(read_json(paths.RANKER / CONTRACT_FILE)["positions"])
    query_size = min(max(longest[0] + 2, layout.query_input_size), positions - layout.doc_input_size)
    document_size = min(max(longest[1] + 1, layout.doc_input_size), positions - query_size)
    ranker.layout = replace(layout, query_input_size=query_size, doc_input_size=document_size)
    return _by_query(run, queries, documents, ranker, ranker.score)

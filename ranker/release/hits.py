"""Search with the last release, as it ships, for the queries that it was not trained on."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from ranker.common.errors import InputError
from ranker.contract.document import query_key, read_document_fields, whole_text
from ranker.contract.folder import CONTRACT_FILE, Model
from ranker.project import paths, tables
from ranker.project.documents import read_fields
from ranker.project.params import Params
from ranker.project.sides import held_out_rows
from ranker.release.package import RANKER, RETRIEVER, Release
from ranker.search.search import Embedder, Search, check_searchable, load_search
from ranker.stack.stack import Stack, model_bytes

BLOCK = 512  # documents embedded between two steps of the progress bar


def unseen_queries(release: Release, params: Params) -> pd.DataFrame:
    """query_id and query of the queries that no part of the release was trained on.

    A release whose manifests name none, because it is older, was trained on today's training side if its split and
    base model are today's: a fold is a hash of the query's own tokens. InputError otherwise.
    """
    queries, known = tables.read_texts(paths.SPLIT_QUERIES), release.trained_on
    if known is not None:
        return queries[~queries["query"].map(query_key).isin(known)].reset_index(drop=True)
    manifest = release.manifests[RANKER]
    then, now = manifest["params"]["split"], params.split.model_dump()
    if then != now or manifest["made_of"]["base_model"] != params.fetch.base_sha256:
        raise InputError("its manifest does not name the queries that it was trained on, and its split is not today's")
    pairs = tables.read_table(paths.SPLIT_PAIRS)
    _, held_out = held_out_rows(pairs, params.split.held_out)
    return queries[queries["query_id"].isin(pairs["query_id"].iloc[held_out])].reset_index(drop=True)


def search_with(release: Release, queries: pd.DataFrame) -> pd.DataFrame:
    """The release's hits for the queries in the whole collection: query_id, document_id and score.

    InputError if its stack needs more than its models, or its models read fields that today's documents lack.
    """
    search = load_over_collection(release.folder, release.stack, release.models)
    places = {name: row for row, name in enumerate(search.ids)}
    rows, asked = list[tuple[str, str, float]](), queries[["query_id", "query"]].itertuples(index=False)
    for query_id, query in tqdm(asked, desc="release_hits", total=len(queries), unit="query", disable=None):
        same = places.get(query_id)  # a query may be a document, which first_stage leaves out, too
        if same is not None and query_key(whole_text(search.fields[same])) != query_key(query):
            same = None
        rows += [(query_id, hit.document_id, hit.score) for hit in search.find(query, None, same)]
    return pd.DataFrame(rows, columns=tables.SCORES.names)


def load_over_collection(
    folder: Path, stack: Stack, models: Mapping[str, Model], threads: int = 0, most: int | None = None
) -> Search:
    """A search by a stack and the models in `folder` over today's collection, or over its first `most` documents.

    InputError as in `search_with`.
    """
    check_searchable(stack)
    search = load_search(stack, folder / RETRIEVER, folder / RANKER, models, threads)
    ids, fields = read_collection(read_document_fields(folder / RANKER / CONTRACT_FILE), most)
    texts = [whole_text(document) for document in fields]
    search.index(ids, fields, embed(search.retriever, texts) if search.retriever is not None else None)
    return search


def read_collection(wanted: tuple[str, ...], most: int | None = None) -> tuple[list[str], list[list[str]]]:
    """Ids of all documents, or of the first `most`, and the texts of each one's fields `wanted`.

    InputError if a field is missing.
    """
    there = tables.columns(paths.DOCUMENTS)[1:]
    if missing := [name for name in wanted if name not in there]:
        raise InputError(f"its models read the field {missing[0]}, and documents have {', '.join(there)}")
    places = [there.index(name) for name in wanted]

    def chosen(document: tuple[str, ...]) -> list[str]:
        return [document[place] for place in places]

    ids, fields = list[str](), list[list[str]]()
    for some, texts in read_fields():
        ids += some
        fields += map(chosen, texts)
        if most is not None and len(ids) >= most:
            break
    return ids[:most], fields[:most]


def embed(retriever: Embedder, texts: list[str]) -> np.ndarray:
    """The texts' vectors, float32 [texts, size], with a progress bar."""
    starts = tqdm(range(0, len(texts), BLOCK), desc="release_hits: documents", unit_scale=BLOCK, disable=None)
    return np.concatenate([retriever.embed_documents(texts[start : start + BLOCK]) for start in starts])


def about(release: Release, queries: pd.DataFrame | None, why: str | None) -> dict[str, Any]:
    """The facts about a release that the comparison and the page name; `queries` are those that it was asked."""
    manifest = release.manifests[RANKER]
    return {
        "against": release.against,
        "version": release.version,
        "sha256": release.digest,
        "stack": asdict(release.stack),
        "models": dict(release.models),
        "bytes": model_bytes(release.folder, release.stack, release.models),
        "reason": release.reason,
        "collection": manifest.get("collection", {}),
        "data": manifest["made_of"]["data"],
        "params": {name: value for name, value in release.params.items() if not name.startswith("export.")},
        "asked": [] if queries is None else queries["query_id"].tolist(),
        "why": why,  # it cannot be compared
    }

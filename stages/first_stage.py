"""Find each query's best documents in the whole collection, by each list that a stack may join.

python -m stages.first_stage
"""

import tempfile
from itertools import chain
from pathlib import Path

import pandas as pd
import pyarrow as pa

from ranker.common.errors import run_stage
from ranker.contract.folder import served_model
from ranker.contract.stacks import FOUND_BY, trains_retriever
from ranker.contract.words import STEMMERS, stemmer_of
from ranker.project import paths, tables
from ranker.project.documents import (
    count_documents,
    read_documents,
    read_fields,
    read_some_documents,
    read_some_tokens,
    read_token_parts,
)
from ranker.project.params import FirstStage, Params, load_params
from ranker.project.preflight import say_other_versions
from ranker.retrieval.base_vectors import base_vectors
from ranker.retrieval.hits import Bm25Index
from ranker.retrieval.lists import join_lists, listed
from ranker.retrieval.run_file import read_run_file
from ranker.retrieval.vectors import Vectors, with_time_left
from ranker.serving.retriever import Retriever


def retriever_vectors(folder: Path) -> Vectors:
    """Vectors of all texts by the exported retriever, as it is served."""
    params = load_params()
    retriever = Retriever(paths.RETRIEVER, served_model(paths.RETRIEVER, params.retriever.model))
    parts = with_time_left(read_token_parts(), count_documents(), "first_stage")
    queries = tables.read_tokens(paths.ENCODED_QUERIES)
    return Vectors(queries, retriever.embed_tokens, parts, retriever.embed_tokens, folder / "retriever.f32")


def find(params: Params, queries: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Each query's hits of every list, with their ranks and scores; vectors are kept in `folder` meanwhile."""
    asked, depth = queries["query_id"], params.first_stage.depth
    deeper = depth + 1  # one of them may be the query itself
    say_unstemmed(params.first_stage.language)
    bm25 = Bm25Index(queries, read_fields(), params.first_stage.language)
    base = base_vectors(folder / "base.f32")
    lists = {"bm25": bm25.hits(asked, deeper), "base": base.hits(asked, deeper)}
    retriever = retriever_vectors(folder) if trains_retriever(params.first_stage.retriever) else None
    if retriever:
        lists["dense"] = retriever.hits(asked, deeper)
    if params.first_stage.retriever == "run":
        lists["run"] = own_hits(params.first_stage, queries)
    hits = join_lists({name: listed(found, depth, "first_stage") for name, found in lists.items()})
    hits = hits.assign(bm25=bm25.scores(hits), base_cosine=base.cosines(hits))
    return hits.assign(retriever=retriever.cosines(hits) if retriever else None)


def say_unstemmed(language: str) -> None:
    """A line where BM25 stems no word: a tag of three letters, such as deu, is accepted, but no stemmer's."""
    if not stemmer_of(language):
        print(f"first_stage: BM25 stems no words of language {language}: it has stemmers for {', '.join(STEMMERS)}")


def own_hits(params: FirstStage, queries: pd.DataFrame) -> pd.DataFrame:
    """Hits of the user's own run file."""
    ids = set(chain.from_iterable(part for part, _, _ in read_documents()))
    run = read_run_file(paths.RUNS / params.run, set(queries["query_id"]), ids)
    if run.unknown_queries or run.unknown_documents:
        counts = f"{run.unknown_queries} hits of other queries and {run.unknown_documents} of other documents"
        print(f"first_stage: warning: {paths.RUNS / params.run}: {counts} are left out", flush=True)
    return run.hits


def main() -> None:
    params = load_params()
    say_other_versions("first_stage")
    queries = tables.read_table(paths.QUERIES)
    with tempfile.TemporaryDirectory() as folder:
        hits = find(params, queries, Path(folder))
    tables.write_table(paths.HITS, hits.reindex(columns=tables.SCHEMAS[paths.HITS].names))
    wanted = pa.array(hits["document_id"].unique(), pa.string())
    tables.write_texts(paths.HIT_DOCUMENTS, read_some_documents(set(wanted.to_pylist())), read_some_tokens(wanted))
    by = params.first_stage.retriever
    found = hits[hits[[f"{name}_rank" for name in FOUND_BY[by]]].notna().any(axis=1)]
    without = len(queries) - found["query_id"].nunique()
    print(
        f"first_stage: {by}: {len(found)} hits of {len(queries)} queries; {len(hits)} by all lists, "
        f"{len(wanted)} documents"
    )
    if without:
        print(f"first_stage: warning: {without} queries have no hits, so their results stay empty")


if __name__ == "__main__":
    run_stage("first_stage", main)

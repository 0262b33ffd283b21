"""A data set of the ir_datasets catalogue, written as the tutorial's two files, nothing decided and nothing dropped."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import ir_datasets
from tqdm import tqdm

from ranker.common.errors import InputError
from ranker.common.files import atomic, write_json
from ranker.data.tutorial import COLUMNS

NOT_CSV = str.maketrans({"\0": "\N{REPLACEMENT CHARACTER}"})  # what no CSV holds


def fetch_catalogue(dataset_id: str, labelled_data: Path, judgements: Path) -> None:
    """Download queries, judgements and titles, and write the two files.

    A query's text is its `title`, as in the tutorial, or its only text. Every title of a document has a row, whether it
    is empty, repeated or another one: stage join has the rules, and counts. ir_datasets checks digests, retries and
    keeps what it downloaded in IR_DATASETS_HOME. InputError if any of it fails.
    """
    try:
        dataset = ir_datasets.load(dataset_id)
        queries = {query.query_id: _text(query) for query in dataset.queries_iter()}
        judged: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for qrel in dataset.qrels_iter():
            judged[qrel.doc_id].append((qrel.query_id, qrel.relevance))
        rows = [
            (document.doc_id, query_id, grade, _text(document).translate(NOT_CSV))
            for document in tqdm(dataset.docs_iter(), desc="fetch", unit="doc", unit_scale=True, disable=None)
            for query_id, grade in judged.get(document.doc_id, [])
        ]
    except Exception as error:  # ir_datasets lets through whatever a source raised
        raise InputError(f"{dataset_id}: expected to load it through ir_datasets, found: {error!r}") from error
    write_json(labelled_data, _labelled(queries, judged))
    with atomic(judgements) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)  # a bare carriage return needs it
        writer.writerows([COLUMNS, *rows])


def _text(item: Any) -> str:
    """The title of a query or document, or the only text that it has."""
    return str(item.title if hasattr(item, "title") else item.text)


def _labelled(queries: dict[str, str], judged: dict[str, list[tuple[str, int]]]) -> list[dict[str, Any]]:
    by_query: dict[str, list[dict[str, Any]]] = {query_id: [] for query_id in queries}
    for document_id, grades in judged.items():
        for query_id, grade in grades:
            if query_id in by_query:
                by_query[query_id].append({"id": document_id, "score": grade})
    return [
        {"query_id": query_id, "query": queries[query_id], "relevant_docs": listed}
        for query_id, listed in by_query.items()
    ]

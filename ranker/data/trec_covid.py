"""TREC-COVID through ir_datasets, written as the tutorial's two files."""

import csv
from collections import defaultdict
from pathlib import Path

import ir_datasets

from ranker.common.errors import InputError
from ranker.common.files import atomic, write_json
from ranker.data.judgements import COLUMNS

DATASET = "cord19/trec-covid"


def fetch_trec_covid(labelled_data: Path, judgements: Path) -> None:
    """Download topics, judgements and CORD-19's titles, and write the two files.

    A query's text is its topic's keyword field (`title`), as in the tutorial. A judged document that CORD-19 lacks is
    in `labelled_data` alone. ir_datasets checks digests, retries and keeps what it downloaded in IR_DATASETS_HOME.
    InputError if any of it fails.
    """
    try:
        topics, judged, titles = _load()
    except Exception as error:  # ir_datasets lets through whatever a source raised
        raise InputError(f"{DATASET}: expected to load it through ir_datasets, found: {error}") from error
    labelled = [
        {
            "query_id": int(query_id),
            "query": topics[query_id],
            "relevant_docs": [{"id": document_id, "score": grade} for document_id, grade in grades.items()],
        }
        for query_id, grades in judged.items()
    ]
    write_json(labelled_data, labelled)
    with atomic(judgements) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for query_id, grades in judged.items():
            writer.writerows((d, query_id, grade, titles[d]) for d, grade in grades.items() if d in titles)


def _load() -> tuple[dict[str, str], dict[str, dict[str, int]], dict[str, str]]:
    """Queries by id; grades by query and document; titles by document."""
    dataset = ir_datasets.load(DATASET)
    topics = {topic.query_id: topic.title for topic in dataset.queries_iter()}
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    for qrel in dataset.qrels_iter():
        judged[qrel.query_id][qrel.doc_id] = qrel.relevance
    ids = {document_id for grades in judged.values() for document_id in grades}
    documents = dataset.docs_store().get_many(ids)
    return topics, judged, {document_id: document.title for document_id, document in documents.items()}

"""A data set of the ir_datasets catalogue, written unfiltered as a BEIR folder."""

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import ir_datasets
from tqdm import tqdm

from ranker.common.errors import InputError
from ranker.common.files import atomic
from ranker.data.beir import CORPUS, HEADER, QUERIES, SUBTOPIC

DEFAULT_FIELDS = ("text", "title", "query")  # of a query without fetch.query_field


def fetch_catalogue(dataset_id: str, query_field: str, folder: Path) -> None:
    """Download queries, judgements and all documents, and write the folder.

    Documents keep all text fields, queries the text of `query_field`. Repeated ids, empty texts, and judgements of
    unknown queries or documents are written unchanged, because stage join drops and counts them. ir_datasets checks
    digests, retries, and caches downloads in IR_DATASETS_HOME. InputError if it fails.
    """
    try:
        dataset = ir_datasets.load(dataset_id)
        with atomic(folder) as partial:
            (partial / "qrels").mkdir(parents=True)
            documents = tqdm(dataset.docs_iter(), desc="fetch", unit="doc", unit_scale=True, disable=None)
            _write(partial / CORPUS, ({"_id": doc.doc_id} | _texts(doc) for doc in documents))
            _write(
                partial / QUERIES,
                ({"_id": query.query_id, "text": _query_text(query, query_field)} for query in dataset.queries_iter()),
            )
            split = dataset_id.rpartition("/")[2]  # for example test, in beir/nfcorpus/test
            with (partial / f"qrels/{split}.tsv").open("w", encoding="utf-8", newline="\n") as file:
                qrels = map(_cells, dataset.qrels_iter())
                first = next(qrels, [])
                for cells in chain([[*HEADER, SUBTOPIC][: len(first) or len(HEADER)], first], qrels):
                    print(*cells, sep="\t", file=file)
    except InputError:
        raise
    except Exception as error:  # ir_datasets passes on any error of a source
        raise InputError(f"{dataset_id}: expected to load it through ir_datasets, found: {error!r}") from error


def _cells(qrel: Any) -> list[Any]:
    """Cells of a judgement; a diversity track's have the subtopic last."""
    subtopic = [qrel.subtopic_id] if hasattr(qrel, "subtopic_id") else []
    return [qrel.query_id, qrel.doc_id, qrel.relevance, *subtopic]


def _texts(document: Any) -> dict[str, str]:
    """Text fields of a document, without its id and url; `text` defaults to the abstract."""
    found = {
        name: value
        for name, value in document._asdict().items()
        if isinstance(value, str) and name not in ("doc_id", "url")
    }
    return found if "text" in found or "abstract" not in found else found | {"text": found["abstract"]}


def _query_text(query: Any, field: str) -> str:
    names = [name for name in (field, *DEFAULT_FIELDS) if isinstance(getattr(query, name, None), str)]
    if not names or (field not in names and len(query._fields) > 2):
        raise InputError(f"fetch.query_field: expected one of {', '.join(query._fields[1:])}, found {field}")
    return str(getattr(query, names[0]))


def _write(path: Path, rows: Iterable[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            print(json.dumps(row), file=file)  # in ASCII, because UTF-8 cannot encode a lone surrogate

"""Keep what is a graded pair of a known query and document, and account for every judgement that is dropped.

python -m stages.join
"""

from collections.abc import Iterable, Iterator

import pandas as pd

from ranker.common.errors import run_stage
from ranker.common.files import atomic, write_json
from ranker.contract.document import whole_text
from ranker.data.beir import read_beir
from ranker.data.collection import Census, Collection, Document
from ranker.data.join import join, stand_ins
from ranker.data.trec import read_trec
from ranker.data.tutorial import read_tutorial
from ranker.project import paths, tables
from ranker.project.documents import read_ids_at, write_documents
from ranker.project.params import Params, load_params


def read_collection(params: Params) -> Collection:
    """What stage fetch wrote, by its format; ir_datasets' is a BEIR folder."""
    fetch, fields = params.fetch, params.join.document_fields
    if fetch.format == "tutorial":
        return read_tutorial(paths.RAW, fields)
    if fetch.format == "trec":
        topics, qrels, corpus = (paths.RAW / name for name in (fetch.topics, fetch.qrels, fetch.corpus))
        return read_trec(topics, qrels, corpus, fields, fetch.query_field)
    return read_beir(paths.RAW, fields, fetch.qrels_splits)


def keep_texts(documents: Iterable[Document], wanted: set[str], texts: dict[str, str]) -> Iterator[Document]:
    """Documents as they pass by; the texts of those that are `wanted` stay in `texts`."""
    for document_id, fields in documents:
        if document_id in wanted:
            texts[document_id] = whole_text(fields)
        yield document_id, fields


def say_stand_ins(pairs: pd.DataFrame, added: pd.DataFrame) -> None:
    """A line where queries have no judged negatives, and for how many of them no document was left to stand in."""
    positives = int(pairs.groupby("query_id")["relevant"].all().sum())
    without = positives - added["query_id"].nunique()
    if positives:
        print(
            f"join: warning: {positives} queries have no judged negatives: random unjudged documents stand in for them"
            + (f", but for {without}, whose judgements name every document" if without else "")
        )


def main() -> None:
    params = load_params()
    collection = read_collection(params)
    census = Census()
    judged, texts = set(collection.judgements["document_id"]), dict[str, str]()
    with atomic(paths.DOCUMENTS) as partial:  # where nothing can be joined, it stays what it was
        documents = keep_texts(census.distinct(collection.documents), judged, texts)
        write_documents(partial, documents, params.join.document_fields)
        census.check_fields(params.join.document_fields)
        joined = join(collection, census, pd.Series(texts, dtype=str), params.join.relevant_from)
    added = stand_ins(joined.pairs, collection.judgements, census.kept, read_ids_at)
    joined.counts["kept"]["unjudged_stand_ins"] = len(added)
    tables.write_table(paths.QUERIES, joined.queries)
    tables.write_table(paths.PAIRS, pd.concat([joined.pairs, added], ignore_index=True))
    tables.write_csv(paths.JOIN_FINDINGS, joined.findings)
    write_json(paths.JOIN_COUNTS, joined.counts)
    for group, counts in joined.counts.items():
        print(f"join: {group}: {', '.join(f'{count} {name}' for name, count in counts.items() if count) or 'nothing'}")
    if count := joined.counts["dropped"]["other_subtopic"]:
        print(
            f"join: {count} judgements are of another subtopic (column 2 of the qrels): a pair's largest grade counts"
        )
    say_stand_ins(joined.pairs, added)


if __name__ == "__main__":
    run_stage("join", main)

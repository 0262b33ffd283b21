"""Keep every graded pair of a known query and document, and account for each dropped judgement.

python -m stages.join
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from tokenizers import Tokenizer

from ranker.common.errors import run_stage
from ranker.common.files import atomic, write_json
from ranker.common.spreadsheet import changed_ids
from ranker.common.table import synonyms
from ranker.contract.document import whole_text
from ranker.contract.tokens import load_tokenizer, tokenize
from ranker.data.beir import read_beir
from ranker.data.collection import Census, Collection, Document
from ranker.data.grades import check_grades, doubts
from ranker.data.join import join, stand_ins
from ranker.data.judged import with_judgements
from ranker.data.tables import read_tables
from ranker.data.trec import read_trec
from ranker.data.tutorial import read_tutorial
from ranker.project import paths, tables
from ranker.project.alike import with_readings
from ranker.project.documents import read_documents_at, write_documents
from ranker.project.params import Params, load_params


def read_collection(params: Params) -> Collection:
    """Read stage fetch's files by their format. ir_datasets' format is a BEIR folder."""
    fetch, fields = params.fetch, params.join.document_fields
    named = fetch.columns.model_dump()
    if fetch.format == "tutorial":
        return read_tutorial(paths.RAW, fields)
    if fetch.format == "table":
        return read_tables(paths.RAW / fetch.qrels, paths.RAW / fetch.corpus, fields, named)
    if fetch.format == "trec":
        topics, qrels, corpus = (paths.RAW / name for name in (fetch.topics, fetch.qrels, fetch.corpus))
        names = synonyms({"document_id": named["document_id"]})
        return read_trec(topics, qrels, corpus, fields, fetch.query_field, names)
    return read_beir(paths.RAW, fields, fetch.qrels_splits)


def keep_texts(documents: Iterable[Document], wanted: set[str], texts: dict[str, str]) -> Iterator[Document]:
    """Yield all documents, and keep the texts of those in `wanted` in `texts`."""
    for document_id, fields in documents:
        if document_id in wanted:
            texts[document_id] = whole_text(fields)
        yield document_id, fields


def readings(tokenizer: Tokenizer, texts: Mapping[str, str]) -> "pd.Series[int]":
    """The texts' readings, int64, by id."""
    return tables.read_as(tables.pack(texts, tokenize(tokenizer, list(texts.values()))))


def say_changed_ids(collection: Collection, known: Container[str]) -> None:
    """Warn of judged documents that are unknown, but for an id that differs as a spreadsheet changes ids."""
    unknown = [name for name in collection.judgements["document_id"].unique() if name not in known]
    changed = changed_ids(unknown, (name for name, _ in collection.documents())) if unknown else {}
    for judged, name in list(changed.items())[:1]:
        print(
            f"join: warning: {len(changed)} of {len(unknown)} judged documents that are unknown differ from a "
            f"document's id in zeros, case or white space alone, such as {judged} and {name}: a spreadsheet may have "
            "changed them"
        )


def say_alike(noted: Mapping[str, int]) -> None:
    """Warn if queries read alike, and if queries are documents."""
    if count := noted["query_under_another_id"]:
        print(
            f"join: warning: {count} queries read like an earlier one under another id: documents judged for one are "
            "no negatives for the other, and each is measured by its own judgements"
        )
    if count := noted["query_is_a_document"]:
        print(
            f"join: warning: {count} queries are documents of the collection, by id and text: a query's own document "
            "is left out of its hits, negatives and stand-ins"
        )


def say_stand_ins(pairs: pd.DataFrame, added: pd.DataFrame) -> None:
    """Warn of queries without judged negatives, and count those without any document to stand in."""
    positives = int(pairs.groupby("query_id")["relevant"].all().sum())
    without = positives - added["query_id"].nunique()
    if positives:
        print(
            f"join: warning: {positives} queries have no judged negatives: random unjudged documents stand in for them"
            + (f", but for {without}, whose judgements name every document" if without else "")
        )


def main() -> None:
    params = load_params()
    source = read_collection(params)
    collection = with_judgements(source, Path(params.fetch.judgements), params.join.document_fields)
    check_grades(collection.judgements, params.join.grades)
    census = Census()
    tokenizer = load_tokenizer(paths.BASE_MODEL)
    queries = dict(zip(collection.queries["query_id"], collection.queries["query"], strict=True))
    known, texts = {*queries, *collection.judgements["document_id"]}, dict[str, str]()
    with atomic(paths.DOCUMENTS) as partial:  # an error below leaves the last table as it was
        documents = keep_texts(census.distinct(collection.documents), known, texts)
        write_documents(partial, documents, params.join.document_fields)
        census.check_fields(params.join.document_fields)
        say_changed_ids(collection, texts.keys() | census.empty)
        read = readings(tokenizer, queries), readings(tokenizer, texts)
        joined = join(collection, census, *read, params.join.min_relevant_grade)

    def drawn(rows: np.ndarray) -> pd.DataFrame:
        found = read_documents_at(rows)
        texts = readings(tokenizer, dict(zip(found["document_id"], found["text"], strict=True)))
        return found.assign(text=texts.reindex(found["document_id"]).to_numpy())

    added = stand_ins(joined.pairs, with_readings(collection.judgements, *read), census.kept, drawn)
    joined.counts["kept"]["unjudged_stand_ins"] = len(added)
    tables.write_table(paths.QUERIES, joined.queries)
    tables.write_table(paths.PAIRS, pd.concat([joined.pairs, added], ignore_index=True))
    # The source's: a query whose judgements in the test are all revised by a user's own is still a query of the test.
    splits = source.judgements[["query_id", "qrels_split"]].drop_duplicates()
    tables.write_table(paths.QRELS_SPLITS, splits[splits["qrels_split"] != ""])
    tables.write_csv(paths.JOIN_FINDINGS, joined.findings)
    write_json(paths.JOIN_COUNTS, joined.counts)
    for group, counts in joined.counts.items():
        of = " of " if group == "grades" else " "
        print(
            f"join: {group}: {', '.join(f'{count}{of}{name}' for name, count in counts.items() if count) or 'nothing'}"
        )
    if count := joined.counts["dropped"]["other_subtopic"]:
        print(
            f"join: {count} judgements are of another subtopic (column 2 of the qrels): a pair's largest grade counts"
        )
    for line in doubts(joined.counts["grades"], params.join.grades):
        print(f"join: warning: {line}")
    say_alike(joined.counts["noted"])
    say_stand_ins(joined.pairs, added)


if __name__ == "__main__":
    run_stage("join", main)

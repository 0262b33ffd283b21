"""Keep what is a graded pair of a known query and document, and account for every judgement that is dropped.

python -m stages.join
"""

import pandas as pd

from ranker.common.errors import run_stage
from ranker.common.files import write_json
from ranker.data.beir import read_beir
from ranker.data.collection import Census, Collection
from ranker.data.join import join, stand_ins
from ranker.data.trec import read_trec
from ranker.data.tutorial import read_tutorial
from ranker.project import paths, tables
from ranker.project.documents import document_ids, read_some_documents, write_documents
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


def main() -> None:
    params = load_params()
    collection = read_collection(params)
    census = Census()
    write_documents(paths.DOCUMENTS, census.distinct(collection.documents()), params.join.document_fields)
    texts = read_some_documents(set(collection.judgements["document_id"])).set_index("document_id")["text"]
    joined = join(collection, census, texts, params.join.relevant_from)
    added = stand_ins(joined.pairs, document_ids())
    joined.counts["kept"]["unjudged_stand_ins"] = len(added)
    tables.write_table(paths.QUERIES, joined.queries)
    tables.write_table(paths.PAIRS, pd.concat([joined.pairs, added], ignore_index=True))
    tables.write_csv(paths.JOIN_FINDINGS, joined.findings)
    write_json(paths.JOIN_COUNTS, joined.counts)
    for group, counts in joined.counts.items():
        print(f"join: {group}: {', '.join(f'{count} {name}' for name, count in counts.items() if count) or 'nothing'}")
    if len(added):
        positives = added["query_id"].nunique()
        print(
            f"join: warning: {positives} queries have no judged negatives: random unjudged documents stand in for them"
        )


if __name__ == "__main__":
    run_stage("join", main)

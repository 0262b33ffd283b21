"""Mine negatives for queries with few judged ones, and estimate the share of false negatives.

python -m stages.negatives
"""

import numpy as np
import pandas as pd
import pyarrow as pa

from ranker.common.errors import run_stage
from ranker.common.files import write_json
from ranker.project import paths, tables
from ranker.project.alike import with_readings
from ranker.project.documents import read_some_documents, read_some_tokens, read_token_parts
from ranker.project.params import load_params
from ranker.retrieval.negatives import Mined, false_negatives, mine, negatives_needed


def judgements(pairs: pd.DataFrame) -> pd.DataFrame:
    """Judged pairs with their cosine, then the ids of dropped judgements."""
    kept = pairs.loc[pairs["judged"], [*tables.IDS, "relevant"]]
    dropped = pd.read_csv(paths.JOIN_FINDINGS, usecols=tables.IDS, dtype=str, keep_default_na=False)
    dropped = dropped.merge(kept[tables.IDS], how="left", indicator=True).query("_merge == 'left_only'")[tables.IDS]
    embedded = tables.read_embeddings(paths.EMBEDDED_QUERIES), tables.read_embeddings(paths.EMBEDDED_DOCUMENTS)
    return pd.concat([kept.assign(base_cosine=tables.cosine_scores(kept, *embedded)), dropped], ignore_index=True)


def write(mined: Mined, pairs: pd.DataFrame) -> None:
    """Write mined pairs with their queries' folds, in the queries' order, and the documents' texts."""
    folds = pairs.drop_duplicates("query_id").set_index("query_id")["fold"]
    found = pd.concat([mined.from_ranks, mined.at_random])
    found = found.iloc[np.argsort(folds.index.get_indexer(pd.Index(found["query_id"])), kind="stable")]
    found = found.assign(grade=0, relevant=False, judged=False, unseen=False, fold=found["query_id"].map(folds))
    tables.write_table(paths.MINED_PAIRS, found)
    ids = pa.array(found["document_id"].unique(), pa.string())
    tables.write_texts(paths.MINED_DOCUMENTS, read_some_documents(set(ids.to_pylist())), read_some_tokens(ids))


def main() -> None:
    asked_for = load_params()
    params, untrained = asked_for.negatives, "run" if asked_for.first_stage.retriever == "run" else "bm25"
    pairs, hits = tables.read_table(paths.SPLIT_PAIRS), tables.read_table(paths.HITS)
    # An untrained list: a retriever's hits would show training what it learnt from other folds' judgements.
    hits = hits.assign(rank=hits[f"{untrained}_rank"]).dropna(subset="rank")
    asked = tables.read_as(tables.read_tokens(paths.SPLIT_QUERIES))
    texts = pd.concat([tables.read_as(part) for part in read_token_parts()])
    hits, judged = (with_readings(table, asked, texts) for table in (hits, judgements(pairs)))
    documents = texts.rename_axis("document_id").rename("text").reset_index()
    lacking = negatives_needed(pairs[pairs["judged"]], params.per_positive)
    mined = mine(hits, judged, lacking, documents, params)
    write(mined, pairs)
    counts = {
        "queries": {"all": pairs["query_id"].nunique(), "mined": len(lacking)},
        "mined": {"from_ranks": len(mined.from_ranks), "at_random": len(mined.at_random)},
        "refused": mined.refused,
    }
    write_json(paths.NEGATIVES, counts | {"false_negatives": false_negatives(hits, judged, documents, params)})
    print(
        f"negatives: {len(lacking)} of {pairs['query_id'].nunique()} queries have few judged negatives: mined "
        f"{len(mined.from_ranks)} from rank {params.from_rank} on, {len(mined.at_random)} at random"
    )


if __name__ == "__main__":
    run_stage("negatives", main)

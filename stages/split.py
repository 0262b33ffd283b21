"""Assign queries to folds, so that more data move nobody, and audit what the held-out side leaks.

python -m stages.split
"""

import pandas as pd

from ranker.common.errors import run_stage
from ranker.common.files import write_json
from ranker.project import paths, tables
from ranker.project.documents import read_paired_tokens, read_some_documents
from ranker.project.params import Split, load_params
from ranker.splits.folds import assign_folds, fold_shares, group_queries, held_out_rows, query_folds
from ranker.splits.leakage import NEAR_QUERIES, audit, check_queries, near_queries, seen_documents, unseen_pairs


def split(params: Split) -> tuple[pd.DataFrame, dict[str, float | int]]:
    """Write the judged pairs with their folds, and their texts; returns the pairs, and what the held-out fold leaks."""
    pairs, queries = tables.read_table(paths.PAIRS), tables.read_table(paths.QUERIES)
    tokens, documents = tables.read_tokens(paths.ENCODED_QUERIES), read_paired_tokens()
    embedded = tables.read_embeddings(paths.EMBEDDED_QUERIES)
    vectors = embedded.values[[embedded.index[query_id] for query_id in queries["query_id"]]]
    read = [tokens[row].tobytes() for row in tokens.rows(queries["query_id"])]
    groups = group_queries(read, vectors, params.near)
    by_query = query_folds(queries, groups, params.folds, params.seed)
    check_queries(queries, groups, by_query)
    pairs["fold"] = assign_folds(pairs, by_query, params.folds, params.seed, params.by)
    rows = {name: row for row, name in enumerate(documents.ids.to_pylist())}
    seen = {fold: seen_documents(pairs, fold, documents, rows) for fold in range(params.folds)}
    pairs["unseen"] = unseen_pairs(pairs, seen)
    held_out_rows(pairs, params.held_out)
    tables.write_table(paths.SPLIT_PAIRS, pairs)
    tables.write_texts(paths.SPLIT_QUERIES, queries, tokens)
    tables.write_texts(paths.SPLIT_DOCUMENTS, read_some_documents(set(pairs["document_id"])), documents)
    if params.held_out == "none":
        return pairs, {}
    held = queries["query_id"].map(by_query).to_numpy() == params.held_out
    leaks: dict[str, float | int] = {**audit(pairs, params.held_out, seen[params.held_out])}
    return pairs, leaks | {f"query_pairs_of_cosine_{NEAR_QUERIES}_across": near_queries(vectors, held)}


def side_counts(side: pd.DataFrame) -> dict[str, int]:
    return {"queries": side["query_id"].nunique(), "pairs": len(side)}


def main() -> None:
    params = load_params().split
    pairs, leaks = split(params)
    shares = fold_shares(pairs)
    held_out = pairs["fold"] == params.held_out
    counts = {
        "training": side_counts(pairs[~held_out]),
        "held_out": side_counts(pairs[held_out]),
        "relevant_share": {
            "lowest_fold": float(shares["relevant_share"].min()),
            "highest_fold": float(shares["relevant_share"].max()),
        },
        "leakage": leaks,
    }
    write_json(paths.SPLIT_COUNTS, counts)
    print(shares.to_string(index=False, float_format="{:.3f}".format))
    for name, value in leaks.items():
        shown = f"{value:.1%}" if isinstance(value, float) else str(value)
        print(f"split: held out: {name.replace('_', ' ')}: {shown}")


if __name__ == "__main__":
    run_stage("split", main)

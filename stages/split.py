"""Assign each query to a fold by a hash of its own tokens, and audit leakage between the sides.

python -m stages.split
"""

import pandas as pd

from ranker.common.errors import run_stage
from ranker.common.files import write_json
from ranker.project import paths, tables
from ranker.project.documents import read_paired_tokens, read_some_documents
from ranker.project.params import Split, load_params
from ranker.project.sides import fold_number, held_out_rows
from ranker.project.tables import Tokens
from ranker.splits.folds import assign_folds, fold_shares, named_folds, query_folds
from ranker.splits.leakage import NEAR_QUERIES, audit, near_queries, seen_documents, unseen_pairs

TEST = "test"  # BEIR's name of the split that benchmarks report


def folded(pairs: pd.DataFrame, queries: pd.DataFrame, tokens: Tokens, params: Split) -> pd.DataFrame:
    """The pairs with a column fold. A split held out by name drops other splits' queries that read like its own."""
    read = tokens.take(tokens.rows(queries["query_id"]).tolist())
    if not params.named:
        by_query = pd.Series(query_folds(read, params.folds, params.seed), index=queries["query_id"])
        return pairs.assign(fold=assign_folds(pairs, by_query, params.folds, params.seed, params.by))
    splits = tables.read_table(paths.QRELS_SPLITS)
    by_query = named_folds(queries.assign(tokens=[text.tobytes() for text in read]), splits, str(params.held_out))
    say_named(by_query, len(queries), splits, str(params.held_out))
    pairs = pairs[pairs["query_id"].isin(by_query.index)].reset_index(drop=True)
    return pairs.assign(fold=pairs["query_id"].map(by_query).astype("int8"))


def say_named(by_query: "pd.Series[int]", queries: int, splits: pd.DataFrame, name: str) -> None:
    """Print how many queries the held-out split shares with other splits, by id or by reading."""
    held_out = by_query.index[by_query == fold_number(name)]
    several = splits.loc[splits["query_id"].isin(held_out) & (splits["qrels_split"] != name), "query_id"].nunique()
    if several:
        print(f"split: {several} queries of split {name} are judged by other splits too: held out with all judgements")
    if dropped := queries - len(by_query):
        print(f"split: {dropped} queries of other splits dropped, because they read like one of split {name}")


def say_test(params: Split) -> None:
    """Warn if a benchmark's test split is trained on."""
    splits = set(tables.read_table(paths.QRELS_SPLITS)["qrels_split"])
    if TEST in splits and not params.named:
        but = "" if params.held_out == "none" else f", but for its queries of fold {params.held_out}"
        others = ", ".join(sorted(splits - {TEST}))
        hint = f"to train on {others} alone, -S split.held_out={TEST}" if others else "there is no other"
        print(f"split: warning: split {TEST} of the judgements is trained on{but}: {hint}")


def split(params: Split) -> tuple[pd.DataFrame, dict[str, float | int]]:
    """Write the judged pairs with their folds, and their texts; returns the pairs and the leakage counts."""
    queries, tokens = tables.read_table(paths.QUERIES), tables.read_tokens(paths.ENCODED_QUERIES)
    pairs, documents = folded(tables.read_table(paths.PAIRS), queries, tokens, params), read_paired_tokens()
    rows = {name: row for row, name in enumerate(documents.ids.to_pylist())}
    seen = {fold: seen_documents(pairs, fold, documents, rows) for fold in sorted(pairs["fold"].unique())}
    pairs["unseen"] = unseen_pairs(pairs, seen)
    held_out_rows(pairs, params.held_out)
    tables.write_table(paths.SPLIT_PAIRS, pairs)
    tables.write_texts(paths.SPLIT_QUERIES, queries, tokens)
    tables.write_texts(paths.SPLIT_DOCUMENTS, read_some_documents(set(pairs["document_id"])), documents)
    if params.held_out == "none":
        return pairs, {}
    fold = fold_number(params.held_out)
    leaks: dict[str, float | int] = {**audit(pairs, fold, seen[fold])}
    return pairs, leaks | {f"query_pairs_of_cosine_{NEAR_QUERIES}_across": near_across(pairs, fold)}


def near_across(pairs: pd.DataFrame, fold: int) -> int:
    """`near_queries` between the queries with pairs in a fold and all others."""
    embedded = tables.read_embeddings(paths.EMBEDDED_QUERIES)
    by_query = pairs.drop_duplicates("query_id")
    vectors = embedded.values[[embedded.index[query_id] for query_id in by_query["query_id"]]]
    return near_queries(vectors, (by_query["fold"] == fold).to_numpy())


def side_counts(side: pd.DataFrame) -> dict[str, int]:
    return {"queries": side["query_id"].nunique(), "pairs": len(side)}


def main() -> None:
    params = load_params().split
    pairs, leaks = split(params)
    shares = fold_shares(pairs)
    names = {fold_number(params.held_out): params.held_out}
    shares["fold"] = [names.get(fold, fold) for fold in shares["fold"]]
    held_out = pairs["fold"] == fold_number(params.held_out)
    counts = {
        "training": side_counts(pairs[~held_out]),
        "held_out": side_counts(pairs[held_out]),
        "queries_per_fold": dict(zip(shares["fold"].map(str), shares["queries"].tolist(), strict=True)),
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
    say_test(params)


if __name__ == "__main__":
    run_stage("split", main)

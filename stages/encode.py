"""Tokenise each query and title once, whole and without special tokens; pairs are cut when they are laid out.

python -m stages.encode
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tqdm import tqdm

from ranker.common.errors import run_stage
from ranker.common.files import write_json
from ranker.contract.tokens import load_tokenizer, tokenize
from ranker.project import paths, tables
from ranker.project.params import load_params
from ranker.project.preflight import check_params_fit_model

UNKNOWN = 0.05  # share of tokens that the vocabulary lacks, from which on a line says so
PERCENTILES = (50, 90, 99, 100)


def encode(tokenizer: Tokenizer, source: Path) -> Iterator[tables.Tokens]:
    """Token ids of a table's texts, a part at a time."""
    for ids, texts in tqdm(tables.read_texts(source), desc="encode", unit="part", disable=None):
        yield tables.pack(ids, tokenize(tokenizer, texts))


def encode_table(tokenizer: Tokenizer, source: Path, destination: Path) -> dict[str, float]:
    """Write a table's token ids; returns how many they are, how long texts are, and how many are unknown."""
    tables.write_tokens(destination, encode(tokenizer, source))
    tokens = tables.read_tokens(destination)
    unknown = tokenizer.token_to_id("[UNK]")
    share = float(np.mean(tokens.values == unknown)) if len(tokens.values) else 0.0
    lengths = dict(zip(PERCENTILES, np.percentile(tokens.lengths, PERCENTILES, method="higher"), strict=True))
    print(f"encode: {destination}: {len(tokens)} texts, {len(tokens.values)} tokens, {lengths[100]} in the longest")
    if share >= UNKNOWN:
        print(f"encode: warning: {share:.0%} of the tokens of {source} are [UNK]: the base model does not read them")
    return {
        "texts": len(tokens),
        "tokens": len(tokens.values),
        **{f"tokens_of_{percentile}_percent_at_most": int(value) for percentile, value in lengths.items()},
        "unknown_share": share,
    }


def main() -> None:
    check_params_fit_model(paths.BASE_MODEL, load_params())
    tokenizer = load_tokenizer(paths.BASE_MODEL)
    queries = encode_table(tokenizer, paths.QUERIES, paths.ENCODED_QUERIES)
    documents = encode_table(tokenizer, paths.DOCUMENTS, paths.ENCODED_DOCUMENTS)
    write_json(paths.ENCODE_COUNTS, {"queries": queries, "documents": documents})


if __name__ == "__main__":
    run_stage("encode", main)

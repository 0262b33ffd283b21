"""Tokenise each unique query and title once, whole and without special tokens; pairs are cut when they are laid out.

python -m stages.encode
"""

from pathlib import Path

import pandas as pd
from tokenizers import Tokenizer

from ranker import tables
from ranker.encoding import load_tokenizer, tokenize
from ranker.errors import run_stage
from ranker.params import load_params


def encode(tokenizer: Tokenizer, texts: "pd.Series[str]") -> "pd.Series":
    """Token ids of each text; texts that repeat are tokenised once."""
    unique = texts.drop_duplicates()
    tokens = dict(zip(unique, tokenize(tokenizer, unique.tolist()), strict=True))
    return texts.map(tokens.__getitem__)


def encode_table(tokenizer: Tokenizer, source: Path, destination: Path) -> None:
    table = tables.read_table(source)
    key, text = table.columns
    table["tokens"] = encode(tokenizer, table[text])
    tables.write_table(destination, table[[key, "tokens"]])
    print(f"encode: {destination}: {len(table)} texts, {table['tokens'].map(len).sum()} tokens")


def main() -> None:
    load_params()
    tokenizer = load_tokenizer(tables.BASE_MODEL)
    encode_table(tokenizer, tables.QUERIES, tables.ENCODED_QUERIES)
    encode_table(tokenizer, tables.DOCUMENTS, tables.ENCODED_DOCUMENTS)


if __name__ == "__main__":
    run_stage("encode", main)

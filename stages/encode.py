"""Tokenise each query and title once, whole and without special tokens; pairs are cut when they are laid out.

python -m stages.encode
"""

from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer
from tqdm import tqdm

from ranker.common.errors import run_stage
from ranker.contract.tokens import load_tokenizer, tokenize
from ranker.project import paths, tables
from ranker.project.params import load_params
from ranker.project.preflight import check_params_fit_model


def encode(tokenizer: Tokenizer, source: Path) -> Iterator[tables.Tokens]:
    """Token ids of a table's texts, a part at a time."""
    for ids, texts in tqdm(tables.read_texts(source), desc="encode", unit="part", disable=None):
        yield tables.pack(ids, tokenize(tokenizer, texts))


def encode_table(tokenizer: Tokenizer, source: Path, destination: Path) -> None:
    tables.write_tokens(destination, encode(tokenizer, source))
    tokens = tables.read_tokens(destination)
    print(f"encode: {destination}: {len(tokens)} texts, {tokens.lengths.sum()} tokens")


def main() -> None:
    check_params_fit_model(paths.BASE_MODEL, load_params())
    tokenizer = load_tokenizer(paths.BASE_MODEL)
    encode_table(tokenizer, paths.QUERIES, paths.ENCODED_QUERIES)
    encode_table(tokenizer, paths.DOCUMENTS, paths.ENCODED_DOCUMENTS)


if __name__ == "__main__":
    run_stage("encode", main)

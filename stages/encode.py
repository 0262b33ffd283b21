"""Tokenise each query and document once, in full and without special tokens; laying out a pair truncates it.

python -m stages.encode
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer
from tqdm import tqdm

from ranker.common.errors import run_stage
from ranker.common.files import write_json
from ranker.contract.tokens import load_tokenizer, tokenize
from ranker.project import paths, tables
from ranker.project.documents import read_documents
from ranker.project.params import load_params
from ranker.project.preflight import check_params_fit_model

UNKNOWN = 0.05  # share of unknown tokens that prints a warning
PERCENTILES = (50, 90, 99, 100)

Part = tuple[tables.Tokens, list[pa.Array]]  # token ids, and the columns between ids and tokens


def encode_queries(tokenizer: Tokenizer) -> Iterator[Part]:
    queries = tables.read_table(paths.QUERIES)
    yield tables.pack(queries["query_id"], tokenize(tokenizer, queries["query"].tolist())), []


def encode_documents(tokenizer: Tokenizer) -> Iterator[Part]:
    """Token ids of all documents in parts, with the column `paired`."""
    paired = set(tables.read_table(paths.PAIRS)["document_id"])
    for ids, _, texts in tqdm(read_documents(), desc="encode", unit="part", disable=None):
        yield tables.pack(ids, tokenize(tokenizer, texts)), [pa.array([name in paired for name in ids], pa.bool_())]


class Counts:
    """Counts texts by length, and their unknown tokens."""

    def __init__(self, unknown: int | None) -> None:
        self.unknown = unknown
        self.lengths: list[np.ndarray] = []
        self.unknown_tokens = 0

    def watch(self, parts: Iterator[Part]) -> Iterator[Part]:
        for tokens, columns in parts:
            self.lengths.append(tokens.lengths.astype(np.int32))
            self.unknown_tokens += int((tokens.values == self.unknown).sum())
            yield tokens, columns

    def report(self, name: str) -> dict[str, float]:
        """Print and return the counts; warn if many tokens are unknown."""
        lengths = np.concatenate(self.lengths)
        texts, total = len(lengths), int(lengths.sum())
        at_most = dict(zip(PERCENTILES, np.percentile(lengths, PERCENTILES, method="higher").tolist(), strict=True))
        share = self.unknown_tokens / total if total else 0.0
        print(f"encode: {name}: {texts} texts, {total} tokens, {at_most[100]} in the longest")
        if share >= UNKNOWN:
            print(f"encode: warning: {share:.0%} of the tokens of {name} are [UNK]: the base model does not read them")
        percentiles = {f"tokens_of_{percentile}_percent_at_most": value for percentile, value in at_most.items()}
        return {"texts": texts, "tokens": total, **percentiles, "unknown_share": share}


def main() -> None:
    check_params_fit_model(paths.BASE_MODEL, load_params())
    tokenizer = load_tokenizer(paths.BASE_MODEL)
    queries, documents = Counts(tokenizer.token_to_id("[UNK]")), Counts(tokenizer.token_to_id("[UNK]"))
    tables.write_tokens(paths.ENCODED_QUERIES, queries.watch(encode_queries(tokenizer)))
    tables.write_tokens(paths.ENCODED_DOCUMENTS, documents.watch(encode_documents(tokenizer)))
    counts = {"queries": queries.report("queries"), "documents": documents.report("documents")}
    write_json(paths.ENCODE_COUNTS, counts)


if __name__ == "__main__":
    run_stage("encode", main)

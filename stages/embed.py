"""Embed the texts of all pairs with the untrained base model, for the baseline base_cosine.

python -m stages.embed
"""

from pathlib import Path
from typing import Literal

import pandas as pd

from ranker.common.errors import run_stage
from ranker.model.embedding import Embedder
from ranker.project import paths, tables
from ranker.project.documents import read_paired_tokens
from ranker.project.params import load_params
from ranker.project.preflight import say_other_versions


def embed_table(embed: Embedder, side: Literal["query", "document"], tokens: tables.Tokens, destination: Path) -> None:
    embeddings = embed(tokens, side)
    tables.write_table(destination, pd.DataFrame({f"{side}_id": tokens.ids, "embedding": list(embeddings)}))
    print(f"embed: {destination}: {len(embeddings)} texts, {embeddings.shape[1]} dimensions")


def main() -> None:
    load_params()
    say_other_versions("embed")
    embed = Embedder(paths.BASE_MODEL)
    embed_table(embed, "query", tables.read_tokens(paths.ENCODED_QUERIES), paths.EMBEDDED_QUERIES)
    embed_table(embed, "document", read_paired_tokens(), paths.EMBEDDED_DOCUMENTS)


if __name__ == "__main__":
    run_stage("embed", main)

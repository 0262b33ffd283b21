"""Feed a Vespa that has the application package, and ask it.

python -m ranker.vespa feed documents.parquet --out feed.jsonl
python -m ranker.vespa feed documents.parquet --out feed/ [--ray-address ADDRESS]
python -m ranker.vespa query "coronavirus origin" [--hits 10]
"""

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

from ranker import tables
from ranker.documents import check_query, read_documents
from ranker.errors import InputError, run_stage
from ranker.feed import DOCUMENT_TYPE, PROFILE, QUERY_TENSOR, TOKENIZER, feeder, write_feed
from ranker.files import sha256
from ranker.serving import CONTRACT_FILE, TOKENIZER_FILE, TextEncoder


def query_body(text: str, hits: int = 10) -> dict[str, Any]:
    """The body of a request to Vespa's /search/: BM25 finds, the cross-encoder reorders.

    Vespa tokenises the query itself, by the same tokenizer.json.
    """
    check_query(text)
    if not text.strip():
        raise InputError(f"query: expected text, found {text!r}")
    if hits < 1:
        raise InputError(f"--hits: expected at least 1, found {hits}")
    return {
        "yql": f"select document_id, title from {DOCUMENT_TYPE} where userInput(@text)",
        "text": text,
        "ranking": PROFILE,
        f"input.query({QUERY_TENSOR})": f"embed({TOKENIZER}, @text)",
        "hits": hits,
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ranker.vespa", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    feed = commands.add_parser("feed", help="write Vespa's JSON lines, token ids included")
    feed.add_argument("documents", type=Path, help="CSV, JSON lines or Parquet with document_id and title (- : stdin)")
    feed.add_argument(
        "--out",
        type=Path,
        required=True,
        help="the feed: one .jsonl, or a folder with one for each row group of Parquet; a run that was stopped goes on",
    )
    feed.add_argument("--ray-address", help="of a Ray cluster, or local: one worker for each of this machine's cores")
    feed.add_argument("--ranker", type=Path, default=tables.RANKER, help="the folder that stage export wrote")
    query = commands.add_parser("query", help="print the body of a query")
    query.add_argument("text")
    query.add_argument("--hits", type=int, default=10)
    return parser.parse_args()


def feed(asked: argparse.Namespace) -> int:
    """Write one file or many; returns how many documents are in them."""
    encoder = TextEncoder(asked.ranker)
    if asked.out.suffix == ".jsonl" and not asked.ray_address:
        return write_feed(read_documents(asked.documents), encoder, asked.out)
    from ranker import shards  # pyarrow takes a while to import: not for a query

    columns, out = ("document_id", "title"), asked.out
    found = shards.plan(asked.documents, columns, out, ".jsonl")
    made_by = {file: sha256(asked.ranker / file) for file in (TOKENIZER_FILE, CONTRACT_FILE)}
    left = shards.pending(found, out, made_by)
    shards.run(left, columns, partial(feeder, asked.ranker.resolve()), asked.ray_address, "doc")
    return sum(shard.rows for shard in found)


def main() -> None:
    asked = parse()
    if asked.command == "query":
        print(json.dumps(query_body(asked.text, asked.hits), indent=2, ensure_ascii=False))
        return
    count = feed(asked)
    print(f"vespa: {asked.out}: {count} documents")


if __name__ == "__main__":
    run_stage("vespa", main)

"""Search, rank, score, feed and serve with the exported models.

python -m ranker search "coronavirus origin" --documents titles.csv --explain
python -m ranker rank "coronavirus origin" --documents titles.csv
python -m ranker score pairs.parquet --out scores/
python -m ranker feed documents.parquet --out feed.jsonl
python -m ranker query "coronavirus origin"
python -m ranker beside older/vespa --out both
python -m ranker bulk documents.parquet --out bulk.jsonl
python -m ranker serve --documents titles.csv
"""

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ranker.common.errors import InputError, run_stage
from ranker.common.table import STDIN, SYNONYMS, Synonyms, synonyms
from ranker.contract.folder import DEFAULT_APPLICATION, DEFAULT_FOLDER, DEFAULT_RETRIEVER, DEFAULT_STACK, MODEL_FILES

if TYPE_CHECKING:
    from ranker.search.command import Places

COMMAND = "cord19-ranker"  # the wheel's (pyproject.toml)
EXTRAS = {  # the wheel's, by module
    "pyarrow": "parquet", "filelock": "parquet", "tqdm": "vespa", "ray": "ray",
    "starlette": "serve", "uvicorn": "serve", "pydantic": "serve", "anyio": "serve",
    "bm25s": "search", "Stemmer": "search", "regex": "search",
}  # fmt: skip
DOCUMENTS = "CSV, JSON lines or Parquet with document_id and join.document_fields: title, say (- : standard input)"
COLUMN = "COLUMN holds NAME (document_id, query …); by default, its usual names are looked for; may be repeated"


def columns(asked: argparse.Namespace) -> Synonyms:
    """Names of columns, with those of the options `--column`; InputError if one names no known column."""
    named = dict[str, str]()
    for pair in asked.column:
        column, equals, name = pair.partition("=")
        if column not in SYNONYMS or not equals or not name:
            raise InputError(f"--column: expected NAME=COLUMN with NAME of {', '.join(SYNONYMS)}, found {pair!r}")
        named[column] = name
    return synonyms(named, named)


def places(asked: argparse.Namespace) -> "Places":
    """Files and folders of a search."""
    from ranker.search.command import Places

    return Places(asked.documents, asked.stack, asked.retriever_dir, asked.model_dir, asked.vectors)


def search(asked: argparse.Namespace) -> None:
    from ranker.search.command import print_search

    options = asked.model, asked.top, asked.threads, asked.jsonl, asked.explain, columns(asked)
    print_search(asked.query, places(asked), *options)


def rank(asked: argparse.Namespace) -> None:
    from ranker.serving.rank import print_ranking

    options = asked.top, asked.threads, asked.jsonl, columns(asked)
    print_ranking(asked.query, asked.documents, asked.model_dir, asked.model, *options)


def score(asked: argparse.Namespace) -> None:
    from ranker.serving.score import score_corpus  # pyarrow takes a while to import

    options = asked.model_dir, asked.model, asked.ray_address, columns(asked)
    print(f"score: {score_corpus(asked.pairs, asked.out, *options)}")


def feed(asked: argparse.Namespace) -> None:
    from ranker.vespa.feed import feed_corpus, feed_fields

    fields = feed_fields(asked.application)
    print(f"feed: {feed_corpus(asked.documents, asked.out, asked.ray_address, fields, columns(asked))}")


def query(asked: argparse.Namespace) -> None:
    from ranker.vespa.query import query_body, read_settings

    settings = read_settings(asked.application)
    body = query_body(asked.text, settings, asked.hits, asked.stack, asked.exact)
    print(json.dumps(body, indent=2, ensure_ascii=False))


def beside(asked: argparse.Namespace) -> None:
    from ranker.vespa.beside import write_beside

    newer, older = write_beside(asked.application, asked.older, asked.out)
    print(f"beside: {asked.out}: version {newer}, and {older} beside it")


def bulk(asked: argparse.Namespace) -> None:
    from ranker.opensearch.bulk import write_bulk

    print(f"bulk: {write_bulk(asked.documents, asked.out, asked.model_dir, columns(asked))}")


def serve(asked: argparse.Namespace) -> None:
    from ranker.service.command import serve as serve_stack

    serve_stack(places(asked), asked.model, asked.host, asked.port, asked.threads, columns(asked))


def parser() -> argparse.ArgumentParser:
    """One command line; each command has a --help with an example."""
    installed = Path(sys.argv[0]).name == COMMAND
    prog = COMMAND if installed else "python -m ranker"
    top = argparse.ArgumentParser(prog=prog, description=(__doc__ or "").splitlines()[0])
    names = "search | rank | score | feed | query | beside | bulk | serve"
    commands = top.add_subparsers(dest="command", required=True, metavar=names)
    examples = (__doc__ or "").splitlines()[2:]
    add = partial(_command, commands, examples)
    _search_options(add(search, "search documents with the whole stack: first stage, cross-encoder, their sum"))
    _rank_options(add(rank, "rank documents for a query"))
    _score_options(add(score, "score a corpus of pairs, on this machine or on a Ray cluster"))
    _feed_options(add(feed, "write Vespa's feed, a JSON line for each document"))
    _query_options(add(query, "print the body of a request to Vespa"))
    _beside_options(add(beside, "write an application package of two versions, to change from one to the other"))
    _bulk_options(add(bulk, "write OpenSearch's feed, two lines for each document"))
    _serve_options(add(serve, "search, rerank and embed over HTTP, with a page to try it on"))
    return top


def _command(commands: Any, examples: Sequence[str], function: Any, text: str) -> argparse.ArgumentParser:
    name = function.__name__
    (example,) = [line for line in examples if line.startswith(f"python -m ranker {name} ")]
    added: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, epilog=f"example: {example}"
    )
    added.set_defaults(run=function)
    return added


def _search_options(parser: argparse.ArgumentParser) -> None:
    _rank_options(parser)
    parser.add_argument("--explain", action="store_true", help="trace each hit: ranks, raw scores, parts of the sum")
    _stack_options(parser)


def _serve_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--documents", type=Path, help=f"to search; without it, rerank and embed alone: {DOCUMENTS}")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1); it asks no password")
    parser.add_argument("--port", type=int, default=8000, help="(8000; 0: any free one)")
    parser.add_argument("--threads", type=int, default=0, help="requests at a time (0: one a core)")
    _column_option(parser)
    _model_options(parser)
    _stack_options(parser)


def _stack_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(model=None)  # those that the stack was measured with
    parser.add_argument("--stack", type=Path, default=DEFAULT_STACK, help=f"stage package's stack ({DEFAULT_STACK})")
    retriever = "the folder of the retriever, if the stack has one"
    parser.add_argument("--retriever-dir", type=Path, default=DEFAULT_RETRIEVER, help=retriever)
    vectors = "keep the documents' vectors in this folder (the user's cache folder)"
    parser.add_argument("--vectors", type=Path, metavar="DIR", help=vectors)


def _rank_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query")
    parser.add_argument("--documents", type=Path, default=STDIN, help=DOCUMENTS)
    parser.add_argument("--top", type=int, default=10, help="number of documents to show (10)")
    parser.add_argument("--jsonl", action="store_true", help="a JSON object a line instead of a table")
    _column_option(parser)
    parser.add_argument("--threads", type=int, default=0, help="threads a batch (0: one a core)")
    _model_options(parser)


def _score_options(parser: argparse.ArgumentParser) -> None:
    pairs = "a table with query_id, query, document_id and join.document_fields, or a folder of Parquet"
    parser.add_argument("pairs", type=Path, help=pairs)
    parser.add_argument("--out", type=Path, required=True, help="output folder; a stopped run resumes")
    _column_option(parser)
    _ray_option(parser)
    _model_options(parser)


def _feed_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("documents", type=Path, help=DOCUMENTS)
    out = "a .jsonl file, or a folder with one for each row group of Parquet, where a stopped run resumes"
    parser.add_argument("--out", type=Path, required=True, help=out)
    application = f"the folder of stage package, which names the fields ({DEFAULT_APPLICATION}, if it exists)"
    parser.add_argument("--application", type=Path, help=application)
    _column_option(parser)
    _ray_option(parser)


def _query_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text")
    parser.add_argument("--hits", type=int, default=10, help="number of hits to request (10)")
    parser.add_argument("--stack", help="another stack of the package's, such as dense, by its own rank profile")
    parser.add_argument("--exact", action="store_true", help="compare all vectors, to see what the index misses")
    application = "the folder of stage package"
    parser.add_argument("--application", type=Path, default=DEFAULT_APPLICATION, help=application)


def _beside_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("older", type=Path, help="the application package of the version that serves now")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    application = "the newer one: the folder of stage package"
    parser.add_argument("--application", type=Path, default=DEFAULT_APPLICATION, help=application)


def _bulk_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("documents", type=Path, help=DOCUMENTS)
    parser.add_argument("--out", type=Path, required=True, help="a file of JSON lines")
    model_dir = "the folder of stage export, which names a document's fields"
    parser.add_argument("--model-dir", type=Path, default=DEFAULT_FOLDER, help=model_dir)
    _column_option(parser)


def _column_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--column", action="append", default=[], metavar="NAME=COLUMN", help=COLUMN)


def _ray_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ray-address", help="address of a Ray cluster, or local: one worker a core of this machine")


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", choices=MODEL_FILES, default="fp32")
    parser.add_argument("--model-dir", type=Path, default=DEFAULT_FOLDER, help="the folder of stage export")


def run(asked: argparse.Namespace) -> None:
    """Run a command; InputError names the extra of the wheel to install if a module is missing."""
    try:
        asked.run(asked)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS:
            raise
        raise InputError(f"needs {module}: pip install '{COMMAND}[{EXTRAS[module]}]'") from error


def main() -> None:
    asked = parser().parse_args()
    run_stage(asked.command, partial(run, asked), params=None)


if __name__ == "__main__":
    main()

"""The body of a request to a Vespa that has the application package."""

import json
from typing import Any

from ranker.common.errors import InputError
from ranker.serving.documents import check_query
from ranker.vespa.feed import DOCUMENT_TYPE, PROFILE, QUERY_TENSOR, TOKENIZER


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


def print_query(text: str, hits: int) -> None:
    """Print `query_body` as JSON."""
    print(json.dumps(query_body(text, hits), indent=2, ensure_ascii=False))

"""The body of a search request to Vespa with the application package."""

import unicodedata
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ranker.common.errors import InputError
from ranker.common.files import read_json, write_json
from ranker.contract.document import TITLE
from ranker.contract.words import DROPPED
from ranker.serving.documents import check_query
from ranker.vespa.names import DOCUMENT_TYPE, PROFILE, QUERY_INPUT, TOKENIZER

SETTINGS_FILE = "query-settings.json"  # in the application package; Vespa ignores it
SEARCHED = ("L", "Mn", "Mc", "N", "So")  # categories of characters that Vespa indexes: letters, numbers, emoji ...
MOST_HITS = 400  # Vespa's default maxHits


@dataclass(frozen=True)
class QuerySettings:
    """Settings of a query, as its application package needs them."""

    language: str
    rerank_count: int
    timeout_ms: int
    document_fields: tuple[str, ...] = TITLE


def write_settings(application: Path, settings: QuerySettings) -> None:
    write_json(application / SETTINGS_FILE, asdict(settings))


def read_settings(application: Path) -> QuerySettings:
    """Read the settings of an application package; InputError if it has none."""
    file = application / SETTINGS_FILE
    if not file.is_file():
        raise InputError(f"{file}: expected a file that stage package wrote, found none")
    try:
        found = QuerySettings(**read_json(file))
        return replace(found, document_fields=tuple(found.document_fields))  # JSON has lists
    except (ValueError, TypeError) as error:
        raise InputError(f"{file}: expected settings as stage package writes them, found: {error}") from error


def query_body(text: str, settings: QuerySettings, hits: int = 10) -> dict[str, Any]:
    """The body of a request to Vespa's /search/: BM25 finds, the cross-encoder reorders.

    Vespa tokenises the query itself with the same tokenizer.json. The grammar is `tokenize`, because by userInput's
    default `covid -vaccine` excludes vaccine and `title:x` searches a field. InputError for a query without a letter,
    digit or symbol, which Vespa answers with status 400.
    """
    check_query(text)
    text = text.translate(DROPPED)  # as the feed does
    if not any(unicodedata.category(character).startswith(SEARCHED) for character in text):
        raise InputError(f"query: expected a letter, a digit or a symbol to search for, found {text!r}")
    if not 1 <= hits <= MOST_HITS:
        raise InputError(f"--hits: expected 1 to {MOST_HITS}, Vespa's maxHits, found {hits}")
    found = max(settings.rerank_count, hits)  # weakAnd's default target is 100, even if more are reranked
    words = f'{{grammar: "tokenize", targetHits: {found}}}userInput(@text)'
    return {
        "yql": f"select document_id, {settings.document_fields[0]} from {DOCUMENT_TYPE} where {words}",
        "text": text,
        "language": settings.language,
        "ranking": PROFILE,
        f"input.query({QUERY_INPUT})": f"embed({TOKENIZER}, @text)",
        "hits": hits,
        "timeout": f"{settings.timeout_ms}ms",
    }

"""The body of a search request to Vespa with the application package."""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ranker.common.errors import InputError
from ranker.common.files import read_json, write_json
from ranker.contract.document import TITLE
from ranker.contract.words import DROPPED
from ranker.serving.documents import check_query
from ranker.stack.stack import Stack, as_stack
from ranker.vespa.names import PROFILE, QUERY_INPUT, TEXTS, TOKENIZER, Names
from ranker.vespa.profiles import served_stacks, takes_bm25

SETTINGS_FILE = "query-settings.json"  # in the application package; Vespa ignores it
MOST_HITS = 400  # Vespa's default maxHits


@dataclass(frozen=True)
class QuerySettings:
    """Settings of an application package's feed and queries.

    `document_fields` are a document's fields in a table, `names.text_fields` the same ones in Vespa.
    """

    names: Names
    stack: Stack  # that it serves by default
    timeout_ms: int
    has_retriever: bool
    document_fields: tuple[str, ...] = TITLE

    @cached_property
    def stacks(self) -> list[Stack]:
        """The stacks that it can serve, each by a rank profile."""
        return served_stacks(self.stack, self.has_retriever)

    def asked(self, name: str | None) -> Stack:
        """The stack of this name, by default the one that ships; InputError if it serves no such stack."""
        found = {stack.name: stack for stack in self.stacks}
        if name is not None and name not in found:
            raise InputError(f"--stack: expected one of {', '.join(found)}, found {name!r}")
        return found[name] if name else self.stack


def write_settings(application: Path, settings: QuerySettings) -> None:
    write_json(application / SETTINGS_FILE, asdict(settings))


def read_settings(application: Path) -> QuerySettings:
    """Read the settings of an application package; InputError if it has none."""
    file = application / SETTINGS_FILE
    if not file.is_file():
        raise InputError(f"{file}: expected a file that stage package wrote, found none")
    try:
        found = read_json(file)
        names = {**found["names"], "text_fields": tuple(found["names"]["text_fields"])}  # JSON has lists
        return QuerySettings(
            Names(**names),
            as_stack(found["stack"]),
            int(found["timeout_ms"]),
            bool(found["has_retriever"]),
            tuple(found["document_fields"]),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{file}: expected settings as stage package writes them, found: {error}") from error


def query_body(
    text: str, settings: QuerySettings, hits: int = 10, stack: str | None = None, exact: bool = False
) -> dict[str, Any]:
    """The body of a request to Vespa's /search/, by the stack that ships or another one that the package serves.

    Vespa tokenises and embeds the query itself. The grammar is `tokenize`, because by userInput's default
    `covid -vaccine` excludes vaccine and `title:x` searches a field. An `exact` search compares all vectors, which
    shows what the index misses. InputError for a query without a letter, digit or symbol, which Vespa answers with
    status 400.
    """
    check_query(text)
    text = text.translate(DROPPED)  # as the feed does
    if not 1 <= hits <= MOST_HITS:
        raise InputError(f"--hits: expected 1 to {MOST_HITS}, Vespa's maxHits, found {hits}")
    asked, names = settings.asked(stack), settings.names
    if exact and asked.first_stage != "dense":
        raise InputError(f"--exact: expected a stack that finds by vectors alone, such as dense, found {asked.name}")
    inputs = {}
    if asked.vectors:
        inputs[f"input.query({names.vectors})"] = f"embed({names.of('retriever')}, @text)"
    if asked.runs_cross_encoder:
        inputs[f"input.query({QUERY_INPUT})"] = f"embed({TOKENIZER}, @text)"
    where = _found_by(asked, names, hits, exact)
    return {
        "yql": f"select {names.id_field}, {names.text_fields[0]} from {names.document_type} where {where}",
        "text": text,
        "language": asked.language,
        "ranking": names.profile(asked) if stack else PROFILE,
        **inputs,
        "hits": hits,
        "timeout": f"{settings.timeout_ms}ms",
    }


def _found_by(stack: Stack, names: Names, hits: int, exact: bool) -> str:
    """The condition of a stack's hits; words that only add their score to hits of the vectors come second in `rank`.

    weakAnd's default target is 100, even if more are reranked. A hybrid's first phase puts the vectors' hits first, so
    these stay as many as were measured, whatever `hits` is; else they would leave no room for BM25's.
    """
    hybrid, many = len(stack.found_by) > 1, max(stack.depth, hits)
    words = f'({{grammar: "tokenize", defaultIndex: "{TEXTS}", targetHits: {many}}}userInput(@text))'
    options = f"targetHits: {stack.depth if hybrid else many}{', approximate: false' * exact}"
    near = f"({{{options}}}nearestNeighbor({names.vectors}, {names.vectors}))"
    if stack.first_stage == "bm25":
        return words
    if hybrid:
        return f"({near} or {words})"
    return f"rank({near}, {words})" if takes_bm25(stack) else near

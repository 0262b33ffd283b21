"""Bodies that the doors take: text-embeddings-inference's and Cohere's, and the search's own.

An option that changes nothing here, such as `model`, is taken and ignored; an unknown one is refused, because a
misspelt one would change nothing without a word.
"""

import json
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from ranker.common.errors import InputError, first_mistake
from ranker.serving.documents import check_query

MOST_TEXTS = 1000  # of a request
LONGEST_QUERY = 10_000  # characters

Texts = Annotated[list[str], Field(min_length=1, max_length=MOST_TEXTS)]
Top = Annotated[int, Field(ge=1)]
Query = Annotated[str, Field(max_length=LONGEST_QUERY)]


def _text(document: Any) -> Any:
    """Cohere's documents are texts, or objects with one, whose other fields it does not read either."""
    return document.get("text", document) if isinstance(document, dict) else document


def _listed(inputs: Any) -> Any:
    return [inputs] if isinstance(inputs, str) else inputs


class Body(BaseModel):
    """A request's body, or the part after `?` of its address."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Find(Body):
    """`/search`."""

    query: Query
    top: Annotated[int, Field(ge=1, le=MOST_TEXTS)] = 10


class Rerank(Body):
    """`/rerank` as text-embeddings-inference's. Long texts are cut as the contract says, whatever `truncate` is."""

    query: Query
    texts: Texts
    raw_scores: bool = False  # the score in place of its sigmoid
    return_text: bool = False
    truncate: bool | None = None
    truncation_direction: Literal["Right", "right"] = "Right"
    top_n: Top | None = None  # LiteLLM sends it
    model: str | None = None


class CohereRerank(Body):
    """`/rerank` as Cohere's, of its first and second version; `max_tokens_per_doc` and the like change nothing."""

    query: Query
    documents: Annotated[list[Annotated[str, BeforeValidator(_text)]], Field(min_length=1, max_length=MOST_TEXTS)]
    top_n: Top | None = None
    return_documents: bool = False
    model: str | None = None
    rank_fields: list[Literal["text"]] | None = None
    max_tokens_per_doc: int | None = None
    max_chunks_per_doc: int | None = None

    @property
    def texts(self) -> list[str]:
        return self.documents


class Embed(Body):
    """`/embed` as text-embeddings-inference's; vectors always have length 1."""

    inputs: Annotated[Texts, BeforeValidator(_listed)]
    normalize: Literal[True] = True
    truncate: bool | None = None
    truncation_direction: Literal["Right", "right"] = "Right"
    model: str | None = None

    @property
    def texts(self) -> list[str]:
        return self.inputs


def read(kind: type[Body], content: bytes) -> Any:
    """The body of this kind; `Rerank` may be `CohereRerank`. InputError names the field, expected and found."""
    try:
        found = from_json(content)  # it refuses half a character and what is no UTF-8
    except ValueError as error:
        raise InputError(f"body: expected JSON, found: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"body: expected a JSON object, found {str(found)[:80]}")
    json.loads(content, object_pairs_hook=once)
    found = {name: value for name, value in found.items() if value is not None}  # some clients send all options
    if kind is Rerank and "documents" in found:
        kind = CohereRerank
    return checked(kind, found)


def once(found: list[tuple[str, Any]]) -> dict[str, Any]:
    """Names with their values; InputError if a name stands twice, because one value would be lost without a word."""
    if repeated := [name for name, count in Counter(name for name, _ in found).items() if count > 1]:
        raise InputError(f"{repeated[0]}: expected once, found twice or more")
    return dict(found)


def checked(kind: type[Body], found: Any, strings: bool = False) -> Any:
    """The body of this kind from a JSON value, or from `strings` alone; InputError as in `read`."""
    try:
        asked = kind.model_validate_strings(found) if strings else kind.model_validate(found)
    except ValidationError as error:
        raise InputError(first_mistake(error).replace("no such parameter", "no such field")) from error
    if isinstance(asked, Find | Rerank | CohereRerank):
        check_query(asked.query)
    return asked

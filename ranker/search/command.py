"""Search a file of documents for one query, and print the best."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ranker.common.errors import InputError
from ranker.common.table import SYNONYMS, Synonyms, read_documents
from ranker.contract.document import TITLE, read_document_fields, whole_text
from ranker.contract.folder import CONTRACT_FILE, Model, served_model
from ranker.search.explain import heading, json_lines, trace
from ranker.search.search import Search, chosen, load_search, read_searchable
from ranker.search.vectors import check_place, default_folder, embedded, model_digest
from ranker.serving.rank import Ranked, check_options, lines
from ranker.stack.stack import Stack

COLUMNS = 100  # of a trace that goes to no terminal


@dataclass(frozen=True)
class Places:
    """Files and folders of a search; without `vectors`, the user's cache folder keeps them."""

    documents: Path | None
    stack: Path
    retriever: Path
    ranker: Path
    vectors: Path | None


def print_search(
    query: str,
    places: Places,
    model: Model | None,
    top: int,
    threads: int,
    jsonl: bool,
    explain: bool,
    names: Synonyms = SYNONYMS,
) -> None:
    """Print the `top` documents of a file for a query, best first; InputError names a wrong option.

    Without `model`, each model is the one that the stack was measured with.
    """
    check_options(query, top, threads)
    stack = read_searchable(places.stack)
    models = chosen(places.stack, model)
    search = load_search(stack, places.retriever, places.ranker, models, threads)
    fields = index_file(search, places, models, names)
    hits = search.find(query, None)
    shown = hits[:top]
    if not hits:
        print("search: no document shares a word with the query", file=sys.stderr)
    titles = [search.fields[hit.row][0] for hit in shown]
    if jsonl:
        printed = json_lines(shown, titles, fields[0], explain)
    elif explain:
        for line in heading(stack, len(search.ids), len(hits), fields, models_in_words(stack, places, models)):
            print(line)
        print()
        printed = trace(shown, titles, shutil.get_terminal_size((COLUMNS, 24)).columns)
    else:
        ranked: list[Ranked] = [(hit.score, (hit.document_id, title)) for hit, title in zip(shown, titles, strict=True)]
        printed = lines(ranked, False, fields[0])
    for line in printed:
        print(line)
    sys.stdout.flush()  # here, where run_stage handles a closed pipe


def index_file(
    search: Search, places: Places, models: Mapping[str, Model], names: Synonyms = SYNONYMS
) -> tuple[str, ...]:
    """Index the file of documents, with vectors that are kept; returns the names of the fields that are read."""
    fields = search.document_fields if search.retriever or search.ranker else _fields(places)
    folder = places.vectors or default_folder()
    if search.retriever is not None:
        check_place(folder)
    if places.documents is None or not (documents := list(read_documents(places.documents, fields, names))):
        raise InputError(f"{places.documents}: expected documents, found none")
    ids, texts = [document_id for document_id, _ in documents], [texts for _, texts in documents]
    vectors = None
    if search.retriever is not None:
        digest = model_digest(places.retriever, served_model(places.retriever, models["retriever"]))
        vectors = embedded(search.retriever, [whole_text(document) for document in texts], folder, digest)
    search.index(ids, texts, vectors)
    return fields


def _fields(places: Places) -> tuple[str, ...]:
    """The fields of BM25 by itself: those of the ranker beside it, or else the title."""
    contract = places.ranker / CONTRACT_FILE
    return read_document_fields(contract) if contract.is_file() else TITLE


def models_in_words(stack: Stack, places: Places, models: Mapping[str, Model]) -> str:
    """The models that the stack runs: `retriever fp32, cross-encoder int8`."""
    used = {"retriever": places.retriever} if stack.vectors else {}
    used |= {"cross_encoder": places.ranker} if stack.runs_cross_encoder else {}
    served = {name: served_model(folder, models[name]) for name, folder in used.items()}
    return ", ".join(f"{name.replace('_', '-')} {model}" for name, model in served.items())

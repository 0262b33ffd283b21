"""Model cards: their code blocks as programs of their own texts, and the texts that all tools tokenise alike."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ranker.contract.layout import Layout
from ranker.export.golden import TEXTS
from ranker.serving.ranker import Ranker

Pairs = list[tuple[str, str]]
Texts = Sequence[str | tuple[str, str]]  # texts for the retriever, pairs for the ranker


def blocks(card: Path) -> dict[str, tuple[str, str]]:
    """The code of each tool in a card: its language and text, by the heading's words."""
    found = re.findall(r"\n([^\n]+):\n\n```(python|js)\n(.*?)```", card.read_text(encoding="utf-8"), re.DOTALL)
    return {name: (language, code) for name, language, code in found}


def with_own(language: str, code: str, values: Texts) -> str:
    """A block's code in which the line that assigns `pairs` or `texts` has these values."""
    start, line = {"python": ("", repr(values)), "js": ("const ", f"{json.dumps(values)};")}[language]
    written, count = re.subn(rf"(?m)^{start}(pairs|texts) = .*$", lambda found: f"{start}{found[1]} = {line}", code)
    assert count == 1, f"expected one line that assigns the texts, found {count}"
    return written


def fitting(ranker: Ranker) -> Pairs:
    """The golden pairs that the contract leaves uncut, without those that spell a special token."""
    return [pair for name, pair in TEXTS.items() if not name.startswith("special") and fits(ranker, *pair)]


def fits(ranker: Ranker, query: str, document: str) -> bool:
    """True if the contract cuts neither text."""
    layout: Layout = ranker.layout
    counts = [len(ranker.tokenizer.encode(text, add_special_tokens=False)) for text in (query, document)]
    return counts[0] <= layout.max_query_tokens and counts[1] <= layout.max_document_tokens


def own_scores(ranker: Ranker, pairs: Pairs) -> np.ndarray:
    """Our scores of pairs of texts, float32 [pairs]."""
    queries, documents = zip(*pairs, strict=True)
    return ranker.score_pairs([ranker.encode_query(query) for query in queries], ranker.encode_documents(documents))

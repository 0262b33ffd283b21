"""English as an engineer would say it: a rate over docstrings, comments and documents, printed with each run."""

import ast
import re
import tokenize
from pathlib import Path

from tests.factories import ROOT

CODE = ("ranker", "stages", "crossval", "scripts", "sweeps", "bench", "audit", "engines", "tests")
PLAIN = ("README.md", "params.yaml", "dvc.yaml", "crossval/dvc.yaml", "docs", "data/sample/README.md")
# A clause in place of a noun ("what is served") hides the subject; nanochat has 0.5 in 1,000 words.
CLAUSE = re.compile(
    r"\bwhat (is|it|its|a|an|the|was|were|are|has|have|they|that|comes?|stands?|stays?)\b", re.IGNORECASE
)
MOST = 2.0  # in 1,000 words
OPENINGS = re.compile(r"^(What|Whether|Of|Whatever|Whoever)\b")


def docstrings(file: Path) -> list[str]:
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    documented = [node for node in nodes if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef))]
    return [text for node in documented if (text := ast.get_docstring(node))]


def comments(file: Path) -> list[str]:
    with file.open("rb") as content:
        return [token.string for token in tokenize.tokenize(content.readline) if token.type == tokenize.COMMENT]


def python_files() -> list[Path]:
    return [file for folder in CODE for file in sorted((ROOT / folder).rglob("*.py"))]


def plain_files() -> list[Path]:
    places = [ROOT / name for name in PLAIN]
    return [file for place in places for file in (sorted(place.glob("*.md")) if place.is_dir() else [place])]


def rate(texts: list[str]) -> float:
    """Clauses in place of a noun, in 1,000 words."""
    text = "\n".join(texts)
    return 1000 * len(CLAUSE.findall(text)) / len(text.split())


def test_sentences_name_their_subject() -> None:
    code = rate([text for file in python_files() for text in docstrings(file) + comments(file)])
    documents = rate([file.read_text(encoding="utf-8") for file in plain_files()])
    print(f"clauses in place of a noun, in 1,000 words: {code:.1f} in code, {documents:.1f} in documents")
    assert code <= MOST
    assert documents <= MOST


def test_docstrings_open_with_a_verb_or_a_noun() -> None:
    opened = {file: [text for text in docstrings(file) if OPENINGS.match(text)] for file in python_files()}
    assert not {str(file): texts for file, texts in opened.items() if texts}

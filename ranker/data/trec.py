"""TREC formats: topics in XML, SGML or tabs, qrels of four columns, a corpus as a table."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from html import escape, unescape
from pathlib import Path
from xml.etree import ElementTree

from ranker.common.errors import InputError
from ranker.common.lines import decoded, text_lines
from ranker.common.table import SYNONYMS, Synonyms, read_documents
from ranker.data.collection import Collection, judgements_table, parse_grade, queries_table

NUMBERS = ("number", "num", "id", "identifier", "qid")  # attributes or elements with a topic's number
NUMBER = re.compile(r"(?i)^\s*Number:\s*")
TAGS = {
    "title": ("title", "query", "topic"),
    "description": ("desc", "description"),
    "narrative": ("narr", "narrative"),
}
LABELS = {  # element -> first words of its text in TREC's early years, which are removed
    "title": "Topic|Title", "desc": "Description", "narr": "Narrative", "question": "Question",
    "dom": "Domain", "smry": "Summary", "con": r"Concept\(s\)", "fac": r"Factor\(s\)", "def": r"Definition\(s\)",
}  # fmt: skip
LANGUAGE = r"(?:[a-z]{1,3}-)?"  # CLEF's EN-title, TREC's E-title
ATTRIBUTES = r"""(?:\s+[\w:-]+\s*=\s*(?:"[^"]*"|'[^']*'|[^\s<>"']+))*\s*/?"""
ELEMENTS = ("head", "orignum", "nat", "time", "query", "description", "narrative", "summary", *NUMBERS, *LABELS)
FIELD = re.compile(rf"(?i)<(/?{LANGUAGE}(?:{'|'.join(ELEMENTS)})){ATTRIBUTES}>")  # of SGML
TAG = re.compile(rf"<(/?)([A-Za-z][\w.:-]*){ATTRIBUTES}>")
BLOCKS = ("br", "div", "li", "p", "td", "tr")  # elements that separate words
ENTITY = re.compile(r"&(#[0-9]+|#[xX][0-9a-fA-F]+|\w+);")
Cells = list[tuple[str, str]]  # name and text of a topic's elements, in order


def read_trec(
    topics: Path, qrels: Path, corpus: Path, fields: Sequence[str], query_field: str, names: Synonyms = SYNONYMS
) -> Collection:
    """The collection of three files; `query_field` (title, description, question …) is a topic's query.

    `names` has the corpus's names of columns.
    """
    judged = list(_qrels(qrels))
    return Collection(
        queries=queries_table(topics, _topics(topics, query_field)),
        judgements=judgements_table([row for row, _ in judged], subtopics=[subtopic for _, subtopic in judged]),
        documents=partial(read_documents, corpus, fields, names),
    )


def _topics(path: Path, field: str) -> Iterator[tuple[str, str, str]]:
    with path.open("rb") as file:
        text = "".join(decoded(str(path), file))
    if not text.lstrip().startswith("<"):
        yield from _tabs(path)
        return
    names = TAGS.get(field.lower(), (field.lower(),))
    root = _xml(path, text)
    for number, cells in _sgml(path, text) if root is None else _of_xml(path, root):
        where = f"{path}: topic {number}"
        filled = [(name, content) for name, content in cells if content.strip()]
        by_name = [[cell for cell in filled if wanted in (cell[0], _any_language(cell[0]))] for wanted in names]
        found = next(filter(None, by_name), [])
        if not found:
            there = ", ".join(name for name, _ in filled)
            raise InputError(f"{where}: expected {' or '.join(names)}, found {there or 'no text'}")
        if len(found) > 1:
            there = ", ".join(name for name, _ in found)
            raise InputError(f"{where}: expected one {field}, found {len(found)}: {there}")
        ((name, content),) = found
        query = content if root is not None else _without_markup(where, name, content)
        label = LABELS.get(_any_language(name))
        yield where, number, " ".join((re.sub(rf"(?i)^\s*({label}):", "", query) if label else query).split())


def _any_language(name: str) -> str:
    return re.sub(f"^{LANGUAGE}", "", name)


def _tabs(path: Path) -> Iterator[tuple[str, str, str]]:
    for number, line in text_lines(path):
        query_id, _, text = line.partition("\t")
        if line.count("\t") != 1 or not query_id.strip():
            raise InputError(f"{path}: line {number}: expected an id, a tab and a text, found {line[:80]!r}")
        yield f"{path}: line {number}", query_id.strip(), text


def _xml(path: Path, text: str) -> ElementTree.Element | None:
    """Topics in XML below an added root, because files may lack one; None for SGML, which is not valid XML."""
    body = re.sub(r"^\s*<\?xml[^>]*\?>|<!DOCTYPE[^>\[]*>", "", text)
    try:
        return ElementTree.fromstring(f"<all>{body}</all>")
    except ElementTree.ParseError as error:
        if re.match(r"(?is)\s*(<!--.*?-->\s*|<topics[^>]*>\s*)*<top[\s>]", body):
            return None
        raise InputError(f"{path}: expected topics in XML, found: {error}") from error


def _of_xml(path: Path, root: ElementTree.Element) -> Iterator[tuple[str, Cells]]:
    """Topics in XML: the number is an attribute or an element; text is in elements or in the topic itself."""
    topics = [element for element in root.iter() if _name(element) in ("top", "topic")]
    if not topics:
        found = ", ".join(sorted({_name(element) for element in root.iter()} - {"all"}))
        raise InputError(f"{path}: expected elements top or topic, found {found}")
    for topic in topics:
        cells = [(_name(child), _text_of_xml(child)) for child in topic]
        bare = "".join([topic.text or "", *(child.tail or "" for child in topic)]).strip()
        if bare and not any(FIELD.fullmatch(f"<{name}>") for name, _ in cells):
            cells = [("topic", _text_of_xml(topic))]
        yield _number(path, {name.lower(): value for name, value in topic.attrib.items()}, cells), cells


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2].lower()  # without its namespace


def _text_of_xml(element: ElementTree.Element) -> str:
    text = "".join([element.text or "", *(_text_of_xml(child) + (child.tail or "") for child in element)])
    return f" {text} " if _name(element) in BLOCKS else text


def _sgml(path: Path, text: str) -> Iterator[tuple[str, Cells]]:
    """Topics of TREC's early years, whose elements end at the next known one; texts keep their markup."""
    text = re.sub(r"(?s)<!--.*?-->", "", text)
    text = re.sub(r"(?s)<!\[CDATA\[(.*?)\]\]>", lambda found: escape(found[1], quote=False), text)
    blocks = re.findall(rf"(?is)<top{ATTRIBUTES}>(.*?)</top>", text)
    if len(blocks) != (opened := len(re.findall(rf"(?i)<top{ATTRIBUTES}>", text))):
        raise InputError(f"{path}: expected a </top> for each of {opened} <top>, found {len(blocks)} pairs")
    for block in blocks:
        before, *rest = FIELD.split(block)
        found = list(zip(map(str.lower, rest[::2]), rest[1::2], strict=True))
        cells = [(name, content) for name, content in found if not name.startswith("/")]
        number = _number(path, {}, cells)
        for name, content in [("top", before), *found]:
            if content.strip() and (name == "top" or name.startswith("/")):
                shown = " ".join(content.split())[:40]
                raise InputError(f"{path}: topic {number}: expected text in an element, found {shown!r} after <{name}>")
        yield number, cells


def _without_markup(where: str, name: str, content: str) -> str:
    """Remove tags from SGML text; InputError names one that may be an unknown element: unclosed or first in a line."""
    for tag in TAG.finditer(content):
        _, is_later_line, before = content[: tag.start()].rpartition("\n")
        closed = re.search(rf"(?i)</{re.escape(tag[2])}\s*>", content)
        if tag[2].lower() not in BLOCKS and not tag[1] and (not closed or (is_later_line and not before.strip())):
            raise InputError(f"{where}: {name}: expected text, or markup that is closed in a line, found {tag[0]}")
    text = TAG.sub(lambda tag: " " if tag[2].lower() in BLOCKS else "", content)
    return ENTITY.sub(lambda found: unescape(found[0]), text)


def _number(path: Path, attributes: dict[str, str], cells: Cells) -> str:
    named = dict(reversed(cells)) | attributes  # the first element of a name
    numbers = (NUMBER.sub("", named.get(name, "")).strip() for name in NUMBERS)
    number = next(filter(None, numbers), "")
    if not number:
        raise InputError(
            f"{path}: expected a number for each topic, found none beside {', '.join(name for name, _ in cells)}"
        )
    return number


def _qrels(path: Path) -> Iterator[tuple[tuple[str, str, int | None], str]]:
    """Judgements, each with its second column: the subtopic, in a diversity track's qrels."""
    for number, line in text_lines(path):
        cells = line.split()
        where = f"{path}: line {number}"
        if len(cells) != 4:
            raise InputError(f"{where}: expected four columns (query, iteration, document, grade), found {len(cells)}")
        yield (cells[0], cells[2], parse_grade(where, cells[3])), cells[1]

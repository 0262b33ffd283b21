"""ranker.data.trec: topics, qrels and corpus in each of their shapes, and one line for each mistake in them."""

import json
import re
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.common.errors import InputError
from ranker.common.table import synonyms
from ranker.data.collection import Collection
from ranker.data.trec import read_trec
from ranker.data.tutorial import LABELLED_DATA_FILE
from tests.factories import ROOT

XML = """<?xml version="1.0"?>
<topics task="COVIDSearch">
<topic number="1"><query>coronavirus
 origin</query><question>what is it?</question></topic>
<topic number="2"><query>masks &amp; distance</query><question>which?</question></topic>
</topics>
"""
ELEMENTS = """<top><num>1</num><title>coronavirus origin</title><desc>what is it?</desc></top>
<top><num>2</num><title>masks &amp; distance</title><desc>which?</desc></top>
"""
SGML = """<top>
<num> Number: 1
<title> coronavirus origin

<desc> Description:
what is it?

<narr> Narrative:
Any.
</top>
<top>
<num> Number: 2
<title> Topic: masks & distance
<desc> Description:
which?
</top>
"""
TABS = "1\tcoronavirus origin\n2\tmasks & distance\n"
QRELS = "1 0 a 2\n1\t0\tb\t-1\n2 Q0 c 1.0\n"
TITLES = [("a", ["Bats, again"]), ("b", ["Pigs"]), ("c", [""])]


def read(folder: Path, topics: str = XML, qrels: str = QRELS, field: str = "title", corpus: str = "") -> Collection:
    (folder / "topics").write_text(topics)
    (folder / "qrels").write_text(qrels)
    (folder / "corpus.jsonl").write_text(corpus)
    return read_trec(folder / "topics", folder / "qrels", folder / "corpus.jsonl", ["title"], field)


@pytest.mark.parametrize("topics", [XML, ELEMENTS, SGML, TABS])
def test_read_trec_of_topics_in_each_shape(tmp_path: Path, topics: str) -> None:
    queries = read(tmp_path, topics).queries
    assert queries.to_numpy().tolist() == [["1", "coronavirus origin"], ["2", "masks & distance"]]


@pytest.mark.parametrize(("topics", "field"), [(XML, "question"), (ELEMENTS, "description"), (SGML, "description")])
def test_read_trec_takes_the_field_that_is_asked_for(tmp_path: Path, topics: str, field: str) -> None:
    assert read(tmp_path, topics, field=field).queries["query"].tolist() == ["what is it?", "which?"]


CASE = """<top>
<num> Number: 1
<title> CO<sub>2</sub> levels in closed rooms
<desc> Description:
How much <i>E. coli</i> is in tap water after storms?
</top>
<top>
<num> Number: 2
<title> expression of <em class="x">nitrate</em> genes
<narr> Any.<br>
</top>
"""


def closed(topics: str) -> str:
    """SGML as XML: each of these elements ends where the next begins."""
    return re.sub(r"(?s)<(num|title|desc|narr)>(.*?)(?=<num>|<title>|<desc>|<narr>|</top>)", r"<\1>\2</\1>", topics)


@pytest.mark.parametrize("topics", [CASE, closed(CASE.replace("<br>", "<br/>"))])
def test_read_trec_keeps_what_is_marked_up(tmp_path: Path, topics: str) -> None:
    found = read(tmp_path, topics).queries["query"].tolist()
    assert found == ["CO2 levels in closed rooms", "expression of nitrate genes"]
    one = topics[: topics.index("</top>")] + "</top>"
    assert read(tmp_path, one, field="description").queries["query"].tolist() == [
        "How much E. coli is in tap water after storms?"
    ]


@given(
    words=st.lists(st.text("ab&<>2'", min_size=1, max_size=5), min_size=1, max_size=6),
    marked=st.lists(st.sampled_from(["", "sub", "i", "gene", "b class='x'", "br", "p"]), min_size=6, max_size=6),
)
def test_read_trec_of_sgml_has_the_words_that_xml_has(words: list[str], marked: list[str]) -> None:
    """Elements may be closed or open, with any part of the text marked up."""
    pairs = list(zip(map(escape, words), marked, strict=False))
    text = " ".join(f"<{tag}>{word}</{tag.split()[0]}>" if tag else word for word, tag in pairs)
    topic = f"<top>\n<num> Number: 1\n<title> {text}\n<desc> Any.\n</top>\n"
    with TemporaryDirectory() as folder:
        found = [read(Path(folder), topics).queries["query"].tolist() for topics in (topic, closed(topic))]
    assert found == [[" ".join(words)]] * 2


def test_read_trec_of_the_samples_titles_with_a_word_marked_up(tmp_path: Path) -> None:
    labelled = json.loads((ROOT / "data/sample" / LABELLED_DATA_FILE).read_text())
    texts = [" ".join(query["query"].split()) for query in labelled]
    assert len(texts) == 50
    topics = ""
    for number, text in enumerate(texts):
        first, *rest = map(escape, text.split())
        marked = [f"<sub>{word}</sub>" for word in rest[:1]]
        topics += f"<top>\n<num> Number: {number}\n<title> {' '.join([first, *marked, *rest[1:]])}\n</top>\n"
    assert read(tmp_path, topics).queries["query"].tolist() == texts


@pytest.mark.parametrize(
    ("topics", "field", "query"),
    [
        (
            "<top>\n<num>C141</num>\n<EN-title> Letter Bomb </EN-title>\n<EN-desc> AT&T </EN-desc>\n</top>",
            "title",
            "Letter Bomb",
        ),
        ("<top>\n<num> C141\n<DE-title> Briefbombe\n<EN-title> Letter Bomb\n</top>", "EN-title", "Letter Bomb"),
        ("<top lang='en'><num>26</num><title>masks</title></top>", "title", "masks"),
        (
            "<topics>\n<top lang='en'>\n<num>26\n<title lang='en'>masks & wards\n</top>\n</topics>",
            "title",
            "masks & wards",
        ),
        ("<topics><topic number='1'>\nA <b>man</b> of 60\nyears </topic></topics>", "title", "A man of 60 years"),
        ("<TOPICS><TOPIC><ID>1</ID><TITLE>masks</TITLE></TOPIC></TOPICS>", "title", "masks"),
        ("<TOP>\n<NUM> Number: 1\n<TITLE> Topic: masks\n</TOP>", "Title", "masks"),
        ("<topic id='1'><title>mas<!-- no -->ks <![CDATA[& <b> &amp;]]></title></topic>", "title", "masks & <b> &amp;"),
        ("<top><num>1<title>mas<!-- <title> -->ks <![CDATA[& <b> &amp;]]><desc></top>", "title", "masks & <b> &amp;"),
        ("<!-- old: <top></top> -->\n<top><num>1<title>masks</top>", "title", "masks"),
        ("<top><num>1<title>&#66;ats &quot;AT&T&quot; &notit &amp;lt;<desc></top>", "title", 'Bats "AT&T" &notit &lt;'),
        ("<!DOCTYPE topics SYSTEM 'topics.dtd'>\n<topic><num>1</num><title>masks</title></topic>", "title", "masks"),
        ("<t:topic xmlns:t='http://x.org'><t:num>1</t:num><t:title>masks</t:title></t:topic>", "title", "masks"),
        ("<topic number='1'><title>masks<br/>wards</title></topic>", "title", "masks wards"),
        ("<topic number=''><num>1</num><title>masks</title></topic>", "title", "masks"),
        ("<topic number='1'><desc> Description: masks: when? </desc></topic>", "description", "masks: when?"),
        ("<topic number='1'><query>Question: masks?</query></topic>", "title", "Question: masks?"),
        ("\ufeff<top>\r\n<num> Number: 1\r\n<title> masks\r\nin wards\r\n</top>\r\n", "title", "masks in wards"),
        ("\ufeff1\tCO<sub>2</sub> &amp; masks\r\n", "title", "CO<sub>2</sub> &amp; masks"),
        (
            "<top>\n<head> Tipster Topic Description\n<num> Number: 051\n<dom> Domain: Trade\n<title> Topic: Airbus\n"
            "<desc> Description: Any.\n<smry> Summary: Less.\n<con> Concept(s):\n1. Airbus\n"
            "<fac> Factor(s):\n<nat> Nationality: U.S.\n</nat>\n</fac>\n<def> Definition(s): None\n</top>",
            "smry",
            "Less.",
        ),
    ],
)
def test_read_trec_of_what_topic_files_in_use_hold(tmp_path: Path, topics: str, field: str, query: str) -> None:
    with (tmp_path / "topics").open("w", encoding="utf-8", newline="") as file:
        file.write(topics)
    (tmp_path / "qrels").write_text(QRELS)
    found = read_trec(tmp_path / "topics", tmp_path / "qrels", tmp_path / "corpus.jsonl", ["title"], field)
    assert found.queries["query"].tolist() == [query]


@pytest.mark.parametrize("end", ["</title>", ""])
def test_read_trec_drops_no_words_of_a_query(tmp_path: Path, end: str) -> None:
    texts = [
        "Title insurance",
        "Question answering",
        "Descriptions of masks",
        "topic models",
        "AT&amp;T",
        "p &lt; 5",
    ]
    topics = "".join(f"<top>\n<num>{i}{end and '</num>'}\n<title>{text}{end}\n</top>\n" for i, text in enumerate(texts))
    assert read(tmp_path, topics).queries["query"].tolist() == [*texts[:4], "AT&T", "p < 5"]


def test_read_trec_of_sgml_ends_a_text_at_a_tag_alone(tmp_path: Path) -> None:
    topics = "<top>\n<num> Number: 1\n<title> mortality at p < 0.05 & less\n<desc> Any.\n</top>\n"
    assert read(tmp_path, topics).queries["query"].tolist() == ["mortality at p < 0.05 & less"]


@pytest.mark.parametrize(
    ("topics", "message"),
    [
        ("<top>\n<num>1\n<title>a\n<top>\n</top>\n", "expected a </top> for each of 2 <top>, found 1 pairs"),
        (
            "<topic number='1'><title>a</title><title>b</title></topic>",
            "topic 1: expected one title, found 2: title, title",
        ),
        (
            "<top><num>1<EN-title>a<DE-title>b</top>",
            "topic 1: expected one title, found 2: en-title, de-title",
        ),
        (
            "<top><num>1<title>CO<sub>2 levels</top>",
            "topic 1: title: expected text, or markup that is closed in a line, found <sub>",
        ),
        (
            "<top>\n<num> 1\n<title> masks\n<aux> in wards </aux>\n</top>",
            "topic 1: title: expected text, or markup that is closed in a line, found <aux>",
        ),
        (
            "<top><num>1<title>masks in <time>2020</time> wards<desc>a</top>",
            "topic 1: expected text in an element, found 'wards' after </time>",
        ),
        (
            "<top><foo>bar</foo><num>1<title>a</top>",
            "topic 1: expected text in an element, found '<foo>bar</foo>' after <top>",
        ),
        (
            "<list><query><id>1</id><text>a</text></query></list>",
            "expected elements top or topic, found id, list, query, text",
        ),
        ("1\tmasks\tof which kind\n", "line 1: expected an id, a tab and a text, found '1\\tmasks\\tof which kind'"),
        ("1\tmasks\r2\tbats\n", "line 1: expected text, found a carriage return byte"),
    ],
)
def test_read_trec_refuses_files_of_which_it_would_lose_topics(tmp_path: Path, topics: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, topics)
    assert str(error.value) == f"{tmp_path}/topics: {message}"


def test_read_trec_has_the_judgements_as_they_are(tmp_path: Path) -> None:
    judgements = read(tmp_path).judgements
    assert judgements.to_numpy().tolist() == [["1", "a", 2, "", "0"], ["1", "b", -1, "", "0"], ["2", "c", 1, "", "Q0"]]


@pytest.mark.parametrize("name", ["document_id", "docno", "doc_id", "_id", "id", "cord_uid"])
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_read_trec_of_a_corpus_in_each_shape(tmp_path: Path, name: str, suffix: str) -> None:
    read(tmp_path)
    frame = pd.DataFrame({"more": 1, "title": ["Bats, again", "Pigs", ""], name: ["a", "b", "c"]})
    path = tmp_path / f"corpus{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    elif suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    found = read_trec(tmp_path / "topics", tmp_path / "qrels", path, ["title"], "title")
    assert list(found.documents()) == TITLES


def test_read_trec_takes_a_users_own_name_of_the_id(tmp_path: Path) -> None:
    read(tmp_path)
    (tmp_path / "corpus.csv").write_text("id,docno,title\n1,a,Bats\n")
    asked = (tmp_path / "topics", tmp_path / "qrels", tmp_path / "corpus.csv", ["title"], "title")
    with pytest.raises(InputError, match="expected one column of document_id, found id, docno"):
        list(read_trec(*asked).documents())
    assert list(read_trec(*asked, synonyms({"document_id": "docno"})).documents()) == [("a", ["Bats"])]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"topics": ""}, "topics: expected queries, found none"),
        ({"topics": "1 masks\n"}, "topics: line 1: expected an id, a tab and a text, found '1 masks'"),
        ({"topics": TABS + "2\tbats\n"}, "line 3: expected query id 2 once, found with 'masks & distance' and 'bats'"),
        ({"topics": "1\t \n"}, "topics: line 1: expected a query in text, found ' '"),
        ({"topics": XML.replace("</topics>", "")}, "topics: expected topics in XML, found: "),
        ({"topics": '<!DOCTYPE a [<!ENTITY b "c">]>' + ELEMENTS}, "topics: expected topics in XML, found: "),
        (
            {"topics": XML.replace(' number="1"', "")},
            "expected a number for each topic, found none beside query, quest",
        ),
        ({"field": "narrative"}, "topics: topic 1: expected narr or narrative, found query, question"),
        ({"topics": SGML, "field": "question"}, "topic 1: expected question, found num, title, desc, narr"),
        ({"qrels": "1 a 2\n"}, r"qrels: line 1: expected four columns \(query, iteration, document, grade\), found 3"),
        ({"qrels": "1 0 a high\n"}, "qrels: line 1: expected a whole number as grade, found 'high'"),
        ({"qrels": "1 0 a 99\n"}, "qrels: line 1: expected a grade of at most 16, found '99'"),
        ({"corpus": '{"title": "b"}'}, "corpus.jsonl: line 1: document_id: expected an id, found ''"),
        ({"corpus": '{"docno": null, "title": "b"}'}, "corpus.jsonl: line 1: document_id: expected an id, found ''"),
        (
            {"corpus": '{"docno": "a", "title": [5]}'},
            "line 1: title: expected text or a whole number, found .5.",
        ),
    ],
)
def test_read_trec_names_file_and_place_of_a_mistake(tmp_path: Path, asked: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        list(read(tmp_path, **asked).documents())
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "corpus.txt",
            b"",
            "corpus.txt: expected a column document_id .*, found nothing: is line 1 the header",
        ),
        ("corpus.csv", b"docno,title\na\n", "corpus.csv: line 2: expected 2 cells, found 1"),
        ("corpus.csv", b"docno,title\n,b\n", "corpus.csv: line 2: document_id: expected an id, found ''"),
        ("corpus.csv", b"docno,title\na,caf\xe9\n", "corpus.csv: line 2: expected UTF-8, found byte 0xe9"),
        ("corpus.parquet", b"PAR1", "corpus.parquet: expected a Parquet file, found: "),
    ],
)
def test_read_trec_names_what_is_wrong_with_a_corpus(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    read(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_trec(tmp_path / "topics", tmp_path / "qrels", tmp_path / name, ["title"], "title").documents())


def test_read_trec_names_the_row_of_parquet(tmp_path: Path) -> None:
    read(tmp_path)
    pd.DataFrame({"docno": [1, 2], "title": [3.5, 4]}).to_parquet(tmp_path / "c.parquet")
    with pytest.raises(InputError, match="c.parquet: row 1: title: expected text or a whole number, found 3.5"):
        list(read_trec(tmp_path / "topics", tmp_path / "qrels", tmp_path / "c.parquet", ["title"], "title").documents())

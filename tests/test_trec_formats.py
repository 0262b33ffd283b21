"""ranker.data.trec: topics, qrels and corpus in each of their shapes, and a line for each mistake in them."""

from pathlib import Path

import pandas as pd
import pytest

from ranker.common.errors import InputError
from ranker.data.collection import Collection
from ranker.data.trec import read_trec

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
        ("<topic number='1'><title>a</title><title>b</title></topic>", "topic 1: expected one title, found 2"),
        ("1\tmasks\tof which kind\n", "line 1: expected an id, a tab and a text, found '1\\tmasks\\tof which kind'"),
        ("1\tmasks\r2\tbats\n", "line 1: expected text, found a carriage return byte"),
    ],
)  # fmt: skip
def test_read_trec_refuses_topics_of_which_it_would_lose_some(tmp_path: Path, topics: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, topics)
    assert str(error.value) == f"{tmp_path}/topics: {message}"


def test_read_trec_has_the_judgements_as_they_are(tmp_path: Path) -> None:
    judgements = read(tmp_path).judgements
    assert judgements.to_numpy().tolist() == [["1", "a", 2, ""], ["1", "b", -1, ""], ["2", "c", 1, ""]]


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
        ({"corpus": '{"title": "b"}'}, "corpus.jsonl: line 1: document_id: expected an id, found None"),
        ({"corpus": '{"docno": null, "title": "b"}'}, "corpus.jsonl: line 1: docno: expected an id, found None"),
        ({"corpus": '{"docno": "a", "title": 5}'}, "corpus.jsonl: line 1: title: expected text, found 5"),
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
        ("corpus.txt", b"", "corpus.txt: expected .jsonl, .csv or .parquet, found .txt"),
        ("corpus.csv", b"docno,title\na\n", "corpus.csv: line 2: expected 2 cells, found 1"),
        ("corpus.csv", b"docno,title\n,b\n", "corpus.csv: line 2: docno: expected an id, found ''"),
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
    pd.DataFrame({"docno": [1, 2], "title": [3, 4]}).to_parquet(tmp_path / "c.parquet")
    with pytest.raises(InputError, match="c.parquet: row 1: title: expected text, found 3"):
        list(read_trec(tmp_path / "topics", tmp_path / "qrels", tmp_path / "c.parquet", ["title"], "title").documents())

"""ranker.vespa, package, feed and query: that Vespa would compute what training and serving compute."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from ranker.common.errors import InputError
from ranker.common.files import sha256
from ranker.contract.layout import INPUTS, Layout, lay_out, read_contract, relevance
from ranker.contract.tokens import load_tokenizer, tokenize
from ranker.serving.documents import Document
from ranker.serving.ranker import Ranker, TextEncoder
from ranker.vespa import feed
from ranker.vespa.feed import feed_lines, write_feed
from ranker.vespa.package import RankerSchema, application, write_application
from ranker.vespa.query import query_body
from tests import vespa_arithmetic
from tests.vespa_arithmetic import Application, embed

DOCUMENTS = [
    ("a", "The origin of the virus in bats"),
    ("b", ""),
    ("c", "masks " * 200),
    ("d", "What [SEP] and [PAD] mean"),
    ("e", "🦠 naïve Ångström\u0007"),
]


@pytest.fixture(scope="module")
def packages(ranker_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An application package with each model."""
    folder = tmp_path_factory.mktemp("vespa")
    assert write_application(folder / "int8", ranker_folder, "cord19-ranker", "int8", 100) == "int8"
    assert write_application(folder / "fp32", ranker_folder, "cord19-ranker", "fp32", 50) == "fp32"
    return {"int8": folder / "int8", "fp32": folder / "fp32"}


def parse_schema(text: str) -> dict[str, object]:
    """A schema's blocks as nested dicts; an error where braces do not match or a name is given twice."""
    root: dict[str, object] = {}
    stack = [root]
    for line in filter(None, (line.strip() for line in text.splitlines())):
        if line == "}":
            stack.pop()
            assert stack, "a brace too many"
        elif line.endswith("{"):
            block: dict[str, object] = {}
            assert line[:-1].strip() not in stack[-1], f"twice: {line}"
            stack[-1][line[:-1].strip()] = block
            stack.append(block)
        else:
            name, _, value = line.partition(": ")
            assert name not in stack[-1], f"twice: {line}"
            stack[-1][name] = value
    assert stack == [root], "a brace too few"
    return root


def test_write_application_has_the_schema(packages: dict[str, Path]) -> None:
    schema = parse_schema((packages["int8"] / "schemas/doc.sd").read_text())["schema doc"]
    assert isinstance(schema, dict)
    assert set(schema) == {"document doc", "fieldset default", "rank-profile bm25", "rank-profile ranker inherits bm25"}
    fields = schema["document doc"]
    assert fields["field doc_token_ids type tensor<float>(d0[95])"] == {"indexing": "attribute"}
    assert fields["field title type string"] == {"indexing": "summary | index", "index": "enable-bm25"}
    assert schema["rank-profile bm25"] == {"first-phase": {"expression": {"bm25(title)": ""}}}
    profile = schema["rank-profile ranker inherits bm25"]
    assert profile["onnx-model cross_encoder"] == {
        "file": "files/cross_encoder.onnx",
        **{f"input {name}": name for name in INPUTS},
        "output logits": "logits",
    }
    assert profile["inputs"] == {"query(query_token_ids) tensor<float>(d0[30])": ""}
    pair = "query(query_token_ids), attribute(doc_token_ids)"
    assert {name: list(body["expression"]) for name, body in profile.items() if name.startswith("function")} == {
        "function input_ids()": [f"customTokenInputIds(2, 3, 128, {pair})"],  # the tiny tokenizer's own ids
        "function token_type_ids()": [f"tokenTypeIds(128, {pair})"],
        "function attention_mask()": [f"tokenAttentionMask(128, {pair})"],
    }
    assert profile["global-phase"] == {
        "expression": {"onnx(cross_encoder).logits{d0:0,d1:1} - onnx(cross_encoder).logits{d0:0,d1:0}": ""},
        "rerank-count": "100",
    }


def test_write_application_has_the_services(packages: dict[str, Path], ranker_folder: Path) -> None:
    services = ElementTree.parse(packages["int8"] / "services.xml").getroot()
    component = services.find("container/component")
    assert component is not None
    assert component.attrib == {"id": "tokenizer", "type": "hugging-face-tokenizer"}
    path = component.find("model").attrib["path"]  # type: ignore[union-attr]
    assert sha256(packages["int8"] / path) == sha256(ranker_folder / "tokenizer.json")
    assert [len(services.findall(f"container/{name}")) for name in ("search", "document-api")] == [1, 1]
    assert services.find("content/documents/document").attrib["type"] == "doc"  # type: ignore[union-attr]


def test_write_application_has_every_file_that_it_names(packages: dict[str, Path], ranker_folder: Path) -> None:
    names = {"schemas/doc.sd", "services.xml", "files/cross_encoder.onnx", "tokenizer/tokenizer.json"}
    for model, file in (("int8", "model.int8.onnx"), ("fp32", "model.onnx")):
        folder = packages[model]
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == names
        assert sha256(folder / "files/cross_encoder.onnx") == sha256(ranker_folder / file)


def test_write_application_without_an_eight_bit_model_packs_the_exact_one(ranker_folder: Path, tmp_path: Path) -> None:
    for file in ("model.onnx", "tokenizer.json", "encoding.json", "manifest.json"):
        (tmp_path / file).write_bytes((ranker_folder / file).read_bytes())
    assert write_application(tmp_path / "vespa", tmp_path, "cord19-ranker", "int8", 100) == "fp32"
    assert sha256(tmp_path / "vespa/files/cross_encoder.onnx") == sha256(ranker_folder / "model.onnx")


def test_application_in_pyvespas_terms(ranker_folder: Path) -> None:
    layout = read_contract(ranker_folder / "encoding.json")
    package = application("a", layout, ranker_folder / "model.onnx", ranker_folder / "tokenizer.json", 7)
    (schema,) = package.schemas
    assert isinstance(schema, RankerSchema)
    (phase,) = re.findall(r"rerank-count: \d+", schema.schema_to_text)
    assert phase == "rerank-count: 7"
    assert [field.name for field in schema.document.fields] == ["document_id", "title", "doc_token_ids"]


def test_application_refuses_a_tokenizer_whose_padding_is_not_0(ranker_folder: Path) -> None:
    layout = replace(read_contract(ranker_folder / "encoding.json"), pad_id=5)
    with pytest.raises(InputError, match=r"tokenizer.json: expected the padding's id to be 0, .* found 5"):
        application("a", layout, ranker_folder / "model.onnx", ranker_folder / "tokenizer.json", 100)


tokens = st.lists(st.integers(1, 30_000), max_size=12)


@given(tokens, tokens, st.integers(3, 9), st.integers(2, 9))
def test_rank_profile_tensors_are_the_contracts(
    query: list[int], document: list[int], query_size: int, doc_size: int
) -> None:
    layout = Layout(query_size, doc_size, cls_id=101, sep_id=102, pad_id=0)

    def tensor(ids: list[int], size: int) -> list[float]:
        return [float(i) for i in ids[:size]] + [0.0] * (size - len(ids[:size]))

    pair = tensor(query, query_size - 2), tensor(document, doc_size - 1)
    found = {
        "input_ids": vespa_arithmetic.token_input_ids(101, 102, layout.max_length, *pair),
        "token_type_ids": vespa_arithmetic.token_type_ids(layout.max_length, *pair),
        "attention_mask": vespa_arithmetic.token_attention_mask(layout.max_length, *pair),
    }
    for name, expected in lay_out(layout, [query], [document], layout.max_length).items():
        assert found[name] == expected[0].tolist(), name


def test_token_input_ids_would_lose_the_last_token_after_a_0() -> None:
    """Why no text may spell [PAD]."""
    assert vespa_arithmetic.token_input_ids(101, 102, 8, [7.0, 0.0, 9.0], []) == [101, 7, 0, 102, 102, 0, 0, 0]


def test_read_contract_refuses_a_length_at_which_vespa_would_lose_the_separator(
    ranker_folder: Path, tmp_path: Path
) -> None:
    assert vespa_arithmetic.token_input_ids(101, 102, 5, [7.0, 8.0], [9.0, 10.0])[-1] != 102
    content = json.loads((ranker_folder / "encoding.json").read_text())
    (tmp_path / "encoding.json").write_text(json.dumps(content | {"max_length": 127}))
    with pytest.raises(InputError, match=r"encoding.json: max_length: expected at least .* \(128\).* found 127"):
        read_contract(tmp_path / "encoding.json")


TEXT = st.text(max_size=80) | st.sampled_from(
    ["[SEP]", "a [PAD] b", "[CLS][SEP]", "🦠👩‍🔬", "\u0000\u0007", "e\u0301 ", "masks " * 90]
)


def test_rank_profile_inputs_of_any_text_are_the_contracts(ranker_folder: Path, packages: dict[str, Path]) -> None:
    """From texts: Vespa's own tokenizer file and tensors, and what this project lays out."""
    package, layout = Application.read(packages["int8"]), read_contract(ranker_folder / "encoding.json")
    theirs = Tokenizer.from_file(str(packages["int8"] / "tokenizer/tokenizer.json"))
    ours = load_tokenizer(ranker_folder)
    sizes = package.size(r"query\(query_token_ids"), package.size("doc_token_ids")
    assert sizes == (30, 95)

    @given(TEXT, TEXT)
    def check(query: str, title: str) -> None:
        expected = lay_out(layout, tokenize(ours, [query]), tokenize(ours, [title]), layout.max_length)
        found = package.inputs(embed(theirs, query, sizes[0]), embed(theirs, title, sizes[1]))
        for name in INPUTS:
            assert found[name].tolist() == expected[name].tolist(), name

    check()


@pytest.mark.parametrize("model", ["fp32", "int8"])
def test_rank_profile_scores_as_serving_does(ranker_folder: Path, packages: dict[str, Path], model: str) -> None:
    """The query by Vespa's tokenizer, the documents as they are fed, the score by the schema's own expression."""
    package, ranker = Application.read(packages[model]), Ranker(ranker_folder, model)  # type: ignore[arg-type]
    theirs = Tokenizer.from_file(str(packages[model] / "tokenizer/tokenizer.json"))
    fed = [json.loads(line)["fields"]["doc_token_ids"]["values"] for line in feed_lines(DOCUMENTS, ranker)]
    documents = ranker.encode_documents([title for _, title in DOCUMENTS])
    for text in ("origin of the virus", "", "[PAD] masks"):
        query = ranker.encode_query(text)
        found = [package.score(embed(theirs, text, 30), tensor) for tensor in fed]
        padded = [lay_out(ranker.layout, [query], [document], 128) for document in documents]  # in eight bits, it tells
        np.testing.assert_allclose(found, [relevance(ranker.logits(inputs))[0] for inputs in padded], atol=1e-6)
        near = ranker.score(query, documents)
        np.testing.assert_allclose(found, near, atol=1e-5 if model == "fp32" else np.ptp(near) / 2)


def test_rank_profile_gives_the_golden_vectors(ranker_folder: Path, packages: dict[str, Path]) -> None:
    package = Application.read(packages["fp32"])
    theirs = Tokenizer.from_file(str(packages["fp32"] / "tokenizer/tokenizer.json"))
    golden = json.loads((ranker_folder / "golden.json").read_text())
    assert len(golden["vectors"]) > 10
    for vector in golden["vectors"]:
        pair = embed(theirs, vector["query"], 30), embed(theirs, vector["document"], 95)
        for name, tensor in package.inputs(*pair).items():
            assert tensor[0].tolist() == vector[name], (vector["name"], name)
        expected = vector["logits"][1] - vector["logits"][0]
        assert package.score(*pair) == pytest.approx(expected, abs=golden["logits_within"])


def test_feed_lines(ranker_folder: Path) -> None:
    ranker = Ranker(ranker_folder)
    lines = [json.loads(line) for line in feed_lines(DOCUMENTS, ranker)]
    assert [line["put"] for line in lines] == [f"id:doc:doc::{name}" for name in "abcde"]
    assert lines[0]["fields"]["title"] == DOCUMENTS[0][1]
    assert lines[4]["fields"]["title"] == "🦠 naïve Ångström "  # Vespa takes no control characters
    for (_, title), line in zip(DOCUMENTS, lines, strict=True):
        values = line["fields"]["doc_token_ids"]["values"]
        assert len(values) == 95
        expected = tokenize(load_tokenizer(ranker_folder), [title])[0][:95]
        assert values == expected + [0] * (95 - len(expected))


def many(count: int) -> list[Document]:
    return [(str(i), f"title {i} of masks, virus {i % 7} and bats") for i in range(count)]


def test_write_feed_is_the_same_whatever_its_parts_and_whatever_a_killed_one_left(
    ranker_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = TextEncoder(ranker_folder)
    assert write_feed(many(300), encoder, tmp_path / "whole.jsonl") == 300
    whole = (tmp_path / "whole.jsonl").read_bytes()
    assert whole.decode().splitlines() == list(feed_lines(many(300), encoder))
    (tmp_path / ".again.jsonl.partial").write_bytes(whole[:100])
    monkeypatch.setattr(feed, "CHUNK", 64)
    assert write_feed(many(300), encoder, tmp_path / "again.jsonl") == 300
    assert (tmp_path / "again.jsonl").read_bytes() == whole
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again.jsonl", "whole.jsonl"]


def test_write_feed_leaves_the_last_one_where_it_fails(ranker_folder: Path, tmp_path: Path) -> None:
    encoder, path = TextEncoder(ranker_folder), tmp_path / "feed.jsonl"
    path.write_text("the last good one")

    def documents() -> Iterator[Document]:
        yield from many(3)
        raise InputError("a line that is wrong")

    with pytest.raises(InputError, match="a line that is wrong"):
        write_feed(documents(), encoder, path)
    assert path.read_text() == "the last good one"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="expected a file to write, found a folder"):
        write_feed(many(5), encoder, tmp_path)


def test_feed_lines_refuse_a_token_that_is_0(ranker_folder: Path, tmp_path: Path) -> None:
    """Vespa would count what follows it as no token."""
    for name in ("tokenizer.json", "encoding.json"):
        (tmp_path / name).write_bytes((ranker_folder / name).read_bytes())
    text = (
        (tmp_path / "tokenizer.json").read_text().replace('"masks": ', '"other": ').replace('"[PAD]": 0', '"masks": 0')
    )
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(InputError, match=r"document_id 'a': expected token ids above 0, found \[0\]"):
        list(feed_lines([("a", "masks")], TextEncoder(tmp_path, trusted=True)))


def test_query_body() -> None:
    body = query_body('bats "and" birds', hits=3)
    assert body["text"] == 'bats "and" birds'
    assert re.fullmatch(r"select document_id, title from doc where userInput\(@text\)", body["yql"])
    assert (body["ranking"], body["hits"]) == ("ranker", 3)
    assert body["input.query(query_token_ids)"] == "embed(tokenizer, @text)"
    with pytest.raises(InputError, match="query: expected text, found '  '"):
        query_body("  ")
    with pytest.raises(InputError, match="--hits: expected at least 1, found 0"):
        query_body("bats", hits=0)
    with pytest.raises(InputError, match="query: expected UTF-8, found '.udcff'"):
        query_body("\udcff")


@pytest.mark.docker
def test_a_vespa_ranks_as_serving_does(packages: dict[str, Path], ranker_folder: Path, tmp_path: Path) -> None:
    """Deploys the package in Vespa's own image: pytest -m docker."""
    from vespa.deployment import VespaDocker

    ranker = Ranker(ranker_folder)
    vespa: Any = VespaDocker(port=8080)
    try:
        app = vespa.deploy_from_disk("cord19ranker", packages["fp32"])
        write_feed(DOCUMENTS, ranker, tmp_path / "feed.jsonl")
        for line in map(json.loads, (tmp_path / "feed.jsonl").read_text().splitlines()):
            app.feed_data_point("doc", line["fields"]["document_id"], line["fields"], namespace="doc")
        hits = app.query(body=query_body("origin of the virus")).hits
        titles = dict(DOCUMENTS)
        found = {hit["fields"]["document_id"]: hit["relevance"] for hit in hits}
        assert found
        query = ranker.encode_query("origin of the virus")
        for document_id, relevance in found.items():
            (score,) = ranker.score(query, ranker.encode_documents([titles[document_id]]))
            assert relevance == pytest.approx(float(score), abs=1e-4)
    finally:
        vespa.container.stop()
        vespa.container.remove()

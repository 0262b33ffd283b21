"""ranker.vespa: the packed model, the package's files and its queries. tests/engines runs Vespa's own code."""

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import onnxruntime
import pytest

from ranker.common.errors import InputError
from ranker.common.files import sha256, write_json
from ranker.contract.folder import Model
from ranker.contract.layout import Layout
from ranker.contract.words import CONTROLS, INVISIBLE
from ranker.export.golden import TEXTS
from ranker.serving.ranker import Ranker
from ranker.vespa.pack import pack
from ranker.vespa.package import Exported, kept_by_tokenizer
from ranker.vespa.query import query_body, read_settings
from tests.applications import vespa_settings, write_package
from tests.factories import refusal

SETTINGS = vespa_settings()


class Packed:
    """A packed model, run as Vespa runs it: on tensors of one size, filled up with zeros."""

    def __init__(self, file: Path) -> None:
        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        self.sizes = {tensor.name: tensor.shape[0] for tensor in self.session.get_inputs()}

    def score(self, query: list[int] | np.ndarray, document: list[int] | np.ndarray) -> float:
        inputs = {
            name: np.array([*tokens, *[0] * (self.sizes[name] - len(tokens))], np.int64)
            for name, tokens in (("query_token_ids", query), ("doc_token_ids", document))
        }
        (score,) = self.session.run(["score"], inputs)
        assert (score.shape, score.dtype) == ((1,), np.float32)
        return float(score[0])


# A model other than a BERT: the score is the sum of one input, each value times its position. Its inner names are the
# ones that the new nodes could have had.
BY_PLACE = """
<ir_version: 8, opset_import: ["": 17]>
other (int64[batch, sequence] input_ids, int64[batch, sequence] token_type_ids, int64[batch, sequence] attention_mask)
    => (float[batch, 2] logits)
<int64 zero = {{0}}, int64 one = {{1}}, int64[1] last = {{1}}>
{{
    size = Shape <start = 1, end = 2> (input_ids)
    batch = Squeeze (size)
    first = Range (zero, batch, one)
    pair = Add (first, one)
    query = Mul ({input}, pair)
    document = ReduceSum (query, last)
    for = Cast <to = 1> (document)
    against = Sub (for, for)
    logits = Concat <axis = 1> (against, for)
}}
"""


def packed_by_place(folder: Path, name: str) -> Packed:
    onnx.save(onnx.parser.parse_model(BY_PLACE.format(input=name)), folder / "model.onnx")
    pack(folder / "model.onnx", Layout(6, 4, cls_id=101, sep_id=102, pad_id=0), folder / "packed.onnx")
    return Packed(folder / "packed.onnx")


@pytest.mark.parametrize(("name", "expected"), [("input_ids", 1204), ("token_type_ids", 5 + 6), ("attention_mask", 21)])
def test_pack_lays_pairs_out_for_any_model(tmp_path: Path, name: str, expected: int) -> None:
    """[CLS] 7 8 [SEP] 9 [SEP], the last two of type 1: 101 + 2 * 7 + 3 * 8 + 4 * 102 + 5 * 9 + 6 * 102 is 1204."""
    packed = packed_by_place(tmp_path, name)
    assert packed.sizes == {"query_token_ids": 4, "doc_token_ids": 3}
    assert packed.score([7, 8], [9]) == expected


@pytest.fixture(scope="module")
def packages(ranker_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Model, Path]:
    """An application package with each model."""
    folder = tmp_path_factory.mktemp("vespa")
    others = vespa_settings(language="de", depth=50, timeout_ms=700, version="1.20.3")
    return {
        "int8": write_package(folder / "int8", ranker_folder, SETTINGS, "int8"),
        "fp32": write_package(folder / "fp32", ranker_folder, others, "fp32", "other"),
    }


MODELS: dict[Model, str] = {"int8": "files/cross_encoder_0_1_0.onnx", "fp32": "files/cross_encoder_1_20_3.onnx"}


@pytest.mark.parametrize(("model", "within"), [("fp32", 1e-5), ("int8", 1e-6)])
def test_packed_model_scores_as_ranker_does(
    packages: dict[Model, Path], ranker_folder: Path, model: Model, within: float
) -> None:
    """In int8 the last bit of a sum can change a score: scores are those of the very same operators."""
    ranker, packed = Ranker(ranker_folder, model), Packed(packages[model] / MODELS[model])
    documents = ranker.encode_documents([document for _, document in TEXTS.values()])
    for query in [query for query, _ in TEXTS.values()]:
        tokens = ranker.encode_query(query)
        found = [packed.score(tokens, document) for document in documents]
        np.testing.assert_allclose(found, ranker.score_unbatched(tokens, documents), atol=within)


@pytest.mark.parametrize(("model", "file"), [("fp32", "model.onnx"), ("int8", "model.int8.onnx")])
def test_packed_model_is_the_exported_one_between_plain_nodes(
    packages: dict[Model, Path], ranker_folder: Path, model: Model, file: str
) -> None:
    """Opsets, IR version and metadata are the same; all of its nodes are there, by name and in order."""
    packed, exported = onnx.load(packages[model] / MODELS[model]), onnx.load(ranker_folder / file)
    assert packed.opset_import == exported.opset_import
    assert (packed.ir_version, packed.graph.name) == (8, exported.graph.name)
    assert packed.metadata_props == exported.metadata_props
    added = [node for node in packed.graph.node if node.name not in {node.name for node in exported.graph.node}]
    assert [node for node in packed.graph.node if node not in added] == list(exported.graph.node)
    assert {node.domain for node in added} == {""}
    assert len(added) < 30
    assert [
        (tensor.name, [axis.dim_value for axis in tensor.type.tensor_type.shape.dim]) for tensor in packed.graph.input
    ] == [("query_token_ids", [30]), ("doc_token_ids", [95])]


def test_write_application_gives_the_same_bytes(
    packages: dict[Model, Path], ranker_folder: Path, tmp_path: Path
) -> None:
    write_package(tmp_path / "again", ranker_folder, SETTINGS, "int8")
    names = {
        "services.xml",
        "schemas/doc.sd",
        "schemas/doc/parts_0_1_0.profile",
        "schemas/doc/bm25_0_1_0.profile",
        "schemas/doc/bm25_cross_encoder_0_1_0.profile",
        "pieces/components.xml",
        "pieces/fields.sd",
        "pieces/retriever_0_1_0.xml",
        "pieces/embedding_0_1_0.sd",
        "pieces/queries.json",
        "files/cross_encoder_0_1_0.onnx",
        "tokenizer/tokenizer.json",
        "query-settings.json",
    }
    assert {
        file.relative_to(tmp_path / "again").as_posix() for file in (tmp_path / "again").rglob("*.*") if file.is_file()
    } == names
    for name in names:
        assert sha256(tmp_path / "again" / name) == sha256(packages["int8"] / name)
    assert sha256(packages["int8"] / "tokenizer/tokenizer.json") == sha256(ranker_folder / "tokenizer.json")


# Lines of version 1.20.3, which reranks 50 hits of German titles; the engines' tests deploy such a package.
SCHEMA = """\
        indexing: "de" | set_language
            indexing: summary | attribute
            indexing: summary | index
            index: enable-bm25
    field doc_token_ids type tensor<float>(d0[95]) {
        indexing: input title | embed tokenizer | attribute
    rank-profile ranker inherits bm25_cross_encoder_1_20_3 {
"""
PARTS = """\
rank-profile parts_1_20_3 {
        query(query_token_ids) tensor<float>(d0[30])
        file: files/cross_encoder_1_20_3.onnx
        input query_token_ids: query(query_token_ids)
        input doc_token_ids: attribute(doc_token_ids)
        output score: score
        expression: sum(onnx(cross_encoder_1_20_3).score)
        expression: bm25(title)
"""
RANK_PROFILE = """\
rank-profile bm25_cross_encoder_1_20_3 inherits parts_1_20_3 {
    match-features: bm25_score
        expression: bm25_score
        expression: cross_encoder_score
        rerank-count: 50
"""


def test_write_application_names_language_version_and_count(packages: dict[Model, Path]) -> None:
    profiles = {"parts_1_20_3": PARTS, "bm25_cross_encoder_1_20_3": RANK_PROFILE}
    files = {f"schemas/doc/{name}.profile": lines for name, lines in profiles.items()} | {"schemas/doc.sd": SCHEMA}
    for file, lines in files.items():
        assert set(lines.splitlines()) <= set((packages["fp32"] / file).read_text().splitlines())
    services = ElementTree.parse(packages["fp32"] / "services.xml").getroot()
    component = services.find("container/component")
    assert component is not None
    assert component.attrib == {"id": "tokenizer", "type": "hugging-face-tokenizer"}
    assert component.find("model").attrib == {"path": "tokenizer/tokenizer.json"}  # type: ignore[union-attr]
    assert services.find("content").attrib["id"] == "other"  # type: ignore[union-attr]


def test_words_of_the_package_are_those_that_are_measured(ranker_folder: Path, tmp_path: Path) -> None:
    """Snowball for English; no stemming if Vespa has no stemmer for a language."""
    for language, stemming in (("en", []), ("de", []), ("pt-br", []), ("pl", ["none"]), ("zh-hans", ["none"])):
        folder = tmp_path / language
        write_package(folder, ranker_folder, vespa_settings(language=language))
        assert re.findall(r"stemming: (\S+)", (folder / "schemas/doc.sd").read_text()) == stemming
        config = ElementTree.parse(folder / "services.xml").getroot().find("container/config")
        assert config is not None
        assert config.attrib == {"name": "ai.vespa.opennlp.open-nlp"}
        assert [(item.tag, item.text) for item in config] == [("snowballStemmingForEnglish", "true")]


def copy_exported(ranker_folder: Path, folder: Path, **changed: object) -> Path:
    """A copy of the fp32 model with a changed contract."""
    for file in ("model.onnx", "tokenizer.json", "encoding.json"):
        shutil.copyfile(ranker_folder / file, folder / file)
    write_json(folder / "encoding.json", json.loads((folder / "encoding.json").read_text()) | changed)
    write_json(folder / "manifest.json", {"files": {file.name: sha256(file) for file in folder.iterdir()}})
    return folder


def test_write_application_without_an_eight_bit_model_packs_the_exact_one(ranker_folder: Path, tmp_path: Path) -> None:
    exported = copy_exported(ranker_folder, tmp_path)
    write_package(tmp_path / "vespa", exported, SETTINGS, "int8")
    assert Exported(exported, "int8").model == "fp32"
    metadata = {entry.key for entry in onnx.load(tmp_path / "vespa" / MODELS["int8"]).metadata_props}
    assert metadata == {"name", "version"}  # and no quantisation


def test_write_application_refuses_a_tokenizer_whose_padding_is_not_0(ranker_folder: Path, tmp_path: Path) -> None:
    exported = copy_exported(ranker_folder, tmp_path, pad_id=5)
    with pytest.raises(InputError, match=r"tokenizer.json: expected the padding's id to be 0, .*, found 5"):
        write_package(tmp_path / "vespa", exported, SETTINGS)


def test_write_application_refuses_what_was_changed_since_export(ranker_folder: Path, tmp_path: Path) -> None:
    exported = copy_exported(ranker_folder, tmp_path)
    (exported / "model.onnx").write_bytes(b"other")
    with pytest.raises(InputError, match="model.onnx: expected sha256 .*, as manifest.json says"):
        write_package(tmp_path / "vespa", exported, SETTINGS)


def test_kept_by_tokenizer_is_what_a_normaliser_leaves(ranker_folder: Path, tmp_path: Path) -> None:
    assert kept_by_tokenizer(ranker_folder) == []
    content = json.loads((ranker_folder / "tokenizer.json").read_text())
    write_json(tmp_path / "tokenizer.json", content | {"normalizer": None})
    kept = kept_by_tokenizer(tmp_path)
    assert "\0" in kept
    assert "\u00ad" in kept
    assert len(kept) == len([*CONTROLS, *INVISIBLE])


def test_query_body() -> None:
    body = query_body('bats "and" birds', vespa_settings(language="de", depth=50, timeout_ms=700), hits=3)
    assert body == {
        "yql": "select document_id, title from doc where "
        '({grammar: "tokenize", defaultIndex: "ranked_texts", targetHits: 50}userInput(@text))',
        "text": 'bats "and" birds',
        "language": "de",
        "ranking": "ranker",
        "input.query(query_token_ids)": "embed(tokenizer, @text)",
        "hits": 3,
        "timeout": "700ms",
    }
    assert "targetHits: 120}" in query_body("bats", SETTINGS, hits=120)["yql"]


@pytest.mark.parametrize("text", ["", "  ", "...", "-", "!!!", "“ ”", "\u0007", "\u00ad\u200b", "+ = <"])
def test_query_body_refuses_text_with_nothing_to_search_for(text: str) -> None:
    assert "query: expected a letter, a digit or a symbol to search for, found" in refusal(query_body, text, SETTINGS)


def test_query_body_drops_what_the_feed_drops() -> None:
    assert query_body("corona\u00advirus in\u0007 \u200bbats", SETTINGS)["text"] == "coronavirus in bats"


@pytest.mark.parametrize("text", ["a", "7", "½", "冠", "🦠", "-é"])
def test_query_body_takes_text_of_one_word(text: str) -> None:
    assert query_body(text, SETTINGS)["text"] == text


@pytest.mark.parametrize("hits", [0, -1, 401])
def test_query_body_refuses_hits_that_vespa_refuses(hits: int) -> None:
    assert f"--hits: expected 1 to 400, Vespa's maxHits, found {hits}" in refusal(query_body, "bats", SETTINGS, hits)


def test_query_body_refuses_what_is_not_utf8() -> None:
    assert r"query: expected UTF-8, found '\udcff'" in refusal(query_body, "\udcff", SETTINGS)


def test_read_settings_are_the_packages(packages: dict[Model, Path], tmp_path: Path) -> None:
    assert read_settings(packages["int8"]) == SETTINGS
    with pytest.raises(InputError, match="query-settings.json: expected a file that stage package wrote, found none"):
        read_settings(tmp_path)
    for spoilt in ("[]", "{", '{"language": "en"}'):
        (tmp_path / "query-settings.json").write_text(spoilt)
        assert "query-settings.json: expected settings as stage package writes them" in refusal(read_settings, tmp_path)

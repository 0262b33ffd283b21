"""ranker.vespa: a rank profile and a query for each stack, names of one's own, two versions in one application."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ranker.common.errors import InputError
from ranker.common.files import write_json
from ranker.project.params import load_params
from ranker.vespa.beside import write_beside
from ranker.vespa.names import Names
from ranker.vespa.query import query_body, read_settings
from tests.applications import vespa_settings, write_package
from tests.factories import ROOT, place_models, refusal, run_stages, set_params

SETTINGS = vespa_settings("hybrid+fused")
PRODUCTS = replace(SETTINGS, names=Names("0.1.0", "product", "sku", ("name",), "tokens", "vector"))

# The first phase, the global phase and its count, by stack.
FIRST = "if (rawScore(embedding_0_1_0) > 0, 1000000 + cosine, bm25_score)"
VECTORS_AND_WORDS = "1.0 * normalize_linear(cosine) + 0.125 * normalize_linear(bm25_score)"
SUM = f"0.25 * normalize_linear(cross_encoder_score) + {VECTORS_AND_WORDS}"
PHASES: dict[str, tuple[str, str, int]] = {
    "bm25": ("bm25_score", "", 0),
    "dense": ("cosine", "", 0),
    "hybrid": (FIRST, VECTORS_AND_WORDS, 200),
    "bm25_cross_encoder": ("bm25_score", "cross_encoder_score", 100),
    "dense_cross_encoder": ("cosine", "cross_encoder_score", 100),
    "dense_fused": ("cosine", SUM, 100),
    "hybrid_cross_encoder": (FIRST, "cross_encoder_score", 200),
    "hybrid_fused": (FIRST, SUM, 200),
}
WORDS = '({grammar: "tokenize", defaultIndex: "ranked_texts", targetHits: 100}userInput(@text))'
NEAR = "({targetHits: 100}nearestNeighbor(embedding_0_1_0, embedding_0_1_0))"
VECTOR, TOKENS = "input.query(embedding_0_1_0)", "input.query(query_token_ids)"
# The condition of a query, and its inputs.
QUERIES: dict[str, tuple[str, set[str]]] = {
    "bm25": (WORDS, set()),
    "dense": (NEAR, {VECTOR}),
    "hybrid": (f"({NEAR} or {WORDS})", {VECTOR}),
    "bm25+cross_encoder": (WORDS, {TOKENS}),
    "dense+cross_encoder": (NEAR, {VECTOR, TOKENS}),
    "dense+fused": (f"rank({NEAR}, {WORDS})", {VECTOR, TOKENS}),
    "hybrid+cross_encoder": (f"({NEAR} or {WORDS})", {VECTOR, TOKENS}),
    "hybrid+fused": (f"({NEAR} or {WORDS})", {VECTOR, TOKENS}),
}


@pytest.fixture(scope="module")
def package(ranker_folder: Path, word_vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package") / "vespa"
    return write_package(folder, ranker_folder, SETTINGS, retriever=word_vectors)


def test_each_stack_has_a_rank_profile(package: Path) -> None:
    profiles = {file.stem.removesuffix("_0_1_0"): file.read_text() for file in (package / "schemas/doc").iterdir()}
    assert set(profiles) == {"parts", *PHASES}
    for stack, (first, then, count) in PHASES.items():
        lines = [line.strip() for line in profiles[stack].splitlines()]
        assert lines[0] == f"rank-profile {stack}_0_1_0 inherits parts_0_1_0 {{"
        expressions = [line.removeprefix("expression: ") for line in lines if line.startswith("expression")]
        assert expressions == [first, *([then] if then else [])]
        assert (f"rerank-count: {count}" in lines) == bool(count)
        assert ("approximate-threshold: 0.0" in lines) == ("hybrid" in stack)
    assert "    rank-profile ranker inherits hybrid_fused_0_1_0 {\n" in (package / "schemas/doc.sd").read_text()


@pytest.mark.parametrize("stack", QUERIES)
def test_each_stack_has_a_query(stack: str) -> None:
    body = query_body("bats", SETTINGS, stack=stack)
    where, inputs = QUERIES[stack]
    assert body["yql"] == f"select document_id, title from doc where {where}"
    assert {name for name in body if name.startswith("input")} == inputs
    assert body["ranking"] == f"{stack.replace('+', '_')}_0_1_0"
    assert query_body("bats", SETTINGS)["ranking"] == "ranker"


def test_words_that_add_nothing_are_not_asked_for() -> None:
    weights = {"cross_encoder": 0.0, "cosine": 1.0, "bm25": 0.0}
    settings = replace(SETTINGS, stack=replace(SETTINGS.stack, first_stage="dense", weights=weights))
    body = query_body("bats", settings)
    assert body["yql"].endswith(f"where {NEAR}")
    assert TOKENS not in body


def test_an_exact_search_says_so() -> None:
    yql = query_body("bats", SETTINGS, stack="dense", exact=True)["yql"]
    assert "{targetHits: 100, approximate: false}nearestNeighbor" in yql
    found = refusal(query_body, "bats", SETTINGS, exact=True)
    assert found == "--exact: expected a stack that finds by vectors alone, such as dense, found hybrid+fused"


def test_more_hits_are_not_more_of_a_hybrids_vectors() -> None:
    """They come first, so more of them would leave no room for BM25's."""
    targets = {"hybrid+fused": [100, 300], "dense": [300], "bm25": [300], "dense+fused": [300, 300]}
    for stack, expected in targets.items():
        yql = query_body("bats", SETTINGS, 300, stack)["yql"]
        assert [int(count) for count in re.findall(r"targetHits: (\d+)", yql)] == expected


def test_query_of_an_unknown_stack_is_refused() -> None:
    known = ", ".join(QUERIES)
    found = refusal(query_body, "bats", SETTINGS, stack="base")
    assert found == f"--stack: expected one of {known}, found 'base'"
    found = refusal(query_body, "bats", vespa_settings(), stack="dense")
    assert found == "--stack: expected one of bm25, bm25+cross_encoder, found 'dense'"


def test_names_are_the_users(ranker_folder: Path, word_vectors: Path, tmp_path: Path) -> None:
    package = write_package(tmp_path / "vespa", ranker_folder, PRODUCTS, retriever=word_vectors)
    schema = (package / "schemas/product.sd").read_text()
    for line in (
        "schema product {",
        "    document product {",
        "        field sku type string {",
        "        field name type string {",
        "        fields: name",
        "    field tokens type tensor<float>(d0[95]) {",
        "    field vector_0_1_0 type tensor<float>(x[16]) {",
        "        indexing: input name | embed retriever_0_1_0 | attribute | index",
    ):
        assert f"{line}\n" in schema
    parts = (package / "schemas/product/parts_0_1_0.profile").read_text()
    assert "        input doc_token_ids: attribute(tokens)\n" in parts
    assert "expression: sum(query(vector_0_1_0) * attribute(vector_0_1_0))\n" in parts
    assert '<document type="product" mode="index"/>' in (package / "services.xml").read_text()
    assert read_settings(package) == PRODUCTS
    assert query_body("bats", PRODUCTS)["yql"].startswith("select sku, name from product where ")


def test_pieces_are_the_lines_of_the_package(package: Path) -> None:
    services, schema = (package / "services.xml").read_text(), (package / "schemas/doc.sd").read_text()
    assert {file.name for file in (package / "pieces").iterdir()} == {
        "components.xml", "retriever_0_1_0.xml", "fields.sd", "embedding_0_1_0.sd", "queries.json",
    }  # fmt: skip
    for file in (package / "pieces").glob("*.xml"):
        assert file.read_text() in services
    for file in (package / "pieces").glob("*.sd"):
        assert file.read_text() in schema


def test_an_older_version_stands_beside(package: Path, ranker_folder: Path, word_vectors: Path, tmp_path: Path) -> None:
    older = vespa_settings("hybrid+fused", version="0.0.9")
    write_package(tmp_path / "older", ranker_folder, older, retriever=word_vectors)
    assert write_beside(package, tmp_path / "older", tmp_path / "both") == ("0.1.0", "0.0.9")
    both = tmp_path / "both"
    assert len(list((both / "schemas/doc").iterdir())) == 18
    assert sorted(file.name for file in (both / "files").iterdir()) == [
        "cross_encoder_0_0_9.onnx", "cross_encoder_0_1_0.onnx", "retriever_0_0_9.onnx", "retriever_0_1_0.onnx",
    ]  # fmt: skip
    schema, services = (both / "schemas/doc.sd").read_text(), (both / "services.xml").read_text()
    for version in ("0_0_9", "0_1_0"):
        assert schema.count(f"field embedding_{version} type") == 1
        assert services.count(f'<component id="retriever_{version}"') == 1
    assert "rank-profile ranker inherits hybrid_fused_0_1_0" in schema
    assert read_settings(both) == SETTINGS


def test_versions_that_cannot_stand_side_by_side_are_refused(
    package: Path, ranker_folder: Path, word_vectors: Path, tmp_path: Path
) -> None:
    found = refusal(write_beside, package, package, tmp_path / "both")
    assert found == f"{package}: expected another version than {package} has, found 0.1.0, too"
    french = vespa_settings("hybrid+fused", language="fr", version="0.0.9")
    write_package(tmp_path / "french", ranker_folder, french, retriever=word_vectors)
    found = refusal(write_beside, package, tmp_path / "french", tmp_path / "both")
    assert found.startswith(f"{tmp_path}/french/pieces/fields.sd: expected the same as {package}/pieces/fields.sd")
    products = replace(PRODUCTS, names=replace(PRODUCTS.names, version="0.0.9"))
    write_package(tmp_path / "products", ranker_folder, products, retriever=word_vectors)
    assert "products: expected the names of" in refusal(write_beside, package, tmp_path / "products", tmp_path / "both")
    assert not (tmp_path / "both").exists()


@pytest.fixture
def project(ranker_folder: Path, word_vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which stage package finds its inputs."""
    place_models(tmp_path, ranker_folder, word_vectors)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def packaged(capsys: pytest.CaptureFixture[str]) -> list[str]:
    run_stages("package")
    return capsys.readouterr().out.splitlines()


NO_FIGURES = (
    "package: bench/results/stacks.json: none of this base model's architecture; python -m bench.studies.stacks "
    "measures what a query takes"
)


def test_stage_package_serves_the_stack_of_params(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_params(project, first_stage__retriever="dense", order__by="fused", order__depth=70)
    assert packaged(capsys) == [
        "package: models/stack.json: dense+fused",
        "package: models/vespa: dense+fused of version 0.1.0",
        NO_FIGURES,
    ]
    found = read_settings(project / "models/vespa")
    assert (found.stack.name, found.stack.depth, found.has_retriever) == ("dense+fused", 70, True)
    set_params(project, first_stage__retriever="dense", order__by="as_found")
    assert packaged(capsys)[1:] == ["package: models/vespa: dense of version 0.1.0"]  # it runs no cross-encoder


def test_stage_package_says_what_vespa_cannot_find(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(project / "models/retriever")
    write_json(project / "models/retriever/idle.json", {"first_stage.retriever": "base_hybrid"})
    set_params(project, first_stage__retriever="base_hybrid", order__by="fused")
    assert packaged(capsys) == [
        "package: models/stack.json: base_hybrid+fused",
        "package: models/vespa: bm25+cross_encoder of version 0.1.0",
        "package: base_hybrid+fused is measured alone: neither Vespa nor `python -m ranker search` finds its hits",
        NO_FIGURES,
    ]
    assert not read_settings(project / "models/vespa").has_retriever


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"document_type": "my-doc"}, "vespa.document_type: expected letters, digits and underscores, no digit first"),
        ({"text_fields": ["a", "b"]}, "vespa: text_fields: expected one for each of join.document_fields"),
        ({"text_fields": ["my name"]}, "vespa: text_fields: expected letters, digits and underscores, no digit first"),
        ({"id_field": "title"}, "vespa: expected each field's name once, found 'title' twice"),
        (
            {"token_field": "texts_language"},
            "vespa: expected names that Vespa and its query language leave free, found",
        ),
        ({"document_type": "select"}, "vespa: expected names that Vespa and its query language leave free, found"),
        ({"text_fields": ["embedding_0_1_0"]}, "vespa: expected each field's name once, found 'embedding_0_1_0' twice"),
    ],
)
def test_params_refuse_names_that_vespa_has_no_place_for(
    tmp_path: Path, values: dict[str, object], message: str
) -> None:
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    set_params(tmp_path, **{f"vespa__{name}": value for name, value in values.items()})
    with pytest.raises(InputError, match=message):
        load_params(tmp_path / "params.yaml")

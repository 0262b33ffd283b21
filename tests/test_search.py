"""ranker.search against the pipeline's own measurements and sums in plain Python; vectors kept between searches."""

import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ranker.common.files import write_json
from ranker.contract.document import whole_text
from ranker.retrieval.hits import Bm25Index, cosine_hits
from ranker.retrieval.lists import join_lists
from ranker.search import vectors
from ranker.search.explain import heading, json_lines, trace
from ranker.search.search import Hit, Search
from ranker.serving.ranker import Ranker
from ranker.stack.bm25 import Bm25
from ranker.stack.stack import STACK_FILE, Stack, write_stack
from ranker.stacks.hits import candidates, stack_scores
from tests.factories import refusal

WORDS = ["masks", "bats", "ward", "virus", "origin"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join), min_size=1, max_size=12)
WEIGHT = st.sampled_from([0.0, 0.25, 1.0, 2.0])


class Embedder:
    """Vectors of four halves, chosen by a text's hash: their products are exact."""

    document_fields: tuple[str, ...] = ("title",)
    size = 8

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([self.vector(text) for text in texts])

    def embed_documents(self, texts: Sequence[str]) -> np.ndarray:
        self.embedded += texts
        return np.stack([self.vector(text) for text in texts])

    def vector(self, text: str) -> np.ndarray:
        random = np.random.default_rng(zlib.crc32(text.encode()))
        vector = np.zeros(self.size, np.float32)
        vector[random.permutation(self.size)[:4]] = random.choice([-0.5, 0.5], 4)
        return vector


STACKS = st.builds(
    Stack,
    first_stage=st.sampled_from(["bm25", "dense", "hybrid"]),
    order=st.sampled_from(["as_found", "cross_encoder", "fused"]),
    depth=st.integers(1, 8),
    weights=st.fixed_dictionaries({"cross_encoder": WEIGHT, "cosine": WEIGHT, "bm25": WEIGHT}),
    language=st.just("en"),
)


def stack(first_stage: str, order: str, depth: int = 3, **weights: float) -> Stack:
    all_weights = {"cross_encoder": 0.0, "cosine": 0.0, "bm25": 0.0} | weights
    return Stack(first_stage, order, depth, all_weights, "en")  # type: ignore[arg-type]


def names_of(texts: Sequence[str]) -> list[str]:
    return [f"d{(i * 7) % 12}" for i in range(len(texts))]  # in no order


@pytest.fixture(scope="module")
def ranker(ranker_folder: Path) -> Ranker:
    return Ranker(ranker_folder)


def measured_lists(asked: Stack, query: str, texts: list[str]) -> dict[str, pd.DataFrame]:
    """Each list's hits by the code that measures first stages."""
    queries, names, embedder = pd.DataFrame({"query_id": ["q"], "query": [query]}), names_of(texts), Embedder()
    found = {}
    if "bm25" in asked.found_by:
        index = Bm25Index(queries, [(names, [[text] for text in texts])], "en")
        found["bm25"] = index.hits(queries["query_id"], asked.depth)
    if "dense" in asked.found_by:
        parts = [(pa.array(names, pa.string()), embedder.embed_documents(texts))]
        found["dense"] = cosine_hits(queries["query_id"], embedder.embed_queries([query]), parts, asked.depth)
    return found


def part_scores(query: str, texts: list[str], ranker: Ranker) -> dict[str, dict[str, float]]:
    """Scores of all documents by part."""
    names, embedder = names_of(texts), Embedder()
    pairs = ranker.encode_query(query), ranker.encode_documents(texts)
    scores = {
        "cross_encoder": ranker.score_unbatched(*pairs),
        "cosine": embedder.embed_documents(texts) @ embedder.vector(query),
        "bm25": Bm25({"q": query}, [[text] for text in texts], "en").scores("q"),
    }
    return {part: dict(zip(names, values.tolist(), strict=True)) for part, values in scores.items()}


def by_hand(asked: Stack, lists: dict[str, pd.DataFrame], scores: dict[str, dict[str, float]]) -> dict[str, float]:
    """The candidates' scores in plain Python."""
    found = set().union(*(hits["document_id"] for hits in lists.values()))
    if asked.order == "cross_encoder":
        return {name: scores["cross_encoder"][name] for name in found}
    if asked.order == "as_found" and asked.first_stage != "hybrid":
        return {name: scores[{"bm25": "bm25", "dense": "cosine"}[asked.first_stage]][name] for name in found}
    total = dict.fromkeys(found, 0.0)
    for part, of_all in scores.items():
        absent = (part == "cross_encoder" and asked.order == "as_found") or (
            part == "cosine" and asked.first_stage == "bm25"
        )
        values = [of_all[name] for name in found]
        for name in () if absent else found:
            span = max(values) - min(values)
            total[name] += asked.weights[part] * ((of_all[name] - min(values)) / span if span else 0.5)
    return total


@settings(deadline=None)
@given(STACKS, TEXTS, st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join))
def test_search_finds_and_orders_as_measured(ranker: Ranker, asked: Stack, texts: list[str], query: str) -> None:
    search = Search(asked, Embedder(), ranker)
    search.index(names_of(texts), [[text] for text in texts])
    hits = search.find(query, None)
    lists = measured_lists(asked, query, texts)
    for name, found in lists.items():
        ranked = sorted((rank, hit.document_id) for hit in hits if (rank := hit.ranks[name]) is not None)
        assert [name for _, name in ranked] == found["document_id"].tolist()
        assert [rank for rank, _ in ranked] == list(range(1, len(found) + 1))
    expected = by_hand(asked, lists, part_scores(query, texts, ranker))
    assert {hit.document_id: hit.score for hit in hits} == pytest.approx(expected, abs=1e-5)  # the union, no other
    assert [(hit.score, hit.document_id) for hit in hits] == sorted((h.score, h.document_id) for h in hits)[::-1]
    assert search.find(query, 2) == hits[:2]
    for hit in hits:
        assert search.ids[hit.row] == hit.document_id
        if asked.summed:
            assert sum(hit.parts.values()) == pytest.approx(hit.score)
            assert all(0 <= part <= asked.weights[name] for name, part in hit.parts.items())
        else:
            assert not hit.parts
            assert hit.score in hit.raw.values()


@settings(deadline=None, max_examples=50)
@given(STACKS, TEXTS)
def test_served_equals_measured_to_the_last_digit(ranker: Ranker, asked: Stack, texts: list[str]) -> None:
    """Ids in order, as evaluation sorts them: by falling score, then falling document_id."""
    search = Search(asked, Embedder(), ranker)
    search.index(names_of(texts), [[text] for text in texts])
    scores = part_scores("masks ward", texts, ranker)
    lists = measured_lists(asked, "masks ward", texts)
    assume(all(len(hits) for hits in lists.values()))  # a table of hits has some
    hits = join_lists(lists)
    columns = {"bm25": "bm25", "retriever": "cosine", "cross_encoder": "cross_encoder"}
    for column, part in columns.items():
        hits[column] = np.array([scores[part][name] for name in hits["document_id"]], np.float32)
    inside = candidates(hits, asked)
    measured = sorted(zip(stack_scores(inside, asked).tolist(), inside["document_id"], strict=True), reverse=True)
    found = search.find("masks ward", None)
    assert [hit.document_id for hit in found] == [name for _, name in measured]
    if asked.order != "as_found" or asked.summed:  # a list's own scores are its ranks where they are measured
        assert [hit.score for hit in found] == [score for score, _ in measured]


def test_bm25_sums_over_fields_and_models_read_one_text() -> None:
    class Reads(Embedder):
        document_fields: tuple[str, ...] = ("title", "text")

    embedder = Reads()
    search = Search(stack("hybrid", "as_found", cosine=1, bm25=1), embedder)
    documents = [["Masks", "in wards"], ["Bats", ""], ["", "masks"]]
    search.index("abc", documents)
    assert embedder.embedded == [whole_text(texts) for texts in documents]
    assert search.document_fields == ("title", "text")
    expected = Bm25({"q": "masks ward"}, documents, "en").scores("q")
    assert [hit.raw["bm25"] for hit in sorted(search.find("masks ward"), key=lambda hit: hit.row)] == expected.tolist()


@pytest.mark.parametrize("first_stage", ["bm25", "dense", "hybrid"])
def test_a_document_that_is_the_query_is_not_searched(first_stage: str) -> None:
    texts, weights = ["masks in wards", "masks", "bats and masks"], {"cosine": 1.0, "bm25": 1.0}
    search = Search(stack(first_stage, "as_found", 5, **weights), Embedder())
    search.index(list("abc"), [[text] for text in texts])
    assert "b" in [hit.document_id for hit in search.find("masks", None)]
    found = search.find("masks", None, without=1)
    assert sorted(hit.document_id for hit in found) == ["a", "c"]
    assert all(np.isfinite(hit.score) for hit in found)


def test_a_stack_runs_only_its_own_models() -> None:
    plain = Search(stack("bm25", "as_found"))
    plain.index(["a", "b"], [["Bats"], ["Masks"]])
    assert [hit.document_id for hit in plain.find("masks")] == ["b"]
    assert plain.find("birds") == []
    embedder = Embedder()
    unused = Search(stack("bm25", "fused", bm25=1, cosine=1), embedder)
    unused.index(["a"], [["Masks"]])
    assert unused.find("masks")[0].parts == {"bm25": 0.5}
    assert embedder.embedded == []


def test_load_takes_the_folder_of_the_pipeline(ranker_folder: Path, tmp_path: Path) -> None:
    """By default, with the model that the stack was measured with."""
    write_stack(tmp_path / STACK_FILE, stack("bm25", "cross_encoder"), {"retriever": "fp32", "cross_encoder": "int8"})
    (tmp_path / "ranker").symlink_to(ranker_folder)
    search = Search.load(tmp_path)
    search.index(["a", "b"], [["Masks in wards"], ["Bats and masks"]])
    model = Ranker(ranker_folder, "int8")
    scores = model.score_unbatched(model.encode_query("masks"), model.encode_documents(["Masks in wards"]))
    assert {hit.document_id: hit.score for hit in search.find("masks")}["a"] == float(scores[0])


def test_search_says_what_it_cannot_do(ranker: Ranker) -> None:
    dense = stack("dense", "as_found")
    assert refusal(Search, dense) == "retriever: expected one, because stack dense searches by vectors, found none"
    found = refusal(Search, stack("bm25", "cross_encoder"))
    assert found == "ranker: expected one, because stack bm25+cross_encoder runs a cross-encoder, found none"
    for first_stage, why in {"base_hybrid": "the untrained base model", "run": "an engine's own run"}.items():
        found = refusal(Search, stack(first_stage, "as_found"))
        assert found.startswith(f"stack: first_stage.retriever: expected bm25, dense or hybrid, because {why} ")
    search = Search(stack("bm25", "as_found"))
    assert refusal(search.find, " ") == "query: expected text, found ' '"
    assert refusal(search.index, ["a"], ["Masks"]) == "documents: expected a list of each one's fields, found one text"
    short = np.zeros((1, 8), np.float32)
    found = refusal(Search(dense, Embedder()).index, ["a", "b"], [["Masks"], ["Bats"]], short)
    assert found == "vectors: expected 2 of 8 numbers, found (1, 8)"
    assert refusal(search.index, ["a"], []) == "documents: expected as many texts as ids, found 0 and 1"


HITS = [
    Hit("d1", 0, 1.2, 1, {"bm25": 3, "dense": None}, {"cosine": 0.75, "bm25": 12.5}, {"cosine": 1.0, "bm25": 0.2}),
    Hit("d" * 60, 1, 0.0, 2, {"bm25": None, "dense": 12}, {"cosine": -0.25, "bm25": 0.0}, {"cosine": 0, "bm25": 0}),
]


def test_trace_shows_ranks_raw_scores_and_parts() -> None:
    lines = list(trace(HITS, ["Masks\n\x1b[31m" + "x" * 90, "Bats"], 80))
    assert lines[:3] == [
        "                  rank by       cosine         BM25",
        "rank  score  BM25 vectors    raw  part    raw  part  document_id",
        "   1  1.200     3       -   0.75 1.000  12.50 0.200  d1",
    ]
    assert lines[3].startswith("      Masks [31mxxx")
    assert lines[3].endswith("…")
    assert lines[5] == "      Bats"
    assert [len(line) for line in lines[3:5]] == [80, 80]
    assert list(trace([], [], 80)) == []
    asked = stack("hybrid", "fused", 100, cosine=1, bm25=0.2)
    assert list(heading(asked, 2000, 163, ["title", "text"], "retriever int8")) == [
        "hybrid+fused over 2,000 documents (title, text), by retriever int8",
        "163 candidates: the best 100 by BM25 and the best 100 by vectors",
        "score = 1 cosine + 0.2 BM25, each scaled to 0..1",
    ]
    assert list(heading(stack("bm25", "as_found"), 9, 3, ["title"], ""))[2] == "score = that of BM25"


def test_json_lines_hold_all_of_the_trace() -> None:
    (line, _) = json_lines(HITS, ["Masks", "Bats"], "title", explain=True)
    assert line == (
        '{"rank": 1, "score": 1.2, "document_id": "d1", "title": "Masks", "as_found": 1, "ranks": {"bm25": 3, '
        '"dense": null}, '
        '"raw": {"cosine": 0.75, "bm25": 12.5}, "parts": {"cosine": 1.0, "bm25": 0.2}}'
    )
    (plain, _) = json_lines(HITS, ["Masks", "Bats"], "title", explain=False)
    assert plain == '{"rank": 1, "score": 1.2, "document_id": "d1", "title": "Masks"}'


DIGEST = "0" * 64
FILE = f"{DIGEST[:32]}.npz"


def test_kept_vectors_embed_a_changed_text_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["Masks", "", "Bats", "Masks"]
    first = Embedder()
    expected = np.stack([first.vector(text) for text in texts])
    np.testing.assert_array_equal(vectors.embedded(first, texts, tmp_path, DIGEST), expected)
    assert first.embedded == ["Masks", "", "Bats"]
    second = Embedder()
    np.testing.assert_array_equal(vectors.embedded(second, texts, tmp_path, DIGEST), expected)
    assert second.embedded == []
    vectors.embedded(second, ["Bats", "Birds", "Masks"], tmp_path, DIGEST)
    assert second.embedded == ["Birds"]
    vectors.embedded(second, texts, tmp_path, DIGEST)
    assert second.embedded == ["Birds"]  # the others are still kept
    vectors.embedded(second, ["Masks"], tmp_path, "1" * 64)
    assert second.embedded == ["Birds", "Masks"]  # another model's
    assert capsys.readouterr() == ("", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, f"{'1' * 32}.npz"]


def torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def damaged(file: Path) -> None:
    """One bit of a vector."""
    content = bytearray(file.read_bytes())
    content[content.index(np.float32(0.5).tobytes()) + 1] ^= 1
    file.write_bytes(content)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def foreign(file: Path) -> None:
    file.write_text("Masks")


def another_array(file: Path) -> None:
    with file.open("wb") as out:
        np.save(out, np.zeros(3))


def lacking(file: Path) -> None:
    np.savez(file, texts=np.zeros(2, "V16"))


def of_another_size(file: Path) -> None:
    np.savez(file, texts=np.zeros(2, "V16"), vectors=np.ones((2, 4), np.float32) / 2)


def of_other_rows(file: Path) -> None:
    np.savez(file, texts=np.zeros(3, "V16"), vectors=np.full((2, 8), 8**-0.5, np.float32))


def of_other_lengths(file: Path) -> None:
    np.savez(file, texts=np.zeros(2, "V16"), vectors=np.full((2, 8), np.nan, np.float32))


def pickled(file: Path) -> None:
    np.savez(file, texts=np.array([{"a": 1}, 2], object), vectors=np.ones((2, 8), np.float32))


@pytest.mark.parametrize(
    "spoil",
    [torn, damaged, empty, foreign, another_array, lacking, of_another_size, of_other_rows, of_other_lengths, pickled],
)
def test_kept_vectors_that_are_spoilt_are_made_anew(
    tmp_path: Path, spoil: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    vectors.embedded(Embedder(), ["Masks", "Bats"], tmp_path, DIGEST)
    spoil(tmp_path / FILE)
    embedder = Embedder()
    found = vectors.embedded(embedder, ["Masks", "Bats"], tmp_path, DIGEST)
    np.testing.assert_array_equal(found, np.stack([embedder.vector("Masks"), embedder.vector("Bats")]))
    assert embedder.embedded == ["Masks", "Bats"]
    said = capsys.readouterr().err
    assert said.startswith(f"search: {tmp_path / FILE}: expected kept vectors, found ")
    assert said.endswith(": they are made anew\n")
    assert said.count("\n") == 1
    vectors.embedded(embedder, ["Masks", "Bats"], tmp_path, DIGEST)
    assert embedder.embedded == ["Masks", "Bats"]


def test_an_interrupted_run_keeps_what_it_has_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stops(Embedder):
        def embed_documents(self, texts: Sequence[str]) -> np.ndarray:
            if "c" in texts:
                raise KeyboardInterrupt
            return super().embed_documents(texts)

    monkeypatch.setattr(vectors, "BLOCK", 2)
    with pytest.raises(KeyboardInterrupt):
        vectors.embedded(Stops(), ["a", "b", "c"], tmp_path, DIGEST)
    embedder = Embedder()
    found = vectors.embedded(embedder, ["a", "b", "c"], tmp_path, DIGEST)
    assert embedder.embedded == ["c"]
    np.testing.assert_array_equal(found, np.stack([embedder.vector(text) for text in "abc"]))


def test_a_folder_that_cannot_be_written_costs_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    found = vectors.embedded(Embedder(), ["Masks"], tmp_path / "file/vectors", DIGEST)
    np.testing.assert_array_equal(found, [Embedder().vector("Masks")])
    said = capsys.readouterr().err
    assert said.startswith(f"search: {tmp_path}/file/vectors: expected a folder to keep vectors in, found ")
    assert said.endswith(": they are not kept\n")


def test_embedding_many_says_how_long_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(vectors, "SECONDS", 0.0)
    vectors.embedded(Embedder(), [str(number) for number in range(1100)], tmp_path, DIGEST)
    out, err = capsys.readouterr()
    assert out == ""
    said = [line.partition(" embedded")[0] for line in err.splitlines()]
    assert said == [f"search: {done} of 1,100 documents" for done in ("512", "1,024", "1,100")]
    assert err.endswith(" documents embedded, 0 s left\n")


def test_vectors_lie_outside_the_pipelines_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    for place in ("models/vectors", "data", "results/../models/x", "elsewhere/../results"):
        found = refusal(vectors.check_place, Path(place))
        assert found.startswith("--vectors: expected a folder outside the pipeline's ")
    (tmp_path / "link").symlink_to(tmp_path / "models")
    assert "models, found" in refusal(vectors.check_place, Path("link/kept"))
    vectors.check_place(tmp_path / "kept")
    (tmp_path / "other").mkdir()
    vectors.check_place(tmp_path / "other/models")  # of no pipeline


@pytest.mark.parametrize(
    ("platform", "named", "expected"),
    [
        ("linux", {}, ".cache"),
        ("linux", {"XDG_CACHE_HOME": "/elsewhere"}, "/elsewhere"),
        ("linux", {"XDG_CACHE_HOME": "not/absolute"}, ".cache"),
        ("darwin", {"XDG_CACHE_HOME": "/elsewhere"}, "Library/Caches"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local"),
    ],
)
def test_the_cache_folder_is_the_platforms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, named: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    assert vectors.default_folder() == tmp_path / expected / "cord19-ranker/vectors"


def test_a_models_digest_is_of_its_own_files(tmp_path: Path) -> None:
    files = {"model.onnx": "a", "model.int8.onnx": "b", "tokenizer.json": "c", "embedding.json": "d"}

    def digest(model: str, **changed: str) -> str:
        write_json(
            tmp_path / "manifest.json", {"files": files | {name.replace("_", "."): v for name, v in changed.items()}}
        )
        return vectors.model_digest(tmp_path, model)  # type: ignore[arg-type]

    assert digest("fp32") != digest("int8")
    assert digest("fp32") == digest("fp32", model_int8_onnx="other")
    assert digest("fp32") != digest("fp32", tokenizer_json="other") != digest("fp32", model_onnx="other")

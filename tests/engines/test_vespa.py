"""Vespa's own Java code deploys models/vespa, is fed and queried. Only the content node, which is C++, is a stand-in.

Run `make test-engines` after `make repro`. engines/ is the Maven project; each version of Vespa does all its work in
one process.
"""

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from bench.studies import stacks
from engines import harness
from ranker.contract.folder import Model
from ranker.contract.words import NOT_TEXT
from ranker.export.golden import TEXTS
from ranker.metrics.ranking import ranking_measures
from ranker.project import paths
from ranker.project.sides import held_out_pairs
from ranker.serving.documents import SEARCHED
from ranker.serving.ranker import Ranker
from ranker.stack.stack import Stack
from ranker.vespa.beside import write_beside
from ranker.vespa.feed import write_feed
from ranker.vespa.query import query_body, read_settings
from tests.applications import vespa_settings, write_package
from tests.engines.conftest import require
from tests.factories import PARAMS, ROOT

Request = dict[str, dict[str, Any]]  # for harness.run

pytestmark = pytest.mark.engines

PACKAGE, EXPORTED = ROOT / paths.VESPA, ROOT / paths.RANKER
STACK = "bm25+cross_encoder"  # the cross-encoder alone; test_vespa_stacks.py has the others
MODEL: Model = PARAMS.vespa.model if (EXPORTED / "model.int8.onnx").is_file() else "fp32"
VERSION = PARAMS.export.version.replace(".", "_")
NEW, OLD = f"bm25_cross_encoder_{VERSION}", "bm25_cross_encoder_0_0_9"
QUERY = "masks in hospitals"
HITS = 130  # 100 of them are reranked

# Titles that Vespa could change; an id may have any text.
ODD = {
    "control characters": "zero\u0000width\u0007 and\u001fbell",
    "nothing but a control character": "\u0007",
    "blank": "   ",
    "empty": "",
    "no width": "\u200b",
    "special tokens": "What [SEP] and [PAD] mean [UNK] [MASK]",
    "endless": "long titles are cut, not refused " * 60,
    'an id: "quoted" / é % # ? ::': "🦠 naïve Ångström — 冠状病毒",
    "line breaks": "a\tb\nc\u0085d\u2028e",
}
# The text a user types -> the words that are searched. userInput's own grammar would read most of these differently.
GRAMMAR: dict[str, list[str | int]] = {
    QUERY: ["mask", "in", "hospit"],
    "covid-19": ["covid", 19],
    "covid -vaccine": ["covid", "vaccin"],
    "masks*": ["mask"],
    "title:masks": ["titl", "mask"],
    "foo:bar": ["foo", "bar"],
    '"covid vaccine" trial': ["covid", "vaccin", "trial"],
    "(bats or civets) virus": ["bat", "or", "civet", "virus"],
    '"unclosed': ["unclos"],
    "(x": ["x"],
    "a AND b": ["a", "and", "b"],
    "+covid": ["covid"],
    "what is R0?": ["what", "is", "r0"],
    "SARS-CoV-2: a review": ["sar", "cov", 2, "a", "review"],
    "naïve Ångström": ["naiv", "angstrom"],
    "bats\u0007and\u0000 birds": ["batsand", "bird"],
    "中国 病毒": ["中国", "病毒"],
    "🦠": ["🦠"],
    "saliva and urine": ["saliva", "and", "urin"],
}
NOTHING = ["...", "-", "!!!", " ", "“”", "\u0007"]
# Another language would stem these words as saliv, urin, zik, colomb; an English query has saliva and zika.
ZIKA = "Testing saliva and urine for Zika virus RNA in pregnant women, Colombia"


@pytest.fixture(scope="module", autouse=True)
def _package() -> None:
    require((PACKAGE / "services.xml").is_file(), f"{paths.VESPA}: expected what make repro writes, found none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vespa")


@pytest.fixture(scope="module")
def titles() -> dict[str, str]:
    """All titles of the sample and some odd ones, by id."""
    documents = pd.read_parquet(ROOT / paths.DOCUMENTS)
    return dict(zip(documents["document_id"], documents["title"], strict=True)) | ODD


@pytest.fixture(scope="module")
def exact(folder: Path) -> Path:
    """A package of the fp32 model as version 0.0.9, without a retriever."""
    return write_package(folder / "exact", EXPORTED, vespa_settings(STACK, version="0.0.9"))


@pytest.fixture(scope="module")
def both(folder: Path, exact: Path) -> Path:
    """The package that ships, with the old version beside it."""
    write_beside(PACKAGE, exact, folder / "both")
    return folder / "both"


@pytest.fixture(scope="module")
def held_out() -> pd.DataFrame:
    held_out = held_out_pairs(pd.read_parquet(ROOT / paths.SPLIT_PAIRS), PARAMS.split.held_out)[1]
    return held_out.merge(pd.read_parquet(ROOT / paths.QUERIES)).merge(pd.read_parquet(ROOT / paths.DOCUMENTS))


def bodies(held_out: pd.DataFrame, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Requests by purpose, each with the documents that its query finds."""
    settings = read_settings(PACKAGE)
    first = {"documents": ids[:HITS]}

    def body(text: str, hits: int = 10, **others: Any) -> dict[str, Any]:
        return query_body(text, settings, hits, STACK) | others

    return {
        "query": [{"body": body(QUERY), **first}] * 3,
        "more hits": [{"body": body(QUERY, 120), **first}],
        "too many": [{"body": body(QUERY) | {"hits": 401}, **first}],
        "grammar": [{"body": body(text, ranking=f"bm25_{VERSION}"), **first} for text in GRAMMAR],
        "nothing": [{"body": body(QUERY) | {"text": text}, **first} for text in NOTHING],
    } | {
        profile: [
            {"body": body(rows["query"].iloc[0], len(rows), ranking=profile), "documents": rows["document_id"].tolist()}
            for _, rows in held_out.groupby("query_id")
        ]
        for profile in (OLD, NEW)
    }


@pytest.fixture(scope="module")
def asked(held_out: pd.DataFrame, titles: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    return bodies(held_out, list(titles))


@pytest.fixture(scope="module")
def newest(
    folder: Path, exact: Path, both: Path, titles: dict[str, str], asked: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """The results of the newest Vespa."""
    write_feed(titles.items(), folder / "feed.jsonl")
    ships, feed = str(PACKAGE), str(folder / "feed.jsonl")
    request: Request = {
        "deploy": {"step": "deploy", "application": ships},
        "deploy both": {"step": "deploy", "application": str(both)},
        "tokens": {"step": "tokens", "application": ships, "texts": texts()},
        "golden": {"step": "scores", "application": str(exact), "profile": OLD, "pairs": list(TEXTS.values())},
        OLD: {"step": "scores", "application": str(both), "profile": OLD, "pairs": pairs(titles)},
        NEW: {"step": "scores", "application": str(both), "profile": NEW, "pairs": pairs(titles)},
        "index": {
            "step": "index",
            "application": ships,
            "feed": feed,
            "field": "title",
            "update": "Zika virus in urine",
        },
        "rerank": {
            "step": "rerank",
            "application": ships,
            "feed": feed,
            "bodies": {"ships": query_body(QUERY, read_settings(PACKAGE), stack=STACK)},
            "rounds": 1,
        },
        "characters": {"step": "characters"},
        "ask": {
            "step": "ask",
            "application": str(both),
            "feed": feed,
            "asks": [ask for asks in asked.values() for ask in asks],
        },
    }
    (folder / "newest").mkdir()
    return harness.run(request, folder / "newest")


@pytest.fixture(scope="module")
def answers(newest: dict[str, Any], asked: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The container's answers by request."""
    found = iter(newest["ask"]["answers"])
    return {name: [next(found) for _ in asks] for name, asks in asked.items()}


def texts() -> list[str]:
    return [text for pair in TEXTS.values() for text in pair]


def pairs(titles: dict[str, str]) -> list[tuple[str, str]]:
    return [(QUERY, title) for title in [*[*titles.values()][:30], *ODD.values()]]


def ranker_scores(model: Model, pairs: list[tuple[str, str]]) -> np.ndarray:
    ranker = Ranker(EXPORTED, model)
    return np.array(
        [
            ranker.score_unbatched(ranker.encode_query(query), ranker.encode_documents([title]))[0]
            for query, title in pairs
        ]
    )


def check_scores(vespas: list[float] | np.ndarray, model: Model, pairs: list[tuple[str, str]]) -> None:
    """For int8, another release of ONNX Runtime rounds a few activations to the other side."""
    ours = ranker_scores(model, pairs)
    if model == "fp32":
        np.testing.assert_allclose(vespas, ours, atol=1e-5)
    else:
        assert np.abs(vespas - ours).mean() < ours.std() / 20
        assert kendalltau(vespas, ours).statistic > 0.95


def padded(tokens: np.ndarray, size: int) -> list[int]:
    return tokens.tolist() + [0] * (size - len(tokens))


def test_package_deploys_without_a_word(newest: dict[str, Any]) -> None:
    deployed = newest["deploy"]
    assert deployed["version"] == harness.NEWEST
    assert deployed["messages"] == []
    assert {"ranker", f"parts_{VERSION}", f"bm25_{VERSION}", NEW} < set(deployed["profiles"])
    assert deployed["attributes"]["doc_token_ids"] == "tensor<float>(d0[95])"
    assert sorted(deployed["fed"]) == ["document_id", "title"]
    assert deployed["indexed by"] == "default/chain.indexing"  # the container that has the tokenizer
    assert not deployed["model was probed"]  # a C++ program fills these; sizes at its border are fixed


def test_rank_profile_sends_the_tokens_and_says_why_a_hit_was_found(newest: dict[str, Any]) -> None:
    properties, model = newest["deploy"]["profiles"][NEW], f"cross_encoder_{VERSION}"
    assert properties["vespa.rank.firstphase"] == ["rankingExpression(bm25_score)"]
    assert properties["rankingExpression(bm25_score).rankingScript"] == ["bm25(title)"]
    assert properties["vespa.rank.globalphase"] == ["rankingExpression(cross_encoder_score)"]
    assert properties["rankingExpression(cross_encoder_score).rankingScript"] == [f"reduce(onnx({model}).score, sum)"]
    assert properties["vespa.globalphase.rerankcount"] == [str(PARAMS.order.depth)]
    assert properties["vespa.match.feature"] == ["attribute(doc_token_ids)", "rankingExpression(bm25_score)"]
    assert properties["vespa.hidden.matchfeature"] == ["attribute(doc_token_ids)"]
    assert properties["vespa.type.query.query_token_ids"] == ["tensor<float>(d0[30])"]
    assert newest["deploy"]["models"][model] == {
        "file": f"files/{model}.onnx",
        "threads": -1,  # Vespa's default is a quarter of the cores
        "input query_token_ids": "query(query_token_ids)",
        "input doc_token_ids": "attribute(doc_token_ids)",
        "output score": "score",
    }


def test_versions_are_served_side_by_side(newest: dict[str, Any], titles: dict[str, str]) -> None:
    assert newest["deploy both"]["messages"] == []
    assert set(newest["deploy both"]["models"]) == {"cross_encoder_0_0_9", f"cross_encoder_{VERSION}"}
    check_scores(newest[OLD]["scores"], "fp32", pairs(titles))
    check_scores(newest[NEW]["scores"], MODEL, pairs(titles))


def test_tokens_are_the_contracts(newest: dict[str, Any]) -> None:
    ranker = Ranker(EXPORTED)
    assert newest["tokens"]["queries"] == [padded(ranker.encode_query(text), 30) for text in texts()]
    assert newest["tokens"]["documents"] == [padded(tokens, 95) for tokens in ranker.encode_documents(texts())]


def golden_scores() -> tuple[list[float], float]:
    golden = json.loads((EXPORTED / "golden.json").read_text())
    return [vector["logits"][1] - vector["logits"][0] for vector in golden["vectors"]], golden["logits_within"]


def test_exact_model_gives_the_golden_scores(newest: dict[str, Any]) -> None:
    expected, within = golden_scores()
    np.testing.assert_allclose(newest["golden"]["scores"], expected, atol=2 * within)


def test_fed_titles_have_the_tokens_that_ranker_gives_them(newest: dict[str, Any], titles: dict[str, str]) -> None:
    """The tokens are those of the unfed title; Vespa makes no tensor of an empty one, so the attribute has zeros."""
    encoded = Ranker(EXPORTED).encode_documents(list(titles.values()))
    documents = newest["index"]["documents"]
    assert [document["document_id"] for document in documents] == list(titles)
    assert [document["id"] for document in documents] == [f"id:doc:doc::{name}" for name in titles]
    for document, tokens in zip(documents, encoded, strict=True):
        assert document.get("doc_token_ids", [0] * 95) == padded(tokens, 95), document
    without = [document["document_id"] for document in documents if "doc_token_ids" not in document]
    assert without == ["nothing but a control character", "blank", "empty", "no width"]


def test_an_update_of_a_title_makes_its_tokens_anew(newest: dict[str, Any]) -> None:
    assert {"doc_token_ids", "title"} <= set(newest["index"]["update"]["fields"])
    (tokens,) = Ranker(EXPORTED).encode_documents(["Zika virus in urine"])
    assert newest["index"]["update"]["doc_token_ids"] == padded(tokens, 95)


def test_titles_and_queries_are_of_one_language(newest: dict[str, Any]) -> None:
    (terms,) = [document["terms"] for document in newest["index"]["documents"] if document["title"] == ZIKA]
    assert {"saliva", "urin", "zika", "colombia"} <= set(terms)


def test_vespa_and_the_feed_agree_on_text_characters(newest: dict[str, Any]) -> None:
    """For all code points: the feed drops those Vespa refuses; the query command requires one that Vespa searches."""

    def code_points(name: str) -> set[int]:
        return {code for first, last in newest["characters"][name] for code in range(first, last + 1)}

    assert code_points("not text") == set(map(ord, NOT_TEXT))
    searched = {code for code in range(0x110000) if unicodedata.category(chr(code)).startswith(SEARCHED)}
    assert code_points("searched") == searched - code_points("unassigned")  # for Java, whose Unicode is older


def test_a_hit_costs_one_run_and_its_relevance_is_its_score(newest: dict[str, Any], titles: dict[str, str]) -> None:
    (found,) = newest["rerank"]["ships"]
    count = PARAMS.order.depth
    assert (found["runs"], found["asked for"]) == (count, count)
    first = list(titles)[:count]
    assert sorted(found["order"][:count]) == sorted(first)
    by_id = dict(zip(found["order"], found["relevance"], strict=True))
    check_scores([by_id[name] for name in first], MODEL, [(QUERY, titles[name]) for name in first])
    assert found["relevance"][:count] == sorted(found["relevance"][:count], reverse=True)
    assert max(found["relevance"][count:]) <= min(found["relevance"][:count])  # hits that were not reranked stay below
    assert all(re.fullmatch(r'\{"bm25_score":[\d.]+\}', shown) for shown in found["shown"])  # tokens are hidden


def test_container_answers_a_query_in_time_with_fields(
    answers: dict[str, list[dict[str, Any]]], titles: dict[str, str]
) -> None:
    for answer in answers["query"]:
        assert (answer["status"], answer["profile"], answer["hits"]) == (200, NEW, PARAMS.order.depth)
        assert "errors" not in answer["root"]
        assert answer["ms"] < PARAMS.vespa.timeout_ms
        hits = answer["root"]["children"]
        assert len(hits) == 10
        for hit in hits:
            assert hit["fields"]["title"] == titles[hit["fields"]["document_id"]]
            assert list(hit["fields"]["matchfeatures"]) == ["bm25_score"]


def test_container_gives_as_many_hits_as_are_asked_for(answers: dict[str, list[dict[str, Any]]]) -> None:
    """This holds beyond the reranked hits, up to the number at which the command refuses."""
    (answer,), (refused,) = answers["more hits"], answers["too many"]
    assert (answer["hits"], len(answer["root"]["children"])) == (120, 120)
    assert "target_num_hits: 120" in answer["tree"]
    assert refused["status"] == 400
    assert refused["root"]["errors"][0]["message"].startswith("401 hits requested, configured limit: 400")


@pytest.mark.parametrize("text", GRAMMAR)
def test_words_are_searched_for_as_they_are(answers: dict[str, list[dict[str, Any]]], text: str) -> None:
    answer = answers["grammar"][list(GRAMMAR).index(text)]
    terms = [
        f"{{ integer_term {{ ranked_texts: number: {word} }} }}"
        if isinstance(word, int)
        else f'{{ word_term {{ ranked_texts: "{word}" }} }}'
        for word in GRAMMAR[text]
    ]
    assert answer["tree"] == f"weak_and {{ target_num_hits: {PARAMS.order.depth} {' '.join(terms)} }}"


def test_vespa_refuses_queries_that_the_command_refuses(answers: dict[str, list[dict[str, Any]]]) -> None:
    assert [answer["status"] for answer in answers["nothing"]] == [400] * len(NOTHING)


@pytest.mark.parametrize(("profile", "model", "within"), [(OLD, "fp32", 1e-6), (NEW, MODEL, 0.02)])
def test_samples_queries_have_the_pipelines_ndcg(
    answers: dict[str, list[dict[str, Any]]], held_out: pd.DataFrame, profile: str, model: Model, within: float
) -> None:
    """Both rank the same hits, each query's judged documents: the whole container, and Ranker."""
    run = pd.concat([rows for _, rows in held_out.groupby("query_id")], ignore_index=True)
    assert all("errors" not in answer["root"] for answer in answers[profile]), answers[profile][0]["root"]
    relevance = {
        (query_id, hit["fields"]["document_id"]): hit["relevance"]
        for query_id, answer in zip(run["query_id"].unique(), answers[profile], strict=True)
        for hit in answer["root"]["children"]
    }
    vespas = np.array([relevance[pair] for pair in zip(run["query_id"], run["document_id"], strict=True)])
    asked = list(zip(run["query"], run["title"], strict=True))
    check_scores(vespas, model, asked)
    ours = ranker_scores(model, asked)
    means = [ranking_measures(run, scores)["nDCG@10"].mean() for scores in (vespas, ours)]
    assert means[0] == pytest.approx(means[1], abs=within)


@pytest.fixture(scope="module")
def oldest(folder: Path, exact: Path) -> dict[str, Any]:
    """The results of a Vespa of December 2024, the oldest that is supported."""
    request: Request = {
        "deploy": {"step": "deploy", "application": str(PACKAGE)},
        "tokens": {"step": "tokens", "application": str(PACKAGE), "texts": texts()},
        "golden": {"step": "scores", "application": str(exact), "profile": OLD, "pairs": list(TEXTS.values())},
        "ships": {"step": "scores", "application": str(PACKAGE), "profile": NEW, "pairs": list(TEXTS.values())},
    }
    (folder / "oldest").mkdir()
    return harness.run(request, folder / "oldest", harness.OLDEST)


def test_oldest_vespa_deploys_and_scores_the_package(oldest: dict[str, Any], newest: dict[str, Any]) -> None:
    deployed = oldest["deploy"]
    assert (deployed["version"], deployed["messages"]) == (harness.OLDEST, [])
    for name in ("profiles", "models", "attributes"):
        assert deployed[name] == newest["deploy"][name]
    assert oldest["tokens"] == newest["tokens"]
    expected, within = golden_scores()
    np.testing.assert_allclose(oldest["golden"]["scores"], expected, atol=2 * within)
    check_scores(oldest["ships"]["scores"], MODEL, list(TEXTS.values()))


def test_bench_runs_the_cross_encoder_once_a_hit(
    titles: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "HITS", 3)
    monkeypatch.setattr(stacks, "ROUNDS", 1)
    weights = {"cross_encoder": 1.0, "cosine": 1.0, "bm25": 1.0}
    stack, documents = Stack("hybrid", "fused", 3, weights, "en"), list(titles.values())[:6]
    found = stacks.measure(stack, EXPORTED, ROOT / paths.RETRIEVER, documents, (3,), tmp_path)
    runs = {(row["stack"], row["runs"]) for row in found["rows"]}
    assert runs == {
        ("hybrid", 0), ("bm25+cross_encoder", 3), ("dense+cross_encoder", 3), ("dense+fused", 3),
        ("hybrid+cross_encoder", 6), ("hybrid+fused", 6),
    }  # fmt: skip
    assert len(found["rows"]) == 6 * 2 * 2  # by precision, and by length of the texts
    for model in ("fp32", "int8"):
        pairs, texts = found["models"][f"cross_encoder {model}"], found["models"][f"retriever {model}"]
        assert pairs["128"] > 2 * pairs["16"] > 0
        assert [*texts] == [str(length) for length in stacks.TEXTS]
        assert texts["128"] > texts["8"] > 0
        assert found["document"][model] > 0

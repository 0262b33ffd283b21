"""Each stack of the package in Vespa's own code: vectors, query trees, order, two versions, another application.

The stand-in for a content node gives BM25 as we compute it, and cosines by the deployed expressions.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engines import harness
from ranker.contract.folder import served_model
from ranker.metrics.ranking import ranking_measures
from ranker.project import paths
from ranker.project.sides import held_out_pairs
from ranker.serving.ranker import Ranker
from ranker.serving.retriever import Retriever
from ranker.stack.bm25 import Bm25
from ranker.stack.order import scaled
from ranker.stack.stack import Stack
from ranker.vespa.beside import write_beside
from ranker.vespa.feed import write_feed
from ranker.vespa.names import Names
from ranker.vespa.package import Exported, write_application
from ranker.vespa.query import QuerySettings, query_body
from tests.engines.conftest import require
from tests.factories import PARAMS, ROOT

pytestmark = pytest.mark.engines

QUERY = "masks in hospitals"
OWN = Path(__file__).parent / "own"
STACK = Stack("hybrid", "fused", 100, {"cross_encoder": 0.25, "cosine": 1.0, "bm25": 0.125}, "en")
HITS = 220  # more than any stack orders
SMALL = served_model(ROOT / paths.RETRIEVER, "int8")  # fp32 if no scheme passed its gate on this chip
# Texts that an embedder could read otherwise; the last are longer than the model takes.
ODD = [
    "",
    "   ",
    "zero\u0000width\u0007 and\u001fbell",
    "What [SEP] and [PAD] mean [UNK] [MASK]",
    "🦠 naïve Ångström — 冠状病毒",
    "a\tb\nc\u0085d\u2028e",
    "long texts are cut, not refused " * 60,
    "virus " * 126,
    "virus " * 127,
]
NEAR = 'nearest_neighbor { $v: query_tensor_name: "$v" target_num_hits: 100 allow_approximate: true '
NEAR += "distance_threshold: Infinity }"
WORDS = (
    'weak_and { target_num_hits: 100 { word_term { ranked_texts: "mask" } } { word_term { ranked_texts: "in" } } '
    '{ word_term { ranked_texts: "hospit" } } }'
)
TREES = {
    "bm25": WORDS,
    "dense": NEAR,
    "hybrid": f"or {{ {{ {NEAR} }} {{ {WORDS} }} }}",
    "bm25+cross_encoder": WORDS,
    "dense+cross_encoder": NEAR,
    "dense+fused": f"rank {{ {{ {NEAR} }} {{ {WORDS} }} }}",
    "hybrid+cross_encoder": f"or {{ {{ {NEAR} }} {{ {WORDS} }} }}",
    "hybrid+fused": f"or {{ {{ {NEAR} }} {{ {WORDS} }} }}",
}


def settings(version: str = "0.1.0", **names: Any) -> QuerySettings:
    return QuerySettings(Names(version, **names), STACK, 5000, has_retriever=True)


@pytest.fixture(scope="module", autouse=True)
def _exported() -> None:
    file = paths.RETRIEVER / "model.onnx"
    require((ROOT / file).is_file(), f"{file}: expected what make repro writes, found none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stacks")


def written(folder: Path, asked: QuerySettings, model: Any = "fp32") -> str:
    retriever = Exported(ROOT / paths.RETRIEVER, model)
    write_application(folder, "cord19-ranker", asked, Exported(ROOT / paths.RANKER, "fp32"), retriever)
    return str(folder)


@pytest.fixture(scope="module")
def titles() -> dict[str, str]:
    documents = pd.read_parquet(ROOT / paths.DOCUMENTS).head(HITS)
    return dict(zip(documents["document_id"], documents["title"], strict=True))


@pytest.fixture(scope="module")
def bm25(titles: dict[str, str]) -> dict[str, float]:
    scores = Bm25(None, [(title,) for title in titles.values()], "en").scores_of(QUERY)
    return dict(zip(titles, map(float, scores), strict=True))


@pytest.fixture(scope="module")
def held_out() -> pd.DataFrame:
    held_out = held_out_pairs(pd.read_parquet(ROOT / paths.SPLIT_PAIRS), PARAMS.split.held_out)[1]
    return held_out.merge(pd.read_parquet(ROOT / paths.QUERIES)).merge(pd.read_parquet(ROOT / paths.DOCUMENTS))


@pytest.fixture(scope="module")
def own(folder: Path) -> str:
    """Another application with the package's pieces, as docs/vespa.md says."""
    names = Names("0.1.0", "product", "sku", ("name",))
    package = Path(written(folder / "product", QuerySettings(names, STACK, 5000, has_retriever=True)))
    application = Path(shutil.copytree(OWN, folder / "own"))
    for part in ("files", "tokenizer", "schemas/product"):
        shutil.copytree(package / part, application / part, dirs_exist_ok=True)
    for file, mark, kind in (("services.xml", "<!-- pieces -->", "xml"), ("schemas/product.sd", "# pieces", "sd")):
        pieces = "".join(piece.read_text() for piece in sorted((package / "pieces").glob(f"*.{kind}")))
        (application / file).write_text((application / file).read_text().replace(mark, pieces))
    return str(application)


@pytest.fixture(scope="module")
def answers(
    folder: Path, own: str, titles: dict[str, str], bm25: dict[str, float], held_out: pd.DataFrame
) -> dict[str, Any]:
    """The results of the newest Vespa."""
    package, asked = written(folder / "package", settings()), settings()
    written(folder / "int8", settings("0.0.9"), "int8")
    write_beside(folder / "package", folder / "int8", folder / "both")
    write_feed(titles.items(), folder / "feed.jsonl")
    own_feed(folder / "own.jsonl", titles)
    texts = [*ODD, *titles.values()]
    both = {"application": str(folder / "both"), "step": "vectors", "texts": texts}
    mine = query_body(QUERY, replace(asked, names=Names("0.1.0", "product", "sku", ("name",)))) | {"ranking": "mine"}
    bodies = {stack.name: query_body(QUERY, asked, 10, stack.name) for stack in asked.stacks}
    request: dict[str, dict[str, Any]] = {
        "deploy": {"step": "deploy", "application": package},
        "deploy both": {"step": "deploy", "application": str(folder / "both")},
        "deploy own": {"step": "deploy", "application": own},
        "0.1.0": both | {"field": "embedding_0_1_0", "retriever": "retriever_0_1_0"},
        "0.0.9": both | {"field": "embedding_0_0_9", "retriever": "retriever_0_0_9"},
        "index": {
            "step": "index",
            "application": str(folder / "both"),
            "feed": str(folder / "feed.jsonl"),
            "field": "title",
            "update": "Zika virus in urine",
        },
        "rerank": rerank(package, folder / "feed.jsonl", bm25, {n: b for n, b in bodies.items() if n in ORDERED}),
        "rerank own": rerank(own, folder / "own.jsonl", bm25, {"mine": mine}),
        "ask own": {
            "step": "ask",
            "application": own,
            "feed": str(folder / "own.jsonl"),
            "asks": [{"body": mine | {"yql": f"{mine['yql']} and price < 10"}, "bm25": bm25}],
        },
        "int8": {
            "step": "vectors",
            "application": str(folder / "int8"),
            "field": "embedding_0_0_9",
            "retriever": "retriever_0_0_9",
            "texts": [*held_out["query"].unique(), *held_out["title"].unique()],
        },
        "ask": {
            "step": "ask",
            "application": package,
            "feed": str(folder / "feed.jsonl"),
            # A busy machine may take longer than the package's timeout, and late hits have no fields.
            "asks": [{"body": body | {"timeout": "60s"}, "bm25": bm25} for body in bodies.values()],
        },
    }
    (folder / "run").mkdir()
    found = harness.run(request, folder / "run")
    return found | {"ask": dict(zip(bodies, found["ask"]["answers"], strict=True))}


def popularity(titles: dict[str, str]) -> dict[str, float]:
    return {name: (7 * place % 11) / 4 for place, name in enumerate(titles)}


def own_feed(path: Path, titles: dict[str, str]) -> None:
    """Whole documents of the other application, with fields that the package knows nothing of."""
    puts = [
        {
            "put": f"id:product:product::{name}",
            "fields": {"sku": name, "name": titles[name], "price": place, "popularity": popular},
        }
        for place, (name, popular) in enumerate(popularity(titles).items())
    ]
    path.write_text("".join(f"{json.dumps(put)}\n" for put in puts))


def rerank(application: str, feed: Path, bm25: dict[str, float], bodies: dict[str, Any]) -> dict[str, Any]:
    return {
        "step": "rerank", "application": application, "feed": str(feed), "bm25": bm25, "bodies": bodies, "rounds": 1,
    }  # fmt: skip


# Stacks whose global phase orders, and the runs of the cross-encoder of each.
ORDERED = {
    "hybrid": 0,
    "bm25+cross_encoder": 100,
    "dense+cross_encoder": 100,
    "dense+fused": 100,
    "hybrid+cross_encoder": 200,
    "hybrid+fused": 200,
}


@pytest.fixture(scope="module")
def our_parts(titles: dict[str, str], bm25: dict[str, float]) -> dict[str, np.ndarray]:
    """The raw scores of all titles by this repository's own models."""
    retriever, ranker = Retriever(ROOT / paths.RETRIEVER), Ranker(ROOT / paths.RANKER)
    texts = list(titles.values())
    cosines = retriever.embed_documents(texts) @ retriever.embed_queries([QUERY])[0]
    pairs = ranker.score_unbatched(ranker.encode_query(QUERY), ranker.encode_documents(texts))
    return {"cross_encoder": pairs, "cosine": cosines, "bm25": np.array(list(bm25.values()))}


def profiles(deployed: dict[str, Any]) -> set[str]:
    return set(deployed["profiles"]) - {"default", "unranked"}


def test_package_has_a_profile_for_each_stack_and_deploys_without_a_word(answers: dict[str, Any]) -> None:
    deployed = answers["deploy"]
    assert deployed["messages"] == []
    stacks = {f"{name.replace('+', '_')}_0_1_0" for name in TREES}
    assert profiles(deployed) == {"ranker", "parts_0_1_0", *stacks}
    assert deployed["attributes"] == {
        "document_id": "STRING",
        "doc_token_ids": "tensor<float>(d0[95])",
        "embedding_0_1_0": "tensor<float>(x[384]) hnsw PRENORMALIZED_ANGULAR",
    }
    assert sorted(deployed["fed"]) == ["document_id", "title"]


def test_vectors_are_ours(answers: dict[str, Any], titles: dict[str, str]) -> None:
    """By Vespa's own embedder, in fp32."""
    expected = Retriever(ROOT / paths.RETRIEVER).embed_documents([*ODD, *titles.values()])
    for side in ("queries", "documents"):
        found = np.array(answers["0.1.0"][side])
        print(f"{side}: largest difference {np.abs(found - expected).max():.1e}")
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_eight_bit_vectors_are_near_ours(answers: dict[str, Any], titles: dict[str, str]) -> None:
    """Another release of ONNX Runtime rounds some activations to the other side, and a chip decides how many."""
    expected = Retriever(ROOT / paths.RETRIEVER, SMALL).embed_documents([*ODD, *titles.values()])
    for side in ("queries", "documents"):
        found = np.array(answers["0.0.9"][side])
        cosines = np.einsum("ij,ij->i", found, expected)
        print(f"{SMALL} {side}: smallest cosine {cosines.min():.4f}, mean {cosines.mean():.4f}")
        assert cosines.mean() > 0.98
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_eight_bit_vectors_order_the_samples_judged_documents_as_ours_do(
    answers: dict[str, Any], held_out: pd.DataFrame
) -> None:
    """In nDCG@10, to the loss that int8's gate allows."""
    asked, titles = (pd.factorize(held_out[column]) for column in ("query", "title"))
    retriever, means = Retriever(ROOT / paths.RETRIEVER, SMALL), []
    ours = retriever.embed_queries(list(asked[1])), retriever.embed_documents(list(titles[1]))
    vespas = (
        np.array(answers["int8"]["queries"])[: len(asked[1])],
        np.array(answers["int8"]["documents"])[len(asked[1]) :],
    )
    for queries, documents in (ours, vespas):
        cosines = np.einsum("ij,ij->i", queries[asked[0]], documents[titles[0]])
        means.append(ranking_measures(held_out, cosines)["nDCG@10"].mean())
    print(f"nDCG@10 of judged documents: {means[0]:.4f} by ours, {means[1]:.4f} by Vespa's")
    assert means[1] == pytest.approx(means[0], abs=0.05)


@pytest.mark.parametrize("stack", TREES)
def test_query_finds_by_the_stacks_lists(answers: dict[str, Any], stack: str) -> None:
    answer = answers["ask"][stack]
    assert answer["tree"] == TREES[stack].replace("$v", "embedding_0_1_0")
    assert answer["profile"] == f"{stack.replace('+', '_')}_0_1_0"
    assert answer["status"] == 200
    hits = answer["root"]["children"]
    assert len(hits) == 10
    assert {"document_id", "title", "matchfeatures"} == set(hits[0]["fields"])
    alone = {
        "bm25": "bm25_score",
        "bm25+cross_encoder": "bm25_score",
        "dense": "cosine",
        "dense+cross_encoder": "cosine",
    }
    assert set(hits[0]["fields"]["matchfeatures"]) == ({alone[stack]} if stack in alone else {"cosine", "bm25_score"})
    relevance = [hit["relevance"] for hit in hits]
    assert relevance == sorted(relevance, reverse=True)


@pytest.mark.parametrize("stack", ORDERED)
def test_stacks_order_is_ours_at_one_run_a_hit(
    answers: dict[str, Any], titles: dict[str, str], our_parts: dict[str, np.ndarray], stack: str
) -> None:
    """Over the same hits: the first of the feed, as many as the stack orders."""
    (found,) = answers["rerank"][stack]
    asked = {each.name: each for each in settings().stacks}[stack]
    count = asked.depth * len(asked.found_by)
    assert (found["asked for"], found["runs"]) == (count, ORDERED[stack])
    parts = {name: scores[:count] for name, scores in our_parts.items()}
    ours = asked.scores(parts, parts["cosine"])
    vespas = dict(zip(found["order"], found["relevance"], strict=True))
    np.testing.assert_allclose([vespas[name] for name in list(titles)[:count]], ours, atol=2e-5)
    assert set(found["order"][:count]) == set(list(titles)[:count])


def test_fed_documents_and_updates_have_vectors_of_both_versions(
    answers: dict[str, Any], titles: dict[str, str]
) -> None:
    documents = answers["index"]["documents"]
    for field, version in (("embedding_0_1_0", "0.1.0"), ("embedding_0_0_9", "0.0.9")):
        np.testing.assert_array_equal([d[field] for d in documents], answers[version]["documents"][len(ODD) :])
    update = answers["index"]["update"]
    assert update["fields"] == ["doc_token_ids", "embedding_0_0_9", "embedding_0_1_0", "title"]
    (ours,) = Retriever(ROOT / paths.RETRIEVER).embed_documents(["Zika virus in urine"])
    np.testing.assert_allclose(update["embedding_0_1_0"], ours, atol=1e-5)


def test_two_versions_deploy_side_by_side(answers: dict[str, Any]) -> None:
    deployed, stacks = answers["deploy both"], [f"{name.replace('+', '_')}" for name in ("parts", *TREES)]
    assert deployed["messages"] == []
    assert profiles(deployed) == {"ranker"} | {f"{name}_{v}" for name in stacks for v in ("0_1_0", "0_0_9")}
    assert {"embedding_0_1_0", "embedding_0_0_9"} < set(deployed["attributes"])
    assert deployed["profiles"]["ranker"]["vespa.rank.firstphase"] == ["rankingExpression(firstphase)"]


def test_a_filter_holds_for_hits_of_words_and_of_vectors(answers: dict[str, Any]) -> None:
    (answer,) = answers["ask own"]["answers"]
    hybrid = TREES["hybrid+fused"].replace("$v", "embedding_0_1_0")
    cheap = "floating_point_range_term { price: lower_limit: -Infinity upper_limit: 10.0 lower_inclusive: true }"
    assert answer["tree"] == f"and {{ {{ {hybrid} }} {{ {cheap} }} }}"
    assert answer["status"] == 200


def test_pieces_serve_in_another_application(
    answers: dict[str, Any], titles: dict[str, str], our_parts: dict[str, np.ndarray]
) -> None:
    """The own score of its first phase is one more part of the sum."""
    deployed = answers["deploy own"]
    assert deployed["messages"] == []
    assert sorted(deployed["fed"]) == ["brand", "name", "popularity", "price", "sku"]
    (found,) = answers["rerank own"]["mine"]
    assert found["runs"] == 200
    parts = {name: scores[:200] for name, scores in our_parts.items()}
    ours = STACK.scores(parts, parts["cosine"]) + 0.5 * scaled(5.0 * np.array([*popularity(titles).values()])[:200])
    vespas = dict(zip(found["order"], found["relevance"], strict=True))
    np.testing.assert_allclose([vespas[name] for name in list(titles)[:200]], ours, atol=2e-5)


@pytest.fixture(scope="module")
def oldest(folder: Path, answers: dict[str, Any]) -> dict[str, Any]:
    request: dict[str, dict[str, Any]] = {
        "deploy": {"step": "deploy", "application": str(folder / "package")},
        "vectors": {
            "step": "vectors",
            "application": str(folder / "package"),
            "field": "embedding_0_1_0",
            "retriever": "retriever_0_1_0",
            "texts": ODD,
        },
    }
    (folder / "oldest").mkdir()
    return harness.run(request, folder / "oldest", harness.OLDEST)


def test_oldest_vespa_deploys_and_embeds(oldest: dict[str, Any], answers: dict[str, Any]) -> None:
    assert (oldest["deploy"]["version"], oldest["deploy"]["messages"]) == (harness.OLDEST, [])
    for name in ("profiles", "models", "attributes"):
        assert oldest["deploy"][name] == answers["deploy"][name]
    newest: Sequence[Any] = answers["0.1.0"]["documents"][: len(ODD)]
    np.testing.assert_allclose(oldest["vectors"]["documents"], newest, atol=1e-5)

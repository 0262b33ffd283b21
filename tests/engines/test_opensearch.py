"""A real OpenSearch serves models/opensearch by the commands of docs/opensearch.md.

Run `make test-engines` after `make repro`. The answers are compared with the same models' in Python, and its hybrid
with the documented normalisation of its own scores.
"""

import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest

from engines.harness import MissingError
from engines.opensearch.server import SECONDS, Server
from ranker.contract.folder import CONTRACT_FILE, served_model
from ranker.export.one_logit import one_logit
from ranker.metrics.ranking import hits_measures
from ranker.opensearch.bodies import file_of, served_stacks
from ranker.opensearch.package import write_ranker, write_requests
from ranker.project import paths
from ranker.project.sides import held_out_pairs
from ranker.service.answers import sigmoid
from ranker.serving.ranker import Ranker
from ranker.serving.retriever import Retriever
from ranker.stack.stack import Stack, read_models, read_stack
from tests.engines.conftest import require
from tests.factories import PARAMS, ROOT, Run
from tests.readme import command
from tests.service import running

pytestmark = pytest.mark.engines

QUERY = "masks in hospitals"
LONG = "Bats as natural reservoirs of coronaviruses " * 40
NEW = {"same a": "Masks in wards", "same b": "Masks in wards", "long": LONG}  # documents beside the sample's
NO_CONFIG = {"function_name": "TEXT_SIMILARITY", "model_format": "ONNX", "model_content_hash_value": "0" * 64}
NEAR = 1e-4
LINES = [
    command("python -m ranker bulk"),
    command("curl -sS -X PUT $SERVER/_cluster/settings"),
    command("bash models/opensearch/deploy.sh"),
    command("curl -sS -X PUT $SERVER/_ingest/pipeline/embed"),
    command("curl -sS -X PUT $SERVER/documents"),
    command("curl -sS -X PUT $SERVER/_search/pipeline/rerank"),
    command('curl -sS -X POST "$SERVER/documents/_bulk'),
    command("sed s/QUERY"),
]
CONNECT = command("bash models/opensearch/connect.sh")
REMOTE = command("curl -sS -X PUT $SERVER/_search/pipeline/remote")
HYBRID = command("curl -sS -X PUT $SERVER/_search/pipeline/hybrid")

Hits = list[tuple[str, float]]


class Cluster:
    """The server after the commands, with the bodies that they wrote."""

    def __init__(self, server: Server, run: Run) -> None:
        self.server, self.folder, self.seconds = server, server.folder, dict[str, float]()
        for path in (paths.OPENSEARCH, paths.RANKER / CONTRACT_FILE, paths.DOCUMENTS):
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (ROOT / path).is_dir() else shutil.copyfile)(ROOT / path, self.folder / path)
        register = json.loads((ROOT / paths.OPENSEARCH / "register_ranker.json").read_text())
        self.unset = server("POST", "/_plugins/_ml/models/_register", register | {"url": "file:///x.zip"})
        self.said = [self.timed(line.split(" ")[-1], run, line) for line in (*LINES, HYBRID)]

    def timed(self, name: str, run: Run, line: str) -> str:
        begin, environment = time.time(), {"SERVER": self.server.url, "PYTHONPATH": str(ROOT)}
        said = run(line, self.folder, **environment).stdout
        self.seconds[name] = round(time.time() - begin, 1)
        return said

    def body(self, stack: Stack | str, query: str = QUERY) -> dict[str, Any]:
        file = self.folder / "deployed" / (f"search_{stack}.json" if isinstance(stack, str) else file_of(stack))
        return json.loads(file.read_text().replace('"QUERY"', json.dumps(query)))

    def ask(self, body: dict[str, Any], pipeline: str) -> Hits:
        status, answer = self.server("POST", f"/documents/_search?search_pipeline={pipeline}", body)
        assert status == 200, answer
        return [(hit["_id"], hit["_score"]) for hit in answer["hits"]["hits"]]

    def search(self, stack: Stack | str, query: str = QUERY, **more: Any) -> Hits:
        body = self.body(stack, query) | more
        return self.ask(body, "rerank" if "ext" in body else "hybrid")


@pytest.fixture(scope="module")
def stack() -> Stack:
    return read_stack(ROOT / paths.STACK)


@pytest.fixture(scope="module")
def cluster(run: Run) -> Iterator[Cluster]:
    require((ROOT / paths.OPENSEARCH).is_dir(), f"{paths.OPENSEARCH}: expected what make repro writes, found none")
    begin = time.time()
    try:
        server = Server()
    except MissingError as missing:
        require(False, str(missing))
    try:
        laid_out = time.time()
        server.start()
        seconds = {"lay out": round(laid_out - begin, 1), "start": round(time.time() - laid_out, 1)}
        found = Cluster(server, run)
        print(json.dumps(seconds | found.seconds))
        yield found
        print(f"most memory: {server.stop() / 2**30:.1f} GiB")
    finally:
        server.close()


@pytest.fixture(scope="module")
def held_out() -> pd.DataFrame:
    held_out = held_out_pairs(pd.read_parquet(ROOT / paths.SPLIT_PAIRS), PARAMS.split.held_out)[1]
    return held_out.merge(pd.read_parquet(ROOT / paths.QUERIES))


@pytest.fixture(scope="module")
def titles() -> dict[str, str]:
    documents = pd.read_parquet(ROOT / paths.DOCUMENTS)
    return dict(zip(documents["document_id"], documents["title"], strict=True))


@pytest.fixture(scope="module")
def answers(cluster: Cluster, stack: Stack, held_out: pd.DataFrame) -> dict[tuple[str, str], Hits]:
    """Hits of each stack and held-out query, before a test adds documents; two searches at a time."""
    for step in ("_forcemerge?max_num_segments=1", "_refresh"):  # else a search may see other segments than the last
        assert cluster.server("POST", f"/documents/{step}")[0] == 200
    asked = [(served, query) for served in served_stacks(stack, True) for query in held_out["query"].unique()]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda of: cluster.search(*of), asked))
    return {(served.name, query): hits for (served, query), hits in zip(asked, found, strict=True)}


@pytest.fixture(scope="module")
def exact(cluster: Cluster, run: Run, stack: Stack, answers: object) -> str:
    """The search pipeline of the fp32 cross-encoder; `answers` come first, from the cluster as the commands left it."""
    folder = cluster.folder / "fp32"
    folder.mkdir()
    model = one_logit(onnx.load(ROOT / paths.RANKER / "model.onnx"))
    write_ranker(folder, ROOT / paths.RANKER, "exact", model.SerializeToString())
    write_requests(folder, stack, None)
    cluster.timed("fp32", run, f"bash fp32/deploy.sh $SERVER file://{folder} exact")
    pipeline = json.loads((cluster.folder / "exact/pipeline_rerank.json").read_text())
    assert cluster.server("PUT", "/_search/pipeline/exact", pipeline)[0] == 200
    lines = "".join(f"{json.dumps(line)}\n" for name in NEW for line in ({"index": {"_id": name}}, {"text": NEW[name]}))
    status, answer = cluster.server("POST", "/documents/_bulk?refresh=true", lines)
    assert (status, answer["errors"]) == (200, False)
    return "exact"


def test_eight_commands_lead_to_a_reranked_search(cluster: Cluster, titles: dict[str, str]) -> None:
    assert len(LINES) == 8
    assert cluster.said[0] == f"bulk: bulk.jsonl: {len(titles)} documents of title\n"
    assert json.loads(cluster.said[6])["errors"] is False
    hits = json.loads(cluster.said[7])["hits"]["hits"]
    assert len(hits) > 100
    assert hits[0]["_source"] == {"text": titles[hits[0]["_id"]]}
    for place in (1, 3, 4, 5, 8):
        assert json.loads(cluster.said[place])["acknowledged"] is True


def test_stacks_find_what_ours_do(answers: dict[tuple[str, str], Hits], stack: Stack, held_out: pd.DataFrame) -> None:
    """BM25's words and formula are ours but for the lengths that Lucene rounds; the hybrid's sum is another."""
    ids = dict(zip(held_out["query"], held_out["query_id"], strict=True))
    for served in served_stacks(stack, True):
        rows = [(ids[query], *hit) for query in ids for hit in answers[served.name, query]]
        hits = pd.DataFrame(rows, columns=["query_id", "document_id", "score"])
        found = hits_measures(held_out, hits, hits["score"].to_numpy(), 100)["nDCG@10"].mean()
        ours = json.loads((ROOT / paths.STACK_METRICS / f"{served.name}.json").read_text())["nDCG@10"]
        print(f"{served.name}: nDCG@10 {found:.3f} in OpenSearch, {ours:.3f} in the table")
        assert abs(found - ours) < 0.02


def test_dense_order_and_cosines_are_ours(
    answers: dict[tuple[str, str], Hits], stack: Stack, titles: dict[str, str], held_out: pd.DataFrame
) -> None:
    retriever = Retriever(ROOT / paths.RETRIEVER, read_models(ROOT / paths.STACK)["retriever"])
    vectors, names = retriever.embed_documents(list(titles.values())), np.array(list(titles))
    for query in held_out["query"].unique():
        hits = answers["dense", query]
        cosines = dict(zip(names, vectors @ retriever.embed_queries([query])[0], strict=True))
        assert [2 * score - 1 for _, score in hits] == pytest.approx([cosines[name] for name, _ in hits], abs=NEAR)
        best = sorted(cosines, key=cosines.__getitem__, reverse=True)[: stack.depth]
        assert len({name for name, _ in hits}.intersection(best)) >= 0.95 * stack.depth  # the index may miss some


def normalised(hits: Hits) -> dict[str, float]:
    """OpenSearch's min_max: equal scores give 1, and the lowest 0.001."""
    scores = [score for _, score in hits]
    low, high = min(scores, default=0), max(scores, default=0)
    return {name: (score - low) / (high - low) or 0.001 if high > low else 1.0 for name, score in hits}


def test_hybrid_is_the_weighted_mean_of_its_own_scores(
    answers: dict[tuple[str, str], Hits], stack: Stack, held_out: pd.DataFrame
) -> None:
    shares = stack.weights["bm25"], stack.weights["cosine"]
    for query in held_out["query"].unique():
        words, near = normalised(answers["bm25", query]), normalised(answers["dense", query])
        expected = {
            name: (shares[0] * words.get(name, 0) + shares[1] * near.get(name, 0)) / sum(shares)
            for name in words.keys() | near.keys()
        }
        hits = answers["hybrid", query]
        for asked in ("hybrid", "hybrid+cross_encoder"):  # all of them are reranked; equal words may end a list
            assert len(dict(answers[asked, query]).keys() ^ expected.keys()) <= 2
        known = [(score, expected[name]) for name, score in hits if name in expected]
        assert [score for score, _ in known] == pytest.approx([mean for _, mean in known], abs=2e-4)


def test_int8_scores_are_near_ours(answers: dict[tuple[str, str], Hits], titles: dict[str, str]) -> None:
    """Its ONNX Runtime is older, and int8 amplifies a last bit."""
    model = read_models(ROOT / paths.STACK)["cross_encoder"]
    ranker, theirs, ours = Ranker(ROOT / paths.RANKER, model), list[float](), list[float]()
    for query in [query for name, query in answers if name == "bm25+cross_encoder"][:4]:
        hits = answers["bm25+cross_encoder", query]
        theirs += [score for _, score in hits]
        documents = ranker.encode_documents([titles[name] for name, _ in hits])
        ours += ranker.score_unbatched(ranker.encode_query(query), documents).tolist()
    assert np.abs(np.subtract(theirs, ours)).mean() < np.std(ours) / 20


@pytest.mark.parametrize(("name", "size"), [("bm25_cross_encoder", 100), ("hybrid_cross_encoder", 30)])
def test_reranked_order_and_scores_are_rankers(
    cluster: Cluster, exact: str, titles: dict[str, str], name: str, size: int
) -> None:
    ranker = Ranker(ROOT / paths.RANKER)
    hits = [hit for hit in cluster.ask(cluster.body(name) | {"size": size}, exact) if hit[0] != "long"]
    texts = titles | NEW
    ours = ranker.score(ranker.encode_query(QUERY), ranker.encode_documents([texts[found] for found, _ in hits]))
    assert [score for _, score in hits] == pytest.approx(ours.tolist(), abs=NEAR)
    assert np.all(np.diff(ours) <= NEAR)
    scores = dict(hits)
    assert scores["same a"] == scores["same b"]  # ties


def test_remote_scores_and_order_are_rankers(cluster: Cluster, run: Run, titles: dict[str, str]) -> None:
    """Through `python -m ranker serve`, whose ONNX Runtime is ours: int8 scores are equal, too."""
    asked = command("python -m ranker serve --port").split()
    assert asked[4:] == ["--port", "8001"]
    with running(ROOT) as door:
        environment = {"SERVER": cluster.server.url}
        run(CONNECT.replace("http://127.0.0.1:8001", door.url), cluster.folder, **environment)
        assert json.loads(run(REMOTE, cluster.folder, **environment).stdout)["acknowledged"] is True
        model = read_models(ROOT / paths.STACK)["cross_encoder"]
        ranker = Ranker(ROOT / paths.RANKER, served_model(ROOT / paths.RANKER, model), threads=1)
        for query in (QUERY, 'quotes " and \\ and\na new line', '"masks in wards"', "[1]", "true", "12"):
            hits = cluster.ask(cluster.body("dense_cross_encoder", query) | {"size": 30}, "remote")
            documents = ranker.encode_documents([(titles | NEW)[name] for name, _ in hits])
            ours = ranker.score_unbatched(ranker.encode_query(query), documents)
            found = [score for _, score in hits]
            assert found == sorted(found, reverse=True)
            assert found == pytest.approx(sigmoid(ours).tolist(), abs=1e-6)
    status, answer = cluster.server(
        "POST", "/documents/_search?search_pipeline=remote", cluster.body("dense_cross_encoder")
    )
    assert (status, "Error communicating with remote model" in answer["error"]["reason"]) == (500, True)


def test_a_text_that_is_too_long_is_cut_at_the_contracts_total(cluster: Cluster, exact: str) -> None:
    """A pair is cut at 128 tokens, so a document keeps what its query leaves; the contract leaves it 95."""
    ranker, body = Ranker(ROOT / paths.RANKER), cluster.body("dense_cross_encoder")
    body |= {"query": {"ids": {"values": ["long"]}}}
    ((_, score),) = cluster.ask(body, exact)
    query, layout = ranker.encode_query(QUERY), ranker.layout
    contract = ranker.score(query, ranker.encode_documents([LONG]))[0]
    ranker.layout = replace(layout, query_input_size=len(query) + 2, doc_input_size=layout.max_length - len(query) - 2)
    assert score == pytest.approx(ranker.score(query, ranker.encode_documents([LONG]))[0], abs=NEAR)
    assert abs(score - contract) > NEAR
    retriever = Retriever(ROOT / paths.RETRIEVER, read_models(ROOT / paths.STACK)["retriever"])
    found = cluster.server("GET", "/documents/_doc/long")[1]["_source"]["embedding"]
    assert found == pytest.approx(retriever.embed_documents([LONG])[0].tolist(), abs=NEAR)


def test_a_document_without_text_is_stored_and_found_by_nothing(cluster: Cluster, exact: str) -> None:
    ask, ranker = cluster.server, Ranker(ROOT / paths.RANKER)
    assert ask("PUT", "/documents/_doc/none?refresh=true", {})[0] == 201
    assert "none" not in dict(cluster.search("hybrid", size=1000))
    body = cluster.body("bm25_cross_encoder") | {"query": {"ids": {"values": ["none"]}}}
    ((_, score),) = cluster.ask(body, exact)  # as an empty text
    assert score == pytest.approx(ranker.score(ranker.encode_query(QUERY), ranker.encode_documents([""]))[0], abs=NEAR)
    status, answer = ask("PUT", "/documents/_doc/empty", {"text": " "})
    assert (status, "has empty string value" in answer["error"]["reason"]) == (400, True)


def test_traps_of_the_table(cluster: Cluster, exact: str) -> None:
    ask, search = cluster.server, "/documents/_search?search_pipeline=exact"
    assert cluster.unset[0] == 400
    assert "allow_registering_model_via_url" in cluster.unset[1]["error"]["reason"]
    status, answer = ask("POST", "/_plugins/_ml/models/_register", {"name": "x", "url": "file:///x", **NO_CONFIG})
    assert (status, answer["error"]["reason"]) == (400, "model config is null")
    body = cluster.body("dense_cross_encoder") | {"size": 10}
    status, answer = ask("POST", search, {name: part for name, part in body.items() if name != "ext"})
    assert (status, answer["error"]["type"]) == (500, "null_pointer_exception")
    assert len({score for _, score in cluster.ask(body | {"_source": False}, exact)}) == 1
    as_found = [name for name, _ in cluster.search("dense", size=10)]
    assert dict(cluster.ask(body, exact)).keys() == set(as_found)
    page = cluster.ask(body | {"from": 5, "size": 5}, exact)  # a page is reranked by itself
    assert dict(page).keys() == set(as_found[5:])
    status, answer = ask("POST", "/documents/_search", cluster.body("hybrid"))
    assert (status, answer["hits"]["hits"][0]["_score"] < -1e9) == (200, True)
    assert ask("POST", search, cluster.body("dense_cross_encoder", ""))[0] == 400
    assert ask("PUT", f"/documents/_doc/{'x' * 512}", {})[0] == 201
    assert ask("PUT", f"/documents/_doc/{'x' * 513}", {})[0] == 400


def test_a_restart_deploys_again(cluster: Cluster, exact: str) -> None:
    """Until the models are there, a search answers 400, so a client polls."""
    body = cluster.body("bm25_cross_encoder") | {"size": 10}
    before, statuses = cluster.ask(body, exact), list[int]()
    cluster.server.stop()
    cluster.server.start()
    begin = time.time()
    while time.time() < begin + SECONDS and statuses[-1:] != [200]:
        statuses.append(cluster.server("POST", "/documents/_search?search_pipeline=exact", body)[0])
        time.sleep(0.5)
    print(f"restart: {time.time() - begin:.0f} s of {sorted(set(statuses))}")
    assert set(statuses) <= {400, 200}
    assert cluster.ask(body, exact) == before

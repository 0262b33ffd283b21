"""The HTTP doors: the process that `python -m ranker serve` starts gives what Search, Ranker and Retriever give."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
import requests
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ranker.search.search import Search
from ranker.service import app
from ranker.service.answers import rounded
from ranker.serving.ranker import Ranker
from ranker.serving.retriever import Retriever
from ranker.stack.stack import Stack, write_stack
from tests.browser import Browser
from tests.factories import run_module
from tests.mistakes import SERVICE
from tests.service import Server, running

HOSTILE = "<script>document.title = 'owned'</script> masks & \"wards\""
TITLES = {
    "a": "Masks in wards",
    "b": "The origin of the virus in bats",
    "c": HOSTILE,
    "d": "Masks in wards",
    "e/é 1": "Schools and masks",
    "f": "",
}
QUERIES = ["masks", "origin of the virus", "masks in wards"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, ranker_folder: Path, word_vectors: Path) -> Path:
    """A folder with documents and `models`, whose stack sums all three parts."""
    folder = tmp_path_factory.mktemp("served")
    rows = [json.dumps({"document_id": name, "title": title}) for name, title in TITLES.items()]
    (folder / "titles.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (folder / "models").mkdir()
    (folder / "models/ranker").symlink_to(ranker_folder)
    (folder / "models/retriever").symlink_to(word_vectors)
    weights = {"cross_encoder": 0.5, "cosine": 1.0, "bm25": 0.25}
    write_stack(folder / "models/stack.json", Stack("hybrid", "fused", 10, weights, "en"))
    write_stack(folder / "bm25.json", Stack("bm25", "as_found", 10, weights, "en"))
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with running(folder, "--documents", "titles.jsonl", "--vectors", "kept") as server:
        yield server


@pytest.fixture(scope="module")
def search(folder: Path) -> Search:
    search = Search.load(folder / "models")
    search.index(list(TITLES), [[title] for title in TITLES.values()])
    return search


def post(server: Server, path: str, body: Any, status: int = 200) -> Any:
    answer = requests.post(f"{server.url}{path}", json=body, timeout=60)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_search_gives_what_search_finds(server: Server, search: Search) -> None:
    for query in QUERIES:
        answer = post(server, "/search", {"query": query, "top": 4})
        assert answer == requests.get(f"{server.url}/search", f"query={query}&top=4", timeout=60).json()
        hits = search.find(query, None)
        assert (answer["query"], answer["candidates"]) == (query, len(hits))
        by_found = sorted(hits, key=lambda hit: hit.as_found)
        for name, expected in {"hits": hits[:4], "as_found": by_found[:4]}.items():
            assert [row["rank"] for row in answer[name]] == [1, 2, 3, 4]
            for row, hit in zip(answer[name], expected, strict=True):
                assert (row["document_id"], row["as_found"]) == (hit.document_id, hit.as_found)
                assert row["fields"] == {"title": TITLES[hit.document_id]}
                assert row["score"] == pytest.approx(hit.score)
                assert (row["ranks"], row["raw"].keys(), row["parts"]) == (
                    hit.ranks,
                    hit.raw.keys(),
                    pytest.approx(hit.parts),
                )


def test_rerank_as_text_embeddings_inference(server: Server, folder: Path) -> None:
    ranker, texts = Ranker(folder / "models/ranker"), list(TITLES.values())
    scores = ranker.score(ranker.encode_query("masks"), ranker.encode_documents(texts))
    order = np.argsort(-scores, kind="stable").tolist()
    assert order.index(0) + 1 == order.index(3)  # equal texts, in the order of the request
    raw = post(server, "/rerank", {"query": "masks", "texts": texts, "raw_scores": True, "return_text": True})
    assert [(row["index"], row["text"]) for row in raw] == [(row, texts[row]) for row in order]
    assert [row["score"] for row in raw] == pytest.approx(scores[order].tolist(), abs=1e-6)
    plain = post(server, "/rerank", {"query": "masks", "texts": texts, "truncate": True})
    assert [set(row) for row in plain] == [{"index", "score"}] * 6
    by_torch = 1 / (1 + np.exp(-scores[order].astype(float)))
    assert [row["score"] for row in plain] == pytest.approx(by_torch.tolist(), abs=1e-6)


def test_rerank_as_cohere(server: Server) -> None:
    texts = list(TITLES.values())
    expected = [(row["index"], row["score"]) for row in post(server, "/rerank", {"query": "masks", "texts": texts})]
    documents = [texts[0], {"id": "b", "text": texts[1]}, *texts[2:]]
    for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
        body = {"model": "any", "query": "masks", "documents": documents, "top_n": 3, "return_documents": True}
        results = post(server, path, body)["results"]
        assert [(row["index"], row["relevance_score"]) for row in results] == expected[:3]
        assert [row["document"]["text"] for row in results] == [texts[row] for row, _ in expected[:3]]
        every = post(server, path, {"query": "masks", "documents": documents})["results"]
        assert [set(row) for row in every] == [{"index", "relevance_score"}] * 6
    cut = post(server, "/rerank", {"query": "masks", "texts": texts, "top_n": 2, "model": "any"})
    assert [(row["index"], row["score"]) for row in cut] == expected[:2]
    given = {"top_n": 2000, "max_tokens_per_doc": 4096, "max_chunks_per_doc": 10, "rank_fields": ["text"]}
    assert post(server, "/v1/rerank", {"query": "masks", "documents": documents, **given})["results"] == every
    unset = {"top_n": None, "return_documents": None, "rank_fields": None, "max_chunks_per_doc": None}
    assert post(server, "/v1/rerank", {"query": "masks", "documents": documents, **unset})["results"] == every


@pytest.mark.parametrize("score", [1 / 3, 1e-9 / 3, 0.99999 + 1e-6 / 3, 12345.678901234, -1 / 3e5])
def test_scores_are_short_enough_for_a_double_in_java(score: float) -> None:
    """json-smart reads a number of more than 18 characters as a BigDecimal, at which OpenSearch fails."""
    assert len(json.dumps(rounded(score))) <= 18
    assert np.float32(rounded(score)) == np.float32(score)


def test_embed_as_text_embeddings_inference(server: Server, folder: Path) -> None:
    retriever = Retriever(folder / "models/retriever")
    texts = list(TITLES.values())
    found = post(server, "/embed", {"inputs": texts, "normalize": True})
    np.testing.assert_allclose(found, retriever.embed_documents(texts), atol=1e-7)
    assert post(server, "/embed", {"inputs": texts[0]}) == found[:1]


def test_health_says_what_is_served(server: Server) -> None:
    found = requests.get(f"{server.url}/health", timeout=60).json()
    assert (found["status"], found["stack"], found["documents"], found["fields"]) == (
        "ok",
        "hybrid+fused",
        6,
        ["title"],
    )
    assert found["models"] == "retriever fp32, cross-encoder fp32"
    assert server.said == f"serve: {server.url} (hybrid+fused); Ctrl-C stops it\n"


@pytest.mark.parametrize(("path", "body", "line"), SERVICE)
def test_a_mistake_gets_one_line(server: Server, path: str, body: Any, line: str) -> None:
    data = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = requests.post(f"{server.url}{path}", data=data, timeout=60)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"].startswith(line), answer.json()["error"]
    assert answer.json()["error"].isprintable()
    assert len(answer.json()["error"]) <= 1000


def test_a_wrong_address_method_or_size_gets_one_line(server: Server) -> None:
    def said(method: str, path: str, data: bytes = b"") -> tuple[int, str]:
        answer = requests.request(method, f"{server.url}{path}", data=data, timeout=60)
        return answer.status_code, answer.json()["error"]

    assert said("GET", "/find") == (404, f"expected one of {app.DOORS}, found GET /find")
    assert said("GET", "/rerank") == (405, "expected another method, found GET /rerank")
    assert said("GET", "/search?query=masks&top=two")[0] == 422
    assert said("GET", "/search?query=masks&size=2") == (422, "size: no such field")
    assert said("GET", "/search?query=masks&query=bats") == (422, "query: expected once, found twice or more")
    assert said("GET", "/search?query=%E9cole") == (422, "address: expected UTF-8, found b'\\xe9'")
    assert said("POST", "/rerank/")[0] == 404
    assert said("POST", "/rerank", b"x" * (app.LARGEST + 1)) == (
        413,
        "body: expected at most 4194304 bytes, found more",
    )


def test_only_this_machines_names_are_answered(server: Server) -> None:
    """A page elsewhere whose name resolves to 127.0.0.1 could read the documents otherwise."""
    for host, status in {"localhost": 200, "127.0.0.1:1": 200, "shop.example": 400}.items():
        assert requests.get(f"{server.url}/health", headers={"Host": host}, timeout=60).status_code == status
    assert "access-control-allow-origin" not in requests.get(f"{server.url}/health", timeout=60).headers


def test_every_loopback_address_is_this_machine_alone(folder: Path) -> None:
    with running(folder, "--host", "127.0.0.2", "--stack", "bm25.json") as server:
        for host, status in {"127.0.0.2": 200, "localhost": 200, "shop.example": 400}.items():
            assert requests.get(f"{server.url}/health", headers={"Host": host}, timeout=60).status_code == status


def test_requests_whose_client_has_gone_cost_nothing(folder: Path) -> None:
    body = {"query": "masks", "texts": ["masks in wards " * 10] * 1000}
    sent = json.dumps(body).encode()
    head = f"POST /rerank HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(sent)}\r\n\r\n".encode()
    with running(folder, "--threads", "1") as server:
        host, port = server.url.removeprefix("http://").split(":")
        post(server, "/rerank", body)
        begin = time.monotonic()
        post(server, "/rerank", body)
        one = time.monotonic() - begin
        for _ in range(60):
            with socket.create_connection((host, int(port))) as gone:
                gone.sendall(head + sent)
        begin = time.monotonic()
        post(server, "/rerank", body)
        assert time.monotonic() - begin < 20 * one


def test_requests_that_wait_too_long_after_a_signal_are_refused() -> None:
    async def asked() -> None:
        await app.Threads(1, lambda: True).run(Request({"type": "http"}), Response)

    with pytest.raises(HTTPException) as error:
        anyio.run(asked)
    assert (error.value.status_code, error.value.detail) == (503, "this server stops")


def test_a_slow_body_is_given_up_and_a_broken_one_harms_nothing(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    head = b"POST /rerank HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    with socket.create_connection((host, int(port))) as broken:
        broken.sendall(head)
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(head)
        slow.settimeout(app.SECONDS + 30)
        assert slow.recv(4096).startswith(b"HTTP/1.1 408 ")
    assert requests.get(f"{server.url}/health", timeout=60).status_code == 200


def test_answers_at_once_are_those_of_one_at_a_time(server: Server) -> None:
    asked = [{"query": query, "top": top} for query in QUERIES for top in range(1, 7)] * 4
    alone = {json.dumps(body): post(server, "/search", body) for body in asked}
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda body: post(server, "/search", body), asked))
    assert [alone[json.dumps(body)] for body in asked] == found


def test_too_many_requests_are_refused_and_none_is_lost(folder: Path) -> None:
    body = {"query": "masks", "texts": ["masks in wards " * 10] * 400}
    with running(folder, "--threads", "1") as server:
        with ThreadPoolExecutor(app.WAITING + 20) as pool:
            asked = [pool.submit(requests.post, f"{server.url}/rerank", json=body, timeout=300) for _ in range(90)]
            deadline = time.monotonic() + 60
            while not any(request.done() for request in asked) and time.monotonic() < deadline:
                assert requests.get(f"{server.url}/health", timeout=10).status_code == 200  # while all threads work
            answers = [request.result() for request in asked]
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {200, 429}
        assert statuses.count(200) > app.WAITING
        refused = answers[statuses.index(429)]
        assert (refused.headers["Retry-After"], refused.json()["error"]) == (
            "1",
            "expected at most 64 requests that wait",
        )
        assert len({answer.text for answer in answers if answer.ok}) == 1


@pytest.mark.parametrize(("number", "status", "line"), [(signal.SIGTERM, 0, ""), (signal.SIGINT, 130, "interrupted")])
def test_a_signal_stops_it_after_the_requests_that_run(folder: Path, number: int, status: int, line: str) -> None:
    body = {"query": "masks", "texts": ["masks in wards " * 10] * 1000}
    with running(folder, "--documents", "titles.jsonl", "--vectors", "kept", "--threads", "1") as server:
        with ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(requests.post, f"{server.url}/rerank", json=body, timeout=60) for _ in range(6)]
            wait(asked, return_when=FIRST_COMPLETED)
            assert not all(request.done() for request in asked)
            assert server.stop(number) == (status, f"serve: {line}\n" if line else "")
            answers = [request.result() for request in asked]
        assert [(answer.status_code, len(answer.json())) for answer in answers] == [(200, 1000)] * 6
        with pytest.raises(requests.ConnectionError):
            requests.get(server.url, timeout=5)


def test_it_serves_what_there_is(folder: Path) -> None:
    with running(folder, "--stack", "bm25.json", "--retriever-dir", "none", "--model-dir", "none") as server:
        assert requests.get(f"{server.url}/health", timeout=60).json() == {
            "status": "ok", "stack": "bm25", "models": "", "documents": 0, "fields": [],
        }  # fmt: skip
        for path, body, missing in (
            ("/search", {"query": "masks"}, "documents, found none: start it with --documents FILE"),
            ("/rerank", {"query": "masks", "texts": ["a"]}, "a cross-encoder, found none in the models' folder"),
            ("/embed", {"inputs": "a"}, "a retriever, found none in the models' folder"),
        ):
            assert post(server, path, body, 422)["error"] == f"{path[1:]}: expected {missing}"
    with running(folder, "--stack", "bm25.json", "--documents", "titles.jsonl") as server:
        answer = post(server, "/search", {"query": "masks"})
        assert "as_found" not in answer
        assert {row["document_id"] for row in answer["hits"]} == {"a", "c", "d", "e/é 1"}


def test_serve_names_an_address_that_it_cannot_have(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = run_module("ranker.__main__", "serve", "--port", str(port))
        assert (
            found == f"serve: --host, --port: expected a free address, found 127.0.0.1:{port}: Address already in use"
        )
    assert str(run_module("ranker.__main__", "serve", "--port", "70000")).endswith("expected 0 to 65535, found 70000")
    for host in ("", "::1"):
        found = run_module("ranker.__main__", "serve", "--host", host)
        assert found == f"serve: --host: expected a name or an IPv4 address, found {host!r}"
    found = str(run_module("ranker.__main__", "serve", "--host", "no.such.host.invalid"))
    assert found.startswith("serve: --host, --port: expected a free address, found no.such.host.invalid:8000: ")


LOOK = """(() => ({
  title: document.title, heading: document.querySelector("h1").textContent,
  about: document.getElementById("about").textContent,
  said: document.getElementById("said").textContent, wrong: document.getElementById("said").className,
  address: location.search, width: document.documentElement.scrollWidth,
  columns: [...document.querySelectorAll("main section")].map(section => ({
    name: section.querySelector("h2").textContent, left: section.getBoundingClientRect().left,
    rows: [...section.querySelectorAll("li")].map(row => [...["rank", "move", "title", "id", "parts"]
      .map(part => row.querySelector("." + part)?.textContent),
      [...row.querySelectorAll(".bar i")].reduce((sum, piece) => sum + piece.getBoundingClientRect().width, 0)])})),
}))()"""
TYPE = """(() => {{ const query = document.getElementById("query"); query.value = {};
  document.getElementById("form").requestSubmit(); }})()"""


def shown(page: Browser) -> Any:
    """The page once its search is over."""
    deadline = time.monotonic() + 30
    while (found := page.run(LOOK))["said"] in ("", "Searching …") and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def test_page_shows_hits_as_found_and_reranked(server: Server, chromium: Browser) -> None:
    chromium.open(f"{server.url}/", 1200)
    assert chromium.run(LOOK)["columns"] == []
    chromium.run(TYPE.format(json.dumps("masks in wards")))
    found = shown(chromium)
    answer = post(server, "/search", {"query": "masks in wards"})
    assert (found["title"], found["wrong"]) == ("masks in wards - search", "")
    assert found["about"] == "hybrid+fused over 6 documents, by retriever fp32, cross-encoder fp32"
    assert found["address"] == "?query=masks+in+wards&top=10"
    as_found, reranked = found["columns"]
    assert (as_found["name"], reranked["name"]) == ("As found", "Reranked")
    assert as_found["left"] < reranked["left"]
    for column, hits in ((as_found, answer["as_found"]), (reranked, answer["hits"])):
        expected = [[str(hit["rank"]), hit["fields"]["title"] or "(no text)", hit["document_id"]] for hit in hits]
        assert [[row[0], row[2], row[3]] for row in column["rows"]] == expected
    widths = []
    for row, hit in zip(reranked["rows"], answer["hits"], strict=True):
        rank, before = hit["rank"], hit["as_found"]
        assert row[1] == ("=" if rank == before else f"{'▲' if before > rank else '▼'} from {before}")
        assert row[4].startswith(f"{hit['score']:.3f}cross-encoder {hit['raw']['cross_encoder']:.2f} → ")
        assert f"BM25 {hit['raw']['bm25']:.2f} → {hit['parts']['bm25']:.3f}" in row[4]
        widths.append(row[5])
    assert np.corrcoef(widths, [hit["score"] for hit in answer["hits"]])[0, 1] > 0.999
    assert chromium.said == []
    assert {url.split("?")[0] for url in chromium.asked if not url.startswith("data:")} == {
        f"{server.url}{path}" for path in ("/", "/health", "/search")
    }


def test_page_takes_a_query_from_its_address_and_says_what_is_wrong(server: Server, chromium: Browser) -> None:
    chromium.open(f"{server.url}/?query=masks&top=20", 390)
    found = shown(chromium)
    assert len(found["columns"]) == 2
    assert found["columns"][0]["left"] == found["columns"][1]["left"]  # below each other on a telephone
    assert found["width"] <= 390
    chromium.run(TYPE.format(json.dumps("\u200b?!")))
    found = shown(chromium)
    assert found["said"].startswith("query: expected a letter, a digit or a symbol to search for, found")
    assert (found["wrong"], found["columns"]) == ("wrong", [])


def test_page_without_documents_says_how_to_have_some(folder: Path, chromium: Browser) -> None:
    with running(folder) as server:
        chromium.open(f"{server.url}/", 800)
        assert shown(chromium)["said"] == "No documents to search: start the server with --documents FILE."

"""This project's jobs: the code that the stages call, and the model of stage export."""

import atexit
import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd

from bench.data import Pairs
from bench.runner import Calls
from ranker.contract.folder import DEFAULT_STACK, MODEL_FILES, Model
from ranker.contract.tokens import Ragged, load_layout, load_tokenizer, tokenize
from ranker.model.cross_encoder import new_classifier, new_segment_cosine, set_trainable
from ranker.model.dataset import EncodedPairs, encode_pairs
from ranker.model.features import features
from ranker.model.hardware import resolve_precision
from ranker.model.predict import score as predict
from ranker.project import tables
from ranker.project.params import load_params
from ranker.serving.ranker import Ranker
from ranker.training.head import Featured
from ranker.training.head import train_head as fit_head
from ranker.training.trainer import fine_tune

SEED = 13
CLIENTS = 8
Precision = Literal["bf16", "fp32"]


def encode_texts(pairs: Pairs, base_model: Path) -> EncodedPairs:
    """Tokenise each distinct text once, and look it up for its pairs."""
    tokenizer = load_tokenizer(base_model)
    sizes = load_params().encode
    sides = []
    for texts in (pairs.queries, pairs.documents):
        unique = list(dict.fromkeys(texts))
        sides.append(tables.pack(unique, tokenize(tokenizer, unique)))
    frame = pd.DataFrame({"query_id": pairs.queries, "document_id": pairs.documents, "relevant": pairs.labels})
    layout = load_layout(base_model, sizes.query_input_size, sizes.doc_input_size)
    return encode_pairs(frame, sides[0], sides[1], layout)


def train_head(pairs: Pairs, base_model: Path) -> Calls:
    """From encodings: features of every pair, and three epochs of the head over them."""
    params = load_params().train.model_copy(update={"trainable": "head", "epochs": 3})
    model = new_classifier(base_model, SEED)
    set_trainable(model, "head")
    encoded = encode_texts(pairs, base_model)

    def run() -> None:
        pooled = features(model, encoded, resolve_precision("auto"))
        fit_head(model, Featured(pooled, encoded.targets, encoded.lengths), params)

    return [run]


def train(pairs: Pairs, base_model: Path, precision: Precision) -> Calls:
    """One epoch of all weights over `pairs`, in batches of 16."""
    changes = {"trainable": "all", "epochs": 1, "batch_size": 16, "precision": precision}
    params = load_params().train.model_copy(update=changes)
    return [partial(fine_tune, new_segment_cosine(base_model), encode_texts(pairs, base_model), params)]


def score(pairs: Pairs, base_model: Path, precision: Precision) -> Calls:
    """Scores of every pair, from texts, in PyTorch."""
    model = new_segment_cosine(base_model)
    predict(model, encode_texts(pairs.some(64), base_model), precision=precision)
    return [lambda: predict(model, encode_texts(pairs, base_model), precision=precision)]


def score_onnx(pairs: Pairs, folder: Path, model: Model) -> Calls:
    """Scores of every pair, from texts, by ONNX Runtime; each text is tokenised once."""
    ranker = Ranker(folder, model)
    ranker.score(ranker.encode_query(pairs.queries[0]), ranker.encode_documents(pairs.documents[:64]))

    def run() -> None:
        queries = {query: ranker.encode_query(query) for query in set(pairs.queries)}
        titles = list(set(pairs.documents))
        documents = dict(zip(titles, ranker.encode_documents(titles), strict=True))
        ranker.score_pairs([queries[text] for text in pairs.queries], [documents[text] for text in pairs.documents])

    return [run]


def rerank(pairs: Pairs, folder: Path, model: Model, batched: bool) -> Calls:
    """A call for each query: tokenise it, and score 30 titles whose token ids are stored.

    Unbatched is Vespa's way: one pair at a time, without padding.
    """
    ranker = Ranker(folder, model)
    score = ranker.score if batched else ranker.score_unbatched

    def rerank_one(query: str, titles: Ragged) -> None:
        score(ranker.encode_query(query), titles)

    return [partial(rerank_one, query, ranker.encode_documents(titles)) for query, titles in pairs.rankings()]


def at_once(pairs: Pairs, folder: Path, model: Model) -> Calls:
    """CLIENTS threads share a `Ranker` and rank each query's 30 titles, from texts."""
    ranker = Ranker(folder, model, threads=1)

    def rank(query: str, titles: list[str]) -> None:
        documents = ranker.encode_documents(titles)  # as ranker.service.answers scores them
        (ranker.score if model == "fp32" else ranker.score_unbatched)(ranker.encode_query(query), documents)

    return [partial(_by_clients, rank, pairs)]


def over_http(pairs: Pairs, folder: Path, model: Model) -> Calls:
    """CLIENTS threads ask `python -m ranker serve` for the same."""
    stack = DEFAULT_STACK.absolute()
    line = [sys.executable, "-m", "ranker", "serve", "--port", "0", "--stack", str(stack), "--model-dir", str(folder)]
    server = subprocess.Popen([*line, "--model", model], stdout=subprocess.PIPE, text=True)
    atexit.register(server.kill)
    assert server.stdout is not None
    address = server.stdout.readline().split()[1].removeprefix("http://")
    own = threading.local()

    def rank(query: str, titles: list[str]) -> None:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection(address)
        own.connection.request("POST", "/rerank", json.dumps({"query": query, "texts": titles}))
        answer = own.connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()

    return [partial(_by_clients, rank, pairs)]


def _by_clients(rank: Callable[[str, list[str]], None], pairs: Pairs) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(rank, *zip(*pairs.rankings(), strict=True)))


def scheme(folder: Path) -> str:
    """The int8 scheme that passed the gate, such as "U8S8, 5 matrices left out"; empty if none passed."""
    if not (folder / MODEL_FILES["int8"]).is_file():
        return ""
    return Ranker(folder, "int8").session.get_modelmeta().custom_metadata_map["quantisation"]

"""Bodies of the requests to OpenSearch, by their files in models/opensearch.

An id and an address are known only in a cluster, and the query at search time, so the files have words in capitals in
their places; deploy.sh and connect.sh fill in all but the query.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ranker.contract.stacks import COMPARED
from ranker.contract.words import stemmer_of
from ranker.stack.stack import Stack

Body = dict[str, Any]

QUERY, URL = "QUERY", "URL"  # URL is that of the package's folder
RETRIEVER_ID, RANKER_ID = "RETRIEVER_ID", "RANKER_ID"
TEXT, VECTOR = "text", "embedding"  # fields: what the models read, and the retriever's vector of it
EMBED = "embed"  # the ingest pipeline


def served_stacks(stack: Stack, has_retriever: bool) -> list[Stack]:
    """The compared stacks that OpenSearch can serve: no fused one, because its rerank processor replaces the score."""
    lists = {"bm25", "dense"} if has_retriever else {"bm25"}
    stacks = [replace(stack, first_stage=first_stage, order=order) for first_stage, order in COMPARED]
    return [served for served in stacks if served.order != "fused" and lists.issuperset(served.found_by)]


def file_of(stack: Stack) -> str:
    """The file of a stack's search: `search_hybrid_cross_encoder.json`."""
    return f"search_{stack.name.replace('+', '_')}.json"


def settings() -> Body:
    """Settings of a cluster without nodes for machine learning alone, which may read models from a URL."""
    ml = {"only_run_on_ml_node": False, "allow_registering_model_via_url": True}
    return {"persistent": {f"plugins.ml_commons.{name}": value for name, value in ml.items()}}


def connector_settings() -> Body:
    """Settings of a cluster that may ask the server at URL, also at an address of a private network."""
    connector = {"connector.private_ip_enabled": True, "trusted_connector_endpoints_regex": [rf"^\Q{URL}\E/.*$"]}
    return {"persistent": {f"plugins.ml_commons.{name}": value for name, value in connector.items()}}


def connector() -> Body:
    """A connector to `/rerank` of `python -m ranker serve` at URL."""
    functions = {f"{side}_process_function": f"connector.{side}_process.cohere.rerank" for side in ("pre", "post")}
    asked: Body = {"action_type": "predict", "method": "POST", "url": f"{URL}/rerank"}
    asked |= {"headers": {"Content-Type": "application/json"}}
    asked |= {"request_body": '{"query": "${parameters.query}", "documents": ${parameters.documents}}'}
    about: Body = {"name": "rerank", "description": "python -m ranker serve", "version": 1, "protocol": "http"}
    return about | {
        "credential": {"key": "none"},
        "actions": [asked | functions],
    }  # OpenSearch refuses a connector without a credential


def register(name: str, function: str, file: str, digest: str, config: Mapping[str, Any]) -> Body:
    """Register a zip with this SHA-256."""
    return {
        "name": name,
        "function_name": function,
        "model_format": "ONNX",
        "model_content_hash_value": digest,
        "url": f"{URL}/{file}",
        "model_config": {"model_type": "bert", "framework_type": "huggingface_transformers", **config},
    }


def index(language: str, size: int | None) -> Body:
    """The index: text by words like the measured BM25's, and vectors of `size` numbers if there is a retriever."""
    stemmer = stemmer_of(language)
    filters: Body = {"stems": {"type": "snowball", "language": stemmer.capitalize()}} if stemmer else {}
    words = {"type": "custom", "tokenizer": "standard", "filter": ["lowercase", "asciifolding", *filters]}
    options: Body = {"analysis": {"filter": filters, "analyzer": {"words": words}}}
    fields: Body = {TEXT: {"type": "text", "analyzer": "words"}}
    if size:
        options["index"] = {"knn": True, "default_pipeline": EMBED}
        method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
        fields[VECTOR] = {"type": "knn_vector", "dimension": size, "method": method}
    return {"settings": options, "mappings": {"properties": fields}}


def ingest() -> Body:
    """The ingest pipeline: a document's vector from its text."""
    return {"processors": [{"text_embedding": {"model_id": RETRIEVER_ID, "field_map": {TEXT: VECTOR}}}]}


def pipelines(weights: Mapping[str, float]) -> dict[str, Body]:
    """Search pipelines: `hybrid` sums scores that are scaled over each list, `rerank` then asks the cross-encoder."""
    total = weights["bm25"] + weights["cosine"]
    shares = [weights[part] / total if total else 0.5 for part in ("bm25", "cosine")]  # they must add up to 1
    combination = {"technique": "arithmetic_mean", "parameters": {"weights": shares}}
    joined = {"normalization-processor": {"normalization": {"technique": "min_max"}, "combination": combination}}
    model = {"ml_opensearch": {"model_id": RANKER_ID}, "context": {"document_fields": [TEXT]}}
    hybrid: Body = {"phase_results_processors": [joined]}
    return {"hybrid": hybrid, "rerank": hybrid | {"response_processors": [{"rerank": model}]}}


def search(stack: Stack) -> Body:
    """The search of a stack: `size` is what the rerank processor reads, so a reranked one asks for all hits."""
    words: Body = {"match": {TEXT: {"query": QUERY}}}
    near: Body = {"neural": {VECTOR: {"query_text": QUERY, "model_id": RETRIEVER_ID, "k": stack.depth}}}
    both: Body = {"hybrid": {"queries": [words, near], "pagination_depth": stack.depth}}
    body: Body = {"size": stack.depth * len(stack.found_by), "_source": {"excludes": [VECTOR]}}
    body["query"] = {"bm25": words, "dense": near, "hybrid": both}[stack.first_stage]
    if stack.runs_cross_encoder:
        body["ext"] = {"rerank": {"query_context": {"query_text": QUERY}}}
    return body


def bodies(stack: Stack, size: int | None) -> Iterator[tuple[str, Body]]:
    """Files and bodies of all requests but those that register; `size` of the retriever's vectors, None without one."""
    yield "settings.json", settings()
    yield "connector_settings.json", connector_settings()
    yield "connector.json", connector()
    yield "index.json", index(stack.language, size)
    if size:
        yield "ingest.json", ingest()
    for name, body in pipelines(stack.weights).items():
        yield f"pipeline_{name}.json", body
    for served in served_stacks(stack, bool(size)):
        yield file_of(served), search(served)

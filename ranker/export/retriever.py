"""Export the retriever: what sentence-transformers loads, ONNX models, contract, golden vectors, manifest."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import normalize
from transformers import BertModel, PreTrainedModel

from ranker.common.files import read_json, sha256, write_json
from ranker.contract.batching import MULTIPLE, TOKENS
from ranker.contract.embedding import STATES, TextLayout, embedding_contract, lay_out_texts
from ranker.contract.folder import EMBEDDING_FILE, MANIFEST_FILE, MODEL_FILES, TOKENIZER_FILE, MadeOf
from ranker.contract.tokens import special_ids
from ranker.export.found import MEASURES, Pool, beside, losses, passes, read_pool
from ranker.export.golden import GOLDEN_FILE, golden_embeddings
from ranker.export.int8 import Trial, few, prepare, try_schemes, worst_matrices
from ranker.export.manifest import RETRIEVERS, SEARCHES, Measured, manifest, side_by_side
from ranker.export.onnx import Inputs, Rows, as_tensors, export_onnx, largest_differences
from ranker.model.cross_encoder import load_base_model
from ranker.model.segment_cosine import mean
from ranker.project import paths, tables
from ranker.project.params import Export, Params
from ranker.project.sides import held_out_pairs
from ranker.serving.retriever import Retriever

COMPARED = 128, 12  # texts in batches, and in each other shape; as many as of a ranker take 20 s more
WEIGHTS = ("config.json", "model.safetensors", TOKENIZER_FILE)  # as they are in the checkpoint


def export_retriever(params: Params, folder: Path, code: str) -> dict[str, object]:
    """Write everything into `folder`; returns the metrics of both models. `code` is the digest of this stage's code."""
    model = load_base_model(paths.RETRIEVER_CHECKPOINT).eval()
    model.pooler = None
    write_encoder(folder, params.retriever.max_length, model.config.hidden_size)
    layout, tokenizer = TextLayout(params.retriever.max_length, **special_ids(folder)), sha256(folder / TOKENIZER_FILE)
    contract = embedding_contract(layout, tokenizer, model.config.hidden_size, params.join.document_fields)
    write_json(folder / EMBEDDING_FILE, contract)
    measured = export_models(model, folder, params)
    write_json(folder / GOLDEN_FILE, golden_embeddings(Retriever(folder, trusted=True)))
    used = params.model_dump(include=RETRIEVERS, exclude=SEARCHES)
    write_json(folder / MANIFEST_FILE, manifest(folder, params, used, measured, made_of(params, code), "embedding"))
    bytes_a_document = {"bytes a document": contract["bytes_a_document"]}
    return {**measured.counts, **side_by_side(folder, measured, "embedding"), **bytes_a_document}


def write_encoder(folder: Path, max_length: int, size: int) -> None:
    """Write the files that sentence-transformers reads; its names of settings are those that every release knows."""
    checkpoint = paths.RETRIEVER_CHECKPOINT
    for name in WEIGHTS:
        shutil.copyfile(checkpoint / name, folder / name)
    tokenizer = read_json(checkpoint / "tokenizer_config.json") | {"model_max_length": max_length}
    write_json(folder / "tokenizer_config.json", tokenizer)
    kinds = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [
        {"idx": row, "name": str(row), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for row, (kind, path) in enumerate(kinds.items())
    ]
    write_json(folder / "modules.json", modules)
    pooling = {"word_embedding_dimension": size, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling/config.json", pooling | {"pooling_mode_cls_token": False})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    prompts = {"prompts": {"query": "", "document": ""}, "default_prompt_name": None}
    write_json(folder / "config_sentence_transformers.json", prompts | {"similarity_fn_name": "cosine"})


def export_models(model: BertModel, folder: Path, params: Params) -> Measured:
    """Write both models into `folder`, which has the tokenizer and the contract; measure what they find."""
    export_onnx(model, folder / MODEL_FILES["fp32"], params.export, STATES, "retriever")
    training, held_out = held_out_pairs(tables.read_table(paths.SPLIT_PAIRS), params.split.held_out)
    sides = {"training": training} | ({"held-out": held_out} if len(held_out) else {})
    pool, retriever = read_pool(sides, params.split.seed), Retriever(folder, trusted=True)
    differences = largest_differences(compared(model, retriever, pool), TOKENS, COMPARED)
    exact = pool.hits(retriever)
    tried, rounded = gate(model, pool, exact, folder, params.export)
    counts = {"queries": 0, "documents": len(pool.documents)}
    if not len(held_out):
        return Measured(counts, dict.fromkeys(MEASURES), differences, tried, {})
    found = pool.measures(exact, "held-out")
    int8 = beside(found, pool.measures(rounded, "held-out")) if tried[-1]["passed"] else {}
    return Measured(
        counts | {"queries": len(found)},
        {name: float(found[name].mean()) for name in MEASURES},
        differences,
        tried,
        int8,
    )


def gate(
    model: BertModel, pool: Pool, exact: pd.DataFrame, folder: Path, params: Export
) -> tuple[list[Trial], pd.DataFrame]:
    """`try_schemes` by what the pool's training-side queries find; returns its trials, and the last one's hits."""
    prepared, found = prepare(folder / MODEL_FILES["fp32"], model.config), [exact]

    def measure() -> tuple[bool, dict[str, object]]:
        found.append(pool.hits(Retriever(folder, "int8", trusted=True)))
        sides = pool.measures(exact, "training"), pool.measures(found[-1], "training")
        return passes(losses(*sides), found[-1]), beside(*sides)

    def worst() -> list[str]:
        layout, texts = Retriever(folder, trusted=True).layout, pool.documents
        inputs = lay_out_texts(layout, [texts[row] for row in few(len(texts))])
        return worst_matrices(model, prepared, inputs, embeddings)

    return try_schemes(prepared, folder, params, worst, measure), found[-1]


def compared(model: BertModel, retriever: Retriever, pool: Pool) -> Rows:
    """The pool's queries and documents, with their vectors in PyTorch and in ONNX Runtime."""
    texts = [*pool.queries, *pool.documents]

    def in_torch(inputs: Inputs) -> np.ndarray:
        return embeddings(model, as_tensors(inputs)).numpy()

    def laid_out(rows: Sequence[int] | np.ndarray, length: int | None) -> Inputs:
        return lay_out_texts(retriever.layout, [texts[row] for row in rows], length, multiple_of=MULTIPLE)

    lengths, longest = retriever.layout.lengths(texts), retriever.layout.max_length
    return Rows("embeddings", in_torch, retriever.vectors, laid_out, retriever.states, lengths, longest)


@torch.inference_mode()
def embeddings(model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Vectors of length 1, float32 [texts, size], of laid-out texts."""
    return normalize(mean(model(**inputs).last_hidden_state, inputs["attention_mask"]), dim=1)


def made_of(params: Params, code: str) -> MadeOf:
    """Digests of data, base model and code; stage retriever recorded its own."""
    trained = read_json(paths.RETRIEVER_CHECKPOINT / paths.TRAINING_FILE)
    return {
        "data": trained.pop("data"),
        "base_model": params.fetch.base_sha256,
        "code": {"retriever": trained.pop("code"), "export_retriever": code},
        "trained_on": trained,
    }

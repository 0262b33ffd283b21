"""The exported models as the hub lays out a cross-encoder and a sentence encoder."""

import shutil
from pathlib import Path
from typing import Any

import onnx
from safetensors.numpy import load_file, save
from tokenizers.processors import TemplateProcessing

from ranker.common.files import read_json, write_json
from ranker.contract.folder import CONTRACT_FILE, EMBEDDING_FILE, MANIFEST_FILE, MODEL_FILES, TOKENIZER_FILE, Model
from ranker.contract.layout import NOT_RELEVANT, RELEVANT, Layout, read_contract
from ranker.contract.tokens import load_tokenizer
from ranker.export.one_logit import one_logit

# sentence-transformers, FastEmbed and transformers.js (dtype fp32 and q8) look for these.
HUB_FILES: dict[Model, str] = {"fp32": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx"}
CONFIG, TOKENIZER_CONFIG, WEIGHTS = "config.json", "tokenizer_config.json", "model.safetensors"
HEAD = ("classifier.weight", "classifier.bias")  # of a plain BERT with a classification head
OWN = (EMBEDDING_FILE, MANIFEST_FILE, "golden.json", *MODEL_FILES.values())  # of a retriever, that only we read


def write_ranker(ranker: Path, checkpoint: Path, folder: Path) -> None:
    """Write a cross-encoder with one logit, the score: ONNX, and weights for PyTorch if a plain BERT can carry them."""
    (folder / "onnx").mkdir(parents=True)
    for model, name in MODEL_FILES.items():
        if (ranker / name).is_file():
            onnx.save_model(one_logit(onnx.load(ranker / name)), folder / HUB_FILES[model])
    layout = read_contract(ranker / CONTRACT_FILE)
    write_tokenizer(ranker, folder, layout)
    config = read_json(checkpoint / CONFIG)
    write_json(folder / CONFIG, ranker_config(config))
    if has_plain_head(config):
        write_weights(checkpoint / WEIGHTS, folder / WEIGHTS)


def has_plain_head(config: dict[str, Any]) -> bool:
    """True if a checkpoint is a plain BERT with a classification head; a head of segment means is our own."""
    return config["architectures"] == ["BertForSequenceClassification"]


def ranker_config(config: dict[str, Any]) -> dict[str, Any]:
    """config.json's content: a BERT with one label, whose score sentence-transformers passes on without a sigmoid."""
    bert = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}
    label = {"id2label": {"0": "score"}, "label2id": {"score": 0}, "num_labels": 1}
    activation = {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}
    return {**{name: value for name, value in config.items() if name != "problem_type"}, **bert, **label, **activation}


def write_tokenizer(ranker: Path, folder: Path, layout: Layout) -> None:
    """Write the tokenizer with the contract's layout of a pair; where it cuts a pair, it cuts the document."""
    tokenizer = load_tokenizer(ranker)
    cls, sep = (tokenizer.id_to_token(token) for token in (layout.cls_id, layout.sep_id))
    tokenizer.post_processor = TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(cls, layout.cls_id), (sep, layout.sep_id)],
    )
    tokenizer.enable_truncation(layout.max_length, strategy="only_second")
    (folder / TOKENIZER_FILE).write_text(tokenizer.to_str(pretty=True), encoding="utf-8", newline="\n")
    settings = read_json(ranker / TOKENIZER_CONFIG) | {"model_max_length": layout.max_length}
    write_json(folder / TOKENIZER_CONFIG, settings)


def write_weights(checkpoint: Path, path: Path) -> None:
    """Write a checkpoint's weights with one row in the head: that of relevance less the other one."""
    weights = load_file(checkpoint)
    for name in HEAD:
        rows = weights[name]
        weights[name] = rows[[RELEVANT]] - rows[[NOT_RELEVANT]]
    path.write_bytes(save(weights, {"format": "pt"}))


def write_retriever(retriever: Path, folder: Path) -> None:
    """Copy what sentence-transformers loads, and give the ONNX models the names that tools look for."""
    shutil.copytree(retriever, folder, ignore=shutil.ignore_patterns(*OWN))
    (folder / "onnx").mkdir()
    for model, name in MODEL_FILES.items():
        if (retriever / name).is_file():
            shutil.copyfile(retriever / name, folder / HUB_FILES[model])

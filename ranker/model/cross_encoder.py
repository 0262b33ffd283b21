"""Base model -> cross-encoder, and what of it is trainable."""

import shutil
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import transformers
from torch import nn
from transformers import BertForSequenceClassification, BertModel

from ranker.common.errors import InputError
from ranker.common.files import read_json, write_json
from ranker.model.segment_cosine import BertForBiEncoder, BertForSegmentCosine, SegmentCosineConfig
from ranker.project import paths
from ranker.project.params import Params

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")

# What it says at length of missing and unexpected weights is checked below; its bars are for milliseconds.
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

Bert = TypeVar("Bert", BertModel, BertForSequenceClassification, BertForSegmentCosine, BertForBiEncoder)
CrossEncoder = BertForSequenceClassification | BertForSegmentCosine
KINDS = {kind.__name__: kind for kind in (BertForSegmentCosine, BertForBiEncoder)}  # by config.json's architectures


def new_classifier(folder: Path, seed: int) -> BertForSequenceClassification:
    """A base model, in fp32, under a new two-logit classification head with weights drawn from `seed`.

    A head that the base model may have is left behind. InputError where weights are missing or do not fit the config:
    transformers would draw them at random.
    """
    base = load_base_model(folder)
    base.config.num_labels = 2
    base.config.problem_type = "single_label_classification"
    transformers.set_seed(seed)
    model = BertForSequenceClassification(base.config)
    model.bert = base
    return model


def new_segment_cosine(folder: Path, kind: type[BertForSegmentCosine] = BertForSegmentCosine) -> BertForSegmentCosine:
    """A base model, in fp32, that scores by its segments' cosine; InputError as in `new_classifier`.

    Token type 1, which a sentence encoder has never seen, gets type 0's embedding.
    """
    base = load_base_model(folder)
    with torch.random.fork_rng():  # initial weights are overwritten: no random numbers that others would miss
        model = kind(SegmentCosineConfig(**base.config.to_diff_dict() | {"attn_implementation": "eager"}))
    base.pooler = None
    model.bert = base
    with torch.no_grad():
        types = base.embeddings.token_type_embeddings.weight
        types[1] = types[0]
    return model


def new_bi_encoder(trainable: str) -> BertForBiEncoder:
    """The base model as fine-tuning a bi-encoder starts with it; it has no head that could be trained alone."""
    model = cast(BertForBiEncoder, new_segment_cosine(paths.BASE_MODEL, BertForBiEncoder))
    set_trainable(model, "layers" if trainable == "head" else trainable)
    return model


def save_encoder(model: BertForBiEncoder, folder: Path) -> None:
    """Write a bi-encoder as stage base_model writes a sentence encoder; a text's vector is the mean of its states."""
    encoder = load_base_model(paths.BASE_MODEL)  # has a pooler, which a whole BertModel needs and nobody reads
    encoder.load_state_dict(model.bert.state_dict(), strict=False)
    encoder.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copyfile(paths.BASE_MODEL / name, folder / name)
    settings = {"is_one": True, "pooling": "mean", "include_prompt": True, "query_prompt": "", "document_prompt": ""}
    write_json(folder / paths.SENTENCE_ENCODER_FILE, settings | {"max_length": None})


def load_base_model(folder: Path) -> BertModel:
    """A base model without a head, in fp32; InputError as in `new_classifier`."""
    return _load(BertModel, folder)


def load_checkpoint(folder: Path) -> CrossEncoder:
    """The cross-encoder that stage train wrote, in fp32 and evaluation mode."""
    (architecture,) = read_json(folder / "config.json")["architectures"]
    if architecture in KINDS:
        return _load(KINDS[architecture], folder).eval()
    return _load(BertForSequenceClassification, folder).eval()


def _load(kind: type[Bert], folder: Path) -> Bert:
    """Load from safetensors with eager attention, whose graph ONNX Runtime's optimiser knows."""
    try:
        loaded: Any = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation="eager",
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # transformers, safetensors and torch each raise their own
        raise InputError(f"{folder}: expected a BERT that transformers can load, found: {error}") from error
    model, report = loaded
    _check_report(folder, report)
    return cast(Bert, model)


def _check_report(folder: Path, report: dict[str, Any]) -> None:
    if missing := sorted(report["missing_keys"]):
        raise InputError(f"{folder}: expected weights for all of the model, found none for {_some(missing)}")
    layers = sorted(key for key in report["unexpected_keys"] if ".layer." in key)  # heads may be left behind
    if layers:
        raise InputError(f"{folder}: expected weights that config.json has a place for, found {_some(layers)}")


def _some(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def save_model(model: CrossEncoder, tokenizer: Path, folder: Path) -> None:
    """Write a cross-encoder and the tokenizer files of the folder `tokenizer`: a whole model."""
    model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer / name, folder / name)


def initial_model(params: Params) -> CrossEncoder:
    """The cross-encoder as fine-tuning starts with it, of which only `train.trainable` learns.

    `train.head: cosine` asks for a sentence encoder: another base model gets a classification head, whose weights are
    drawn from `train.seed`.
    """
    model: CrossEncoder
    if params.train.head == "cosine" and is_sentence_encoder():
        model = new_segment_cosine(paths.BASE_MODEL)
    else:
        model = new_classifier(paths.BASE_MODEL, params.train.seed)
    set_trainable(model, params.train.trainable)
    return model


def is_sentence_encoder() -> bool:
    """Whether the base model's own files say that the mean of its states is a text's vector."""
    settings = read_json(paths.BASE_MODEL / paths.SENTENCE_ENCODER_FILE)
    return bool(settings["is_one"]) and settings["pooling"] == "mean"


def set_trainable(model: CrossEncoder, trainable: str) -> None:
    """Freeze all but what `trainable` names: `head`, `top-N`, `layers` or `all`.

    `top-N` is head, pooler and the last N layers, `layers` all but the embeddings. Frozen modules lose their dropout:
    their output is what it will be when served.
    """
    layers = model.bert.encoder.layer
    head = [module for module in model.children() if module is not model.bert]
    pooler = [model.bert.pooler] if model.bert.pooler is not None else []
    trained: list[nn.Module] = {
        "all": [model],
        "layers": [*head, *pooler, *layers],
        "head": head,
    }.get(trainable) or [*head, *pooler, *layers[-int(trainable.removeprefix("top-")) :]]
    model.requires_grad_(False)
    unfrozen: set[nn.Module] = set()
    for module in trained:
        module.requires_grad_(True)
        unfrozen.update(module.modules())
    for parameter in model.parameters(recurse=False):  # of a cosine, its scale and offset
        parameter.requires_grad_(True)
    for module in model.modules():
        if isinstance(module, nn.Dropout) and module not in unfrozen:
            module.p = 0.0

"""Build, load and save cross-encoders; choose their trainable weights."""

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

# _check_report below replaces its long warnings about missing and unexpected weights; its bars last milliseconds.
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

Bert = TypeVar("Bert", BertModel, BertForSequenceClassification, BertForSegmentCosine, BertForBiEncoder)
CrossEncoder = BertForSequenceClassification | BertForSegmentCosine
KINDS = {kind.__name__: kind for kind in (BertForSegmentCosine, BertForBiEncoder)}  # by config.json's architectures


def new_classifier(folder: Path, seed: int) -> BertForSequenceClassification:
    """The base model in fp32 with a new two-logit classification head, whose weights are drawn from `seed`.

    Drops any head that the base model has. InputError if weights are missing or do not fit the config, because
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
    """The base model in fp32, scoring by its segments' cosine; InputError as in `new_classifier`.

    Token type 1, which a sentence encoder has never seen, gets type 0's embedding.
    """
    base = load_base_model(folder)
    with torch.random.fork_rng():  # the initial weights are overwritten: keep the generator's state
        model = kind(SegmentCosineConfig(**base.config.to_diff_dict() | {"attn_implementation": "eager"}))
    base.pooler = None
    model.bert = base
    with torch.no_grad():
        types = base.embeddings.token_type_embeddings.weight
        types[1] = types[0]
    return model


def new_bi_encoder(trainable: str) -> BertForBiEncoder:
    """The bi-encoder before fine-tuning. It has no head."""
    model = cast(BertForBiEncoder, new_segment_cosine(paths.BASE_MODEL, BertForBiEncoder))
    set_trainable(model, trainable)
    return model


def save_encoder(model: BertForBiEncoder, folder: Path, max_length: int) -> None:
    """Write a bi-encoder in the format of stage base_model's sentence encoders, with mean pooling.

    `max_length` is that of its texts in tokens, with [CLS] and [SEP].
    """
    encoder = load_base_model(paths.BASE_MODEL)  # supplies the unused pooler, which a BertModel's file must have
    encoder.load_state_dict(model.bert.state_dict(), strict=False)
    encoder.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copyfile(paths.BASE_MODEL / name, folder / name)
    settings = {"is_one": True, "pooling": "mean", "include_prompt": True, "query_prompt": "", "document_prompt": ""}
    write_json(folder / paths.SENTENCE_ENCODER_FILE, settings | {"max_length": max_length})


def load_base_model(folder: Path) -> BertModel:
    """The base model in fp32, without a head; InputError as in `new_classifier`."""
    return _load(BertModel, folder)


def load_checkpoint(folder: Path) -> CrossEncoder:
    """Load stage train's cross-encoder in fp32 and evaluation mode."""
    (architecture,) = read_json(folder / "config.json")["architectures"]
    if architecture in KINDS:
        return _load(KINDS[architecture], folder).eval()
    return _load(BertForSequenceClassification, folder).eval()


def _load(kind: type[Bert], folder: Path) -> Bert:
    """Load from safetensors with eager attention, because ONNX Runtime's optimiser recognises its graph."""
    try:
        loaded: Any = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation="eager",
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # transformers, safetensors and torch each raise their own types
        raise InputError(f"{folder}: expected a BERT that transformers can load, found: {error}") from error
    model, report = loaded
    _check_report(folder, report)
    return cast(Bert, model)


def _check_report(folder: Path, report: dict[str, Any]) -> None:
    if missing := sorted(report["missing_keys"]):
        raise InputError(f"{folder}: expected weights for the whole model, found none for {_some(missing)}")
    layers = sorted(key for key in report["unexpected_keys"] if ".layer." in key)  # heads may be dropped
    if layers:
        raise InputError(f"{folder}: expected only weights that config.json describes, found {_some(layers)}")


def _some(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def save_model(model: CrossEncoder, tokenizer: Path, folder: Path) -> None:
    """Write a cross-encoder, with the tokenizer files of the folder `tokenizer`."""
    model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer / name, folder / name)


def initial_model(params: Params) -> CrossEncoder:
    """The cross-encoder before fine-tuning; all weights but `train.trainable`'s are frozen.

    `train.head: cosine` requires a sentence encoder. Any other base model gets a classification head, whose weights
    are drawn from `train.seed`.
    """
    model: CrossEncoder
    if params.train.head == "cosine" and is_sentence_encoder():
        model = new_segment_cosine(paths.BASE_MODEL)
    else:
        model = new_classifier(paths.BASE_MODEL, params.train.seed)
    set_trainable(model, params.train.trainable)
    return model


def is_sentence_encoder() -> bool:
    """True if the base model's own files declare mean pooling."""
    settings = read_json(paths.BASE_MODEL / paths.SENTENCE_ENCODER_FILE)
    return bool(settings["is_one"]) and settings["pooling"] == "mean"


def set_trainable(model: CrossEncoder, trainable: str) -> None:
    """Train the weights that `trainable` names (`head`, `top-N`, `layers` or `all`) and freeze all others.

    `top-N` is the head, the pooler and the last N layers; `layers` is everything but the embeddings. Frozen modules
    lose their dropout, so that their output is the same in training and in serving.
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
    for parameter in model.parameters(recurse=False):  # the cosine's scale and offset
        parameter.requires_grad_(True)
    for module in model.modules():
        if isinstance(module, nn.Dropout) and module not in unfrozen:
            module.p = 0.0

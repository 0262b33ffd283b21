"""ranker.base.sentence_encoder: tokens equal transformers' and vectors sentence-transformers', for the same folder.

The table has the settings of public models, as in their files on the hub, over tiny random weights.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers.implementations import BertWordPieceTokenizer  # type: ignore[attr-defined]

from ranker.base.base_model import fetch_base_model, folder_digest
from ranker.common.files import read_json, write_json
from ranker.contract.tokens import load_tokenizer, tokenize
from ranker.model.embedding import Embedder

CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789äöüéèçÜÉ.,:!?-()冠状病毒"
WORDS = ["mask", "Mask", "ward", "virus", "query", "passage", "Represent", "represent", "this", "sentence", "for"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [*SPECIAL, *CHARACTERS, *(f"##{character}" for character in CHARACTERS), *WORDS]
TEXTS = [
    "masks in wards",
    "MASKS, Über Köln: die Étude",
    "e\u0301tude U\u0308ber",
    "冠状病毒 origin of the virus",
    "",
    "covid-19, COVID-19 and xCovid-19",
    "the virus in bats and in birds (again) " * 20,  # longer than every model here accepts
]
RETRIEVAL = "Represent this sentence for searching relevant passages: "


@dataclass(frozen=True)
class Folder:
    """The settings in the files of a model's folder; None leaves a file out."""

    modules: tuple[str, ...] | None = ("Transformer", "Pooling", "Normalize")
    pooling: dict[str, Any] | None = field(default_factory=lambda: {"pooling_mode_mean_tokens": True})
    transformer: dict[str, Any] | None = field(default_factory=lambda: {"max_seq_length": 64, "do_lower_case": False})
    prompts: dict[str, Any] | None = None
    tokenizer: dict[str, Any] | None = field(default_factory=lambda: {"do_lower_case": True})  # tokenizer_config.json
    lowercase: bool = True  # of tokenizer.json
    strip_accents: bool | None = None
    file: bool = True  # tokenizer.json if True, else vocab.txt alone
    more: dict[str, Any] = field(default_factory=dict)  # other files of the tokenizer


def legacy(mode: str) -> dict[str, Any]:
    """1_Pooling/config.json as sentence-transformers wrote it before 5.3, with every key."""
    names = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    return {f"pooling_mode_{name}": name == mode for name in names}


PUBLIC = {
    "all-MiniLM-L6-v2": Folder(pooling=legacy("mean_tokens"), transformer={"max_seq_length": 48}),
    "bge-small-en-v1.5": Folder(pooling=legacy("cls_token"), transformer={"max_seq_length": 64, "do_lower_case": True}),
    "mxbai-embed-large-v1": Folder(
        modules=("Transformer", "Pooling"),
        pooling=legacy("cls_token") | {"pooling_mode_lasttoken": False, "include_prompt": True},
        prompts={"prompts": {"query": RETRIEVAL, "passage": ""}, "default_prompt_name": None},
    ),
    "snowflake-arctic-embed-s": Folder(pooling=legacy("cls_token"), prompts={"prompts": {"query": RETRIEVAL}}),
    "e5-small-v2": Folder(prompts={"prompts": {"query": "query: ", "document": "passage: "}}),
    "gte-base": Folder(pooling=legacy("mean_tokens"), prompts={"__version__": {"sentence_transformers": "2.2.2"}}),
    "msmarco-bert-base-dot-v5": Folder(modules=("Transformer", "Pooling"), tokenizer={"model_max_length": 512}),
    "gbert-base, cased": Folder(
        tokenizer={"do_lower_case": False, "strip_accents": False}, lowercase=False, strip_accents=False
    ),
    "uncased with accents": Folder(tokenizer={"do_lower_case": True, "strip_accents": False}, strip_accents=False),
    "Google's BERT": Folder(None, None, None, None, tokenizer=None, file=False),
    "Google's cased BERT": Folder(None, None, None, None, tokenizer={"do_lower_case": False}, file=False),
}
# Not public models, but settings that sentence-transformers writes and reads.
OTHERS = {
    "saved by sentence-transformers 6": Folder(
        pooling={"embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": True},
        transformer={"transformer_task": "feature-extraction"},
        prompts={"prompts": {"query": "query: ", "document": ""}, "similarity_fn_name": "cosine"},
        tokenizer={"do_lower_case": True, "model_max_length": 40},
    ),
    "maximum": Folder(pooling={"pooling_mode": "max"}),
    "mean over a root": Folder(pooling=legacy("mean_sqrt_len_tokens")),
    "a prompt that is not pooled": Folder(
        pooling={"pooling_mode": "mean", "include_prompt": False}, prompts={"prompts": {"query": RETRIEVAL}}
    ),
    "a prompt that [CLS] is not of": Folder(
        pooling={"pooling_mode": "cls", "include_prompt": False}, prompts={"prompts": {"query": RETRIEVAL}}
    ),
    "a prompt by default": Folder(prompts={"prompts": {"query": "", "s2s": "query: "}, "default_prompt_name": "s2s"}),
    "a passage's prompt": Folder(prompts={"prompts": {"query": "query: ", "passage": "passage: "}}),
    "lower case of a cased tokenizer": Folder(
        transformer={"max_seq_length": 64, "do_lower_case": True}, tokenizer={"do_lower_case": False}, lowercase=False
    ),
    "settings beside a tokenizer.json": Folder(tokenizer={"do_lower_case": False, "strip_accents": False}),
    "settings beside a vocab.txt": Folder(tokenizer={"do_lower_case": True, "strip_accents": False}, file=False),
}
ADDED = len(VOCABULARY)  # the id of an added token
DECODER = {str(ADDED): {"content": "covid-19", "normalized": True, "lstrip": False, "rstrip": False, "special": False}}
TOKENS = {
    "an added token": Folder(more={"added_tokens.json": {"covid-19": ADDED}}),
    "an added token beside a vocab.txt": Folder(more={"added_tokens.json": {"covid-19": ADDED}}, file=False),
    "an added token, as transformers writes it now": Folder(tokenizer={"added_tokens_decoder": DECODER}),
    "a special token more": Folder(
        more={"special_tokens_map.json": {"additional_special_tokens": ["covid-19"]}},
        prompts={"prompts": {"query": "covid-19 "}},
    ),
    "a special token more, as transformers writes it now": Folder(tokenizer={"extra_special_tokens": ["covid-19"]}),
    "special tokens by another name": Folder(
        more={"special_tokens_map.json": {"cls_token": "[SEP]", "sep_token": "[CLS]"}}, tokenizer={}
    ),
}
FOLDERS = PUBLIC | OTHERS | TOKENS


def write(folder: Path, settings: Folder) -> Path:
    from transformers import BertConfig, BertModel, set_seed

    folder.mkdir()
    set_seed(1)
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    config = BertConfig(vocab_size=ADDED + 1, max_position_embeddings=96, initializer_range=0.3, **sizes)
    BertModel(config).save_pretrained(folder)
    if settings.file:
        vocabulary = {token: number for number, token in enumerate(VOCABULARY)}
        options: dict[str, Any] = {"lowercase": settings.lowercase, "strip_accents": settings.strip_accents}
        BertWordPieceTokenizer(vocabulary, **options).save(str(folder / "tokenizer.json"))
    else:
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCABULARY), encoding="utf-8")
    (folder / "1_Pooling").mkdir()
    names = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [
        {"idx": i, "name": str(i), "path": names.get(kind, kind), "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(settings.modules or ())
    ]
    pooling = settings.pooling and {"word_embedding_dimension": 32} | settings.pooling
    for name, content in {
        "modules.json": modules or None,
        "1_Pooling/config.json": pooling,
        "sentence_bert_config.json": settings.transformer,
        "config_sentence_transformers.json": settings.prompts,
        "tokenizer_config.json": settings.tokenizer,
        **settings.more,
    }.items():
        if content is not None:
            write_json(folder / name, content)
    return folder


def fetched(tmp_path: Path, settings: Folder) -> tuple[Path, Path]:
    """A folder with these settings, and the output of stage base_model for it."""
    source = write(tmp_path / "source", settings)
    fetch_base_model(f"path:{source}", tmp_path / "model", folder_digest(source))
    return source, tmp_path / "model"


@pytest.mark.parametrize("name", [name for name, settings in FOLDERS.items() if "lower case of" not in name])
def test_tokens_are_those_of_auto_tokenizer(tmp_path: Path, name: str) -> None:
    from transformers import AutoTokenizer

    source, model = fetched(tmp_path, FOLDERS[name])
    expected = AutoTokenizer.from_pretrained(source)(TEXTS, add_special_tokens=False)["input_ids"]
    assert tokenize(load_tokenizer(model), TEXTS) == expected


@pytest.mark.parametrize("name", FOLDERS)
def test_embedder_gives_the_vectors_of_sentence_transformers(tmp_path: Path, name: str) -> None:
    peer = pytest.importorskip("sentence_transformers", reason="make test installs it (requirements-bench.txt)")
    source, model = fetched(tmp_path, FOLDERS[name])
    theirs = peer.SentenceTransformer(str(source), device="cpu")
    embed, tokens = Embedder(model), tokenize(load_tokenizer(model), TEXTS)
    for side, encode in (("query", theirs.encode_query), ("document", theirs.encode_document)):
        expected = encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
        np.testing.assert_allclose(embed(tokens, side), expected, atol=2e-5, err_msg=side)  # type: ignore[arg-type]


def test_a_cross_encoders_folder_is_no_sentence_encoder(tmp_path: Path) -> None:
    """sentence-transformers writes modules.json for every kind of model; a cross-encoder's has no pooling."""
    peer = pytest.importorskip("sentence_transformers", reason="make test installs it (requirements-bench.txt)")
    source = write(tmp_path / "source", Folder())
    peer.CrossEncoder(str(source), num_labels=1, device="cpu").save_pretrained(str(tmp_path / "saved"))
    assert (tmp_path / "saved/modules.json").is_file()
    fetch_base_model(f"path:{tmp_path}/saved", tmp_path / "model", folder_digest(tmp_path / "saved"))
    assert not read_json(tmp_path / "model/sentence_encoder.json")["is_one"]

"""The application package for Vespa: BM25, and of its best hits a new order by the cross-encoder.

The tensors are the contract's (ranker/contract/layout.py): Vespa lays a pair out as `lay_out` does, from the query's
token ids, which its own tokenizer gives, and the document's, which were fed.
"""

import re
import shutil
from pathlib import Path
from textwrap import indent
from typing import Literal

from vespa.package import (
    ApplicationPackage,
    Component,
    Document,
    Field,
    FieldSet,
    Function,
    GlobalPhaseRanking,
    OnnxModel,
    Parameter,
    RankProfile,
    Schema,
)

from ranker.common.errors import InputError
from ranker.contract.folder import CONTRACT_FILE, MODEL_FILES, TOKENIZER_FILE, check_digests
from ranker.contract.layout import INPUTS, NOT_RELEVANT, OUTPUT, RELEVANT, Layout, read_contract
from ranker.vespa.feed import DOCUMENT_TYPE, PAD, PROFILE, QUERY_TENSOR, TOKENIZER, TOKENS_FIELD

MODEL = "cross_encoder"
TOKENIZER_PATH = "tokenizer/tokenizer.json"


class RankerSchema(Schema):
    """A schema whose ONNX model is declared in the rank profile that uses it, where pyvespa has no place for it."""

    @property
    def schema_to_text(self) -> str:
        text: str = super().schema_to_text
        (model,) = re.findall(r"^    onnx-model .*?^    }\n", text, re.MULTILINE | re.DOTALL)
        (profile,) = re.findall(rf"^    rank-profile {PROFILE} .*\n", text, re.MULTILINE)
        return text.replace(model, "").replace(profile, profile + indent(model, "    "))


def rank_profiles(layout: Layout, rerank_count: int) -> list[RankProfile]:
    """BM25 on titles, and the ranker, which reorders its best `rerank_count` hits by logit 1 - logit 0."""
    pair = f"query({QUERY_TENSOR}), attribute({TOKENS_FIELD})"
    length = layout.max_length  # room for every token: Vespa would cut the last separator without a word
    special = f"{layout.cls_id}, {layout.sep_id}"  # tokenInputIds has those of BERT's first vocabularies
    expressions = (
        f"customTokenInputIds({special}, {length}, {pair})",
        f"tokenTypeIds({length}, {pair})",
        f"tokenAttentionMask({length}, {pair})",
    )
    logits = [f"onnx({MODEL}).{OUTPUT}{{d0:0,d1:{column}}}" for column in (RELEVANT, NOT_RELEVANT)]
    return [
        RankProfile(name="bm25", first_phase="bm25(title)"),
        RankProfile(
            name=PROFILE,
            inherits="bm25",
            inputs=[(f"query({QUERY_TENSOR})", f"tensor<float>(d0[{layout.max_query_tokens}])")],
            functions=[Function(name, expression) for name, expression in zip(INPUTS, expressions, strict=True)],
            global_phase=GlobalPhaseRanking(expression=" - ".join(logits), rerank_count=rerank_count),
        ),
    ]


def application(name: str, layout: Layout, model: Path, tokenizer: Path, rerank_count: int) -> ApplicationPackage:
    """The application in pyvespa's terms; InputError where Vespa would count this tokenizer's tokens wrong."""
    if layout.pad_id != PAD:
        raise InputError(
            f"{tokenizer}: expected the padding's id to be {PAD}, as it is in Vespa, found {layout.pad_id}"
        )
    fields = [
        Field(name="document_id", type="string", indexing=["summary", "attribute"]),
        Field(name="title", type="string", indexing=["summary", "index"], index="enable-bm25"),
        Field(name=TOKENS_FIELD, type=f"tensor<float>(d0[{layout.max_document_tokens}])", indexing=["attribute"]),
    ]
    schema = RankerSchema(
        name=DOCUMENT_TYPE,
        document=Document(fields=fields),
        fieldsets=[FieldSet(name="default", fields=["title"])],
        rank_profiles=rank_profiles(layout, rerank_count),
        models=[OnnxModel(MODEL, str(model), {tensor: tensor for tensor in INPUTS}, {OUTPUT: OUTPUT})],
    )
    path = Parameter("model", {"path": TOKENIZER_PATH})
    return ApplicationPackage(
        name=name,
        schema=[schema],
        create_query_profile_by_default=False,
        components=[Component(TOKENIZER, type="hugging-face-tokenizer", parameters=[path])],
        include_files=[(str(tokenizer), TOKENIZER_PATH)],
    )


def write_application(folder: Path, ranker: Path, name: str, model: Literal["int8", "fp32"], rerank_count: int) -> str:
    """Write the application package of an exported ranker to `folder`; returns the model that is in it.

    Where int8 is asked for and no scheme passed export's gate, it is the exact one.
    """
    if not (ranker / MODEL_FILES[model]).is_file():
        model = "fp32"
    check_digests(ranker, CONTRACT_FILE, TOKENIZER_FILE, MODEL_FILES[model])
    layout = read_contract(ranker / CONTRACT_FILE)
    application(name, layout, ranker / MODEL_FILES[model], ranker / TOKENIZER_FILE, rerank_count).to_files(folder)
    for unused in ("models", "search"):  # pyvespa makes them all the same
        shutil.rmtree(folder / unused)
    return model

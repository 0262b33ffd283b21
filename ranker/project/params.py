"""Strict models of params.yaml: a typo, a wrong type or an impossible combination stops a stage at once."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ranker.common.errors import InputError, first_mistake
from ranker.contract.stacks import FirstStageName, OrderName
from ranker.project.yaml12 import Yaml12Loader

PARAMS_FILE = Path("params.yaml")

# A pattern's description is printed after "expected".
Sha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$", description="64 hex digits or an empty string")]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # numpy's range
FileName = Annotated[str, Field(pattern=r"^[^/\\]+$", description="a file's name without a folder")]
# Words of Vespa and its query language, and fields that the schema has
VESPAS_NAMES = frozenset(
    """
    all and any asc by contains default desc documentid false from group grouping in limit matches matchfeatures not
    offset or order range rank rankfeatures ranked_texts relevance sddocname select source sources summaryfeatures
    texts_language timeout true unranked where
    """.split()  # noqa: SIM905  # the list of them would take forty lines
)
FIELD_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
FieldName = Annotated[str, Field(pattern=FIELD_NAME, description="letters, digits and underscores, no digit first")]
# Columns, what `rank` prints, and fields in Vespa
OUR_NAMES = (
    "document_id",
    "query_id",
    "query",
    "language",
    "doc_token_ids",
    "rank",
    "score",
    "grade",
    "found_by",
    "could_move",
)


class Section(BaseModel):
    """One stage's section, immutable. Unknown keys and wrong types are errors."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Columns(Section):
    """A user's own names of columns, empty for the usual ones."""

    query: str
    query_id: str
    document_id: str
    grade: str


class Fetch(Section):
    """The sources of judgements and base model."""

    format: Literal["tutorial", "table", "beir", "trec", "ir_datasets"]
    folder: Annotated[str, Field(pattern=r"\S", description="a folder, an archive or its URL")]
    sha256: Sha256
    qrels_splits: list[str]
    topics: FileName
    qrels: FileName
    corpus: FileName
    columns: Columns
    query_field: str
    id: str
    judgements: Annotated[str, Field(pattern=r"\S", description="a CSV file of your own judgements")]
    base_model: Annotated[
        str,
        Field(
            pattern=r"^(hub:[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+@[0-9a-f]{40}|package:[A-Za-z_][A-Za-z0-9_]*|path:.+)$",
            description="hub:OWNER/NAME@COMMIT with 40 hex digits, package:NAME or path:FOLDER",
        ),
    ]
    base_sha256: Sha256

    @model_validator(mode="after")
    def _id_is_that_of_a_catalogue(self) -> Self:
        if (self.format == "ir_datasets") != bool(self.id):
            wanted = "an id" if self.format == "ir_datasets" else "it empty"
            raise ValueError(f"id: expected {wanted} with format {self.format}, found {self.id!r}")
        return self


class Join(Section):
    """A document's fields, and the grades."""

    document_fields: list[str]
    min_relevant_grade: Annotated[int, Field(ge=1)]
    grades: list[int]

    @model_validator(mode="after")
    def _fields_are_no_names_of_ours(self) -> Self:
        for name in self.document_fields:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or name in OUR_NAMES:
                wanted = f"letters, digits and underscores, but not {', '.join(OUR_NAMES)}"
                raise ValueError(f"document_fields: expected {wanted}, found {name!r}")
        if len(set(self.document_fields)) != (len(self.document_fields) or 1):
            raise ValueError(f"document_fields: expected at least one, and each once, found {self.document_fields}")
        return self

    @model_validator(mode="after")
    def _grades_are_a_scale(self) -> Self:
        if len(set(self.grades)) < len(self.grades) or (self.grades and max(self.grades) < self.min_relevant_grade):
            wanted = f"each once, and one of at least min_relevant_grade ({self.min_relevant_grade})"
            raise ValueError(f"grades: expected {wanted}, found {self.grades}")
        return self


class Encode(Section):
    """Token budgets of the contract (ranker/contract/layout.py)."""

    query_input_size: Annotated[int, Field(ge=3)]  # [CLS], one token, [SEP]
    doc_input_size: Annotated[int, Field(ge=2)]  # one token, [SEP]


class Split(Section):
    """Folds, and the held-out one."""

    by: Literal["query", "pair"]
    folds: Annotated[int, Field(ge=2, le=127)]  # int8 in stage split's table
    held_out: int | str
    seed: Seed

    @model_validator(mode="after")
    def _held_out_is_a_fold(self) -> Self:
        if self.held_out == "" or (isinstance(self.held_out, int) and self.held_out < 0):
            raise ValueError(f"held_out: expected a fold, none or a split's name, found {self.held_out!r}")
        if isinstance(self.held_out, int) and self.held_out >= self.folds:
            raise ValueError(f"held_out: expected a fold below folds ({self.folds}), found {self.held_out}")
        if self.named and self.by == "pair":
            raise ValueError(f"held_out: expected a fold or none where by is pair, found {self.held_out}")
        return self

    @property
    def named(self) -> bool:
        """True if `held_out` names a split of the judgements."""
        return isinstance(self.held_out, str) and self.held_out != "none"


class Training(Section):
    """Fine-tuning's settings, of the retriever and of the cross-encoder."""

    targets: Literal["graded", "binary"]
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    warmup_steps: Annotated[int, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0, lt=1)]
    seed: Seed
    precision: Literal["auto", "bf16", "fp32"]


class Retriever(Training):
    """The bi-encoder."""

    trainable: Annotated[str, Field(pattern=r"^(layers|all|top-[1-9][0-9]*)$", description="top-N, layers or all")]
    max_length: Annotated[int, Field(ge=3)]  # [CLS], one token, [SEP]
    model: Literal["int8", "fp32"]


RENAMED = {"cosine": "base", "fusion": "base_hybrid", "bi_encoder": "dense"}  # first stages


class FirstStage(Section):
    """Stage first_stage."""

    retriever: FirstStageName
    language: Annotated[
        str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="a language's tag, such as en or zh-hans")
    ]
    run: str
    depth: Annotated[int, Field(ge=10)]

    @model_validator(mode="before")
    @classmethod
    def _name_is_todays(cls, values: Any) -> Any:
        name = values.get("retriever") if isinstance(values, dict) else None
        if today := RENAMED.get(str(name)):
            raise ValueError(f"retriever: expected {today}, its present name, found {name}")
        return values

    @model_validator(mode="after")
    def _run_is_named(self) -> Self:
        if self.retriever == "run" and (not self.run or "/" in self.run or self.run.startswith(".")):
            raise ValueError(
                f"run: expected a file's name in data/runs, because first_stage.retriever is run, found {self.run!r}"
            )
        return self


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Weights(Section):
    """The weights of a fused order's parts."""

    cross_encoder: Weight
    cosine: Weight
    bm25: Weight


class Order(Section):
    """The order of the first stage's hits."""

    by: OrderName
    depth: Annotated[int, Field(ge=1)]
    weights: Weights


class Negatives(Section):
    """Stage negatives."""

    from_rank: Annotated[int, Field(ge=1)]
    per_positive: Annotated[int, Field(ge=0)]


class Train(Training):
    """Fine-tuning the cross-encoder with the transformers Trainer."""

    launcher: Annotated[
        str,
        Field(pattern=r"^(python|torchrun( [A-Za-z0-9_./:=-]+)+)$", description="python, or torchrun with its options"),
    ]
    head: Literal["cosine", "classifier"]
    trainable: Annotated[
        str, Field(pattern=r"^(head|layers|all|top-[1-9][0-9]*)$", description="head, top-N, layers or all")
    ]


class Export(Section):
    """The exported ONNX models."""

    name: Annotated[  # dvc.yaml's rule for artifacts
        str, Field(pattern=r"^[a-z][a-z0-9-]*$", description="a small letter, then small letters, digits and hyphens")
    ]
    version: Annotated[
        str, Field(pattern=r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$", description="MAJOR.MINOR.PATCH")
    ]


class Vespa(Section):
    """The application package for Vespa."""

    model: Literal["int8", "fp32"]
    document_type: FieldName
    id_field: FieldName
    text_fields: list[str]
    token_field: FieldName
    vector_field: FieldName
    timeout_ms: Annotated[int, Field(ge=1)]
    latency_ms: Annotated[int, Field(ge=1)]


class Evaluate(Section):
    """The release that this one is compared with."""

    against: str
    sha256: Sha256


class Crossval(Section):
    """Cross-validation (crossval/dvc.yaml); empty lists switch it off."""

    folds: list[int]
    seeds: list[Seed]
    shares: list[Annotated[float, Field(gt=0, lt=1)]]
    compare: list[Literal["all"]]

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: expected each once, found {self.seeds}")
        return self


class Params(Section):
    """All of params.yaml."""

    fetch: Fetch
    join: Join
    encode: Encode
    split: Split
    retriever: Retriever
    first_stage: FirstStage
    order: Order
    negatives: Negatives
    train: Train
    export: Export
    vespa: Vespa
    evaluate: Evaluate
    crossval: Crossval


def load_crossval_params(path: Path = PARAMS_FILE) -> Params:
    """`load_params`, with cross-validation's own checks."""
    params = load_params(path)
    if params.split.by != "query":
        raise InputError(f"{path}: split.by: expected query, because cross-validation holds out queries, found pair")
    if params.split.named:
        raise InputError(
            f"{path}: split.held_out: expected a fold or none, because cross-validation holds out each fold in turn, "
            f"found {params.split.held_out}: leave that split out by fetch.qrels_splits"
        )
    folds = list(range(params.split.folds))
    if params.crossval.folds != folds:
        raise InputError(
            f"{path}: crossval.folds: expected each of split.folds ({folds}), found {params.crossval.folds}"
        )
    return params


def flat(sections: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested params by their whole names.

    >>> flat({"order": {"by": "fused", "weights": {"bm25": 1.0}}})
    {'order.by': 'fused', 'order.weights.bm25': 1.0}
    """
    found: dict[str, Any] = {}
    for name, value in sections.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and validate params.yaml; InputError names the first mistake."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=Yaml12Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected YAML in UTF-8, found: {error}") from error
    return check_params(content, path)


def check_params(content: Any, path: Path = PARAMS_FILE) -> Params:
    """Validate params.yaml's content; InputError names the first mistake."""
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {_first(error)}") from error
    depth, first, count = params.first_stage.depth, params.negatives.from_rank, params.order.depth
    if first > depth:
        raise InputError(f"{path}: negatives.from_rank: expected at most first_stage.depth ({depth}), found {first}")
    if count > depth:
        raise InputError(
            f"{path}: order.depth: expected at most first_stage.depth ({depth}), because evaluation orders those hits, "
            f"found {count}"
        )
    if wrong := _vespas_fields(params):
        raise InputError(f"{path}: vespa: {wrong}")
    return params


def _vespas_fields(params: Params) -> str | None:
    """The first mistake in the names of a schema and its fields in Vespa."""
    given, own = params.vespa, params.join.document_fields
    if given.text_fields and len(given.text_fields) != len(own):
        return f"text_fields: expected one for each of join.document_fields ({own}), found {given.text_fields}"
    texts = given.text_fields or own
    if wrong := [name for name in texts if not re.fullmatch(FIELD_NAME, name)]:
        return f"text_fields: expected letters, digits and underscores, no digit first, found {wrong[0]!r}"
    vectors = f"{given.vector_field}_{params.export.version.replace('.', '_')}"
    names = [given.id_field, *texts, given.token_field, given.vector_field, vectors]
    if twice := [name for name in names if names.count(name) > 1]:
        return f"expected each field's name once, found {twice[0]!r} twice"
    if taken := [name for name in (given.document_type, *names) if name.lower() in VESPAS_NAMES]:
        return f"expected names that Vespa and its query language leave free, found {taken[0]!r}"
    return None


def _first(error: ValidationError) -> str:
    detail = error.errors()[0]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    expected = None
    if detail["type"] == "model_type":
        expected = "parameters by name"
    if detail["type"] == "string_pattern_mismatch":
        section, name = detail["loc"]
        fields = cast(type[Section], Params.model_fields[str(section)].annotation).model_fields
        expected = fields[str(name)].description
    return first_mistake(error, expected) + more

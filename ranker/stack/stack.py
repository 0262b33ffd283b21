"""A stack: a first stage, the order of its hits, and its depth. `models/stack.json` has the one that ships."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from ranker.common.errors import InputError
from ranker.common.files import read_json, write_json
from ranker.contract.folder import DEFAULT_FOLDER, DEFAULT_RETRIEVER, MODEL_FILES, Model, served_model
from ranker.contract.stacks import FIRST_STAGES, FOUND_BY, ORDERS, PARTS, FirstStageName, OrderName

if TYPE_CHECKING:  # a feed and a query need no numpy
    import numpy as np

MODELS = ("retriever", "cross_encoder")
STACK_FILE = "stack.json"


@dataclass(frozen=True)
class Stack:
    """How a search finds and orders.

    `depth` hits of each of the first stage's lists are ordered: a hybrid has up to twice as many. `weights` are those
    of PARTS in a fused order; those of cosine and BM25 also give a hybrid's order as found.
    """

    first_stage: FirstStageName
    order: OrderName
    depth: int
    weights: Mapping[str, float]
    language: str  # of BM25's words

    @property
    def name(self) -> str:
        """The first stage and, if it orders otherwise, the order: `hybrid`, `hybrid+fused`."""
        return self.first_stage if self.order == "as_found" else f"{self.first_stage}+{self.order}"

    @property
    def found_by(self) -> tuple[str, ...]:
        """The lists of hits that it joins."""
        return FOUND_BY[self.first_stage]

    @property
    def vectors(self) -> Literal["dense", "base", None]:
        """The vectors that it searches by: the retriever's, the base model's, or none."""
        return "dense" if "dense" in self.found_by else "base" if "base" in self.found_by else None

    @property
    def runs_cross_encoder(self) -> bool:
        """True if each hit takes a run of the cross-encoder."""
        return self.order == "cross_encoder" or (self.order == "fused" and self.weights["cross_encoder"] > 0)

    @property
    def summed(self) -> tuple[str, ...]:
        """The parts whose scaled scores it sums; none if one score orders by itself."""
        if self.order == "as_found":
            return ("cosine", "bm25") if len(self.found_by) > 1 else ()
        return PARTS if self.order == "fused" else ()

    def scores(self, parts: Mapping[str, "np.ndarray"], own: "np.ndarray") -> "np.ndarray":
        """The score of each of one query's hits, float64 [hits], higher is better.

        `parts` are the scores of PARTS, float [hits]: cross_encoder if `runs_cross_encoder`, bm25, and cosine if it has
        `vectors`. `own` are the first stage's own scores, float [hits], of a stack with one list.
        """
        from ranker.stack.order import weighted_sum

        if self.order == "cross_encoder":
            return parts["cross_encoder"].astype("float64")
        if self.summed:
            return weighted_sum({name: parts[name] for name in self.summed if name in parts}, self.weights)
        return own.astype("float64")


def write_stack(path: Path, stack: Stack, models: Mapping[str, Model] | None = None) -> None:
    """Write stack.json; `models` are those that it was measured with, by MODELS (fp32 if not given)."""
    used = dict(models or dict.fromkeys(MODELS, "fp32"))
    write_json(path, {**asdict(stack), "weights": dict(stack.weights), "models": used})


def read_models(path: Path) -> dict[str, Model]:
    """The models that stack.json's stack was measured with, by MODELS; InputError if it names none."""
    try:
        found = read_json(path)["models"]
        names = {name: str(found[name]) for name in MODELS}
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: models: expected those of {' and '.join(MODELS)}, found: {error!r}") from error
    for name, model in names.items():
        if model not in MODEL_FILES:
            raise InputError(f"{path}: models: expected {' or '.join(MODEL_FILES)} of {name}, found {model!r}")
    return cast(dict[str, Model], names)


def read_stack(path: Path) -> Stack:
    """Read stack.json, as stage package writes it; InputError if it is another file."""
    try:
        return as_stack(read_json(path))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: expected a stack as stage package writes it, found: {error!r}") from error


def as_stack(found: Mapping[str, Any]) -> Stack:
    """The stack of a JSON file's keys; ValueError, TypeError or KeyError if they are others."""
    weights = {name: float(found["weights"][name]) for name in PARTS}
    first_stage, order = FIRST_STAGES.index(found["first_stage"]), ORDERS.index(found["order"])
    return Stack(FIRST_STAGES[first_stage], ORDERS[order], int(found["depth"]), weights, str(found["language"]))


def model_bytes(folder: Path, stack: Stack, models: Mapping[str, Model]) -> int:
    """Size of the ONNX files in `folder`, models/ or a release, that the stack runs."""
    used = {DEFAULT_RETRIEVER.name: models["retriever"]} if stack.vectors == "dense" else {}
    used |= {DEFAULT_FOLDER.name: models["cross_encoder"]} if stack.runs_cross_encoder else {}
    files = [folder / name / MODEL_FILES[served_model(folder / name, asked)] for name, asked in used.items()]
    return sum(file.stat().st_size for file in files)

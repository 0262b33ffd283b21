"""Model cards, written from what was measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ranker.contract.folder import Manifest
from ranker.hub.folders import WEIGHTS
from ranker.metrics.ranking import MAIN
from ranker.project.params import Params

CARD = "README.md"
# By the folders' names, which are also the templates' beside this file.
TASKS = {"ranker": "text-ranking", "retriever": "sentence-similarity"}
TAGS = {"ranker": ["cross-encoder", "reranker"], "retriever": ["bi-encoder", "feature-extraction"]}
SYSTEMS = {"ranker": "cross_encoder", "retriever": "retriever"}  # in comparison.json
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    undefined=StrictUndefined,
)


class Facts(TypedDict):
    """The values of both cards' templates."""

    params: Params
    manifest: Manifest  # the exported model's
    comparison: Mapping[str, Any]  # comparison.json
    queries: int  # held out
    int8: bool  # an int8 model passed its gate


def write_card(folder: Path, facts: Facts, **more: object) -> None:
    """Write a model's README.md; the folder's name is its template's, and `more` are that template's other values."""
    stacks, data = facts["comparison"].get("stacks"), card_data(folder, facts)
    text = TEMPLATES.get_template(f"{folder.name}.md").render(**facts, **more, stacks=stacks, main=MAIN)
    (folder / CARD).write_text(f"---\n{data.to_yaml()}\n---\n{text}", encoding="utf-8", newline="\n")


def card_data(folder: Path, facts: Facts) -> ModelCardData:
    """A card's metadata. A licence is for the publisher to state, because no file of a base model's folder has one."""
    params, kind, weights = facts["params"], folder.name, (folder / WEIGHTS).is_file()
    scheme, _, place = params.fetch.base_model.partition(":")
    return ModelCardData(
        language=params.first_stage.language,
        license="unknown",
        library_name="sentence-transformers" if weights else "transformers.js",  # the hub names it first
        pipeline_tag=TASKS[kind],
        tags=[*TAGS[kind], "onnx", "transformers.js"],
        base_model=place.partition("@")[0] if scheme == "hub" else None,
        model_name=params.export.name,
        eval_results=results(kind, facts),
    )


def results(kind: str, facts: Facts) -> list[EvalResult] | None:
    """nDCG@10 of the judged pairs of the held-out queries, for the card's model-index; None if none is held out."""
    measured = facts["comparison"].get("systems", {}).get(SYSTEMS[kind], {}).get(MAIN)
    if measured is None:
        return None
    return [
        EvalResult(
            task_type=TASKS[kind],
            dataset_type=facts["params"].export.name,
            dataset_name=f"Judged pairs of {facts['queries']} queries held out from training",
            metric_type="ndcg_at_10",
            metric_name=MAIN,
            metric_value=round(measured["mean"], 4),
        )
    ]

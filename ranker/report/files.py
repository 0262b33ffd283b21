"""Read the files of an outcome and of its page, stage report's or the cross-validation's, and write the page."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from ranker.common.files import atomic, read_json
from ranker.contract.folder import served_model
from ranker.metrics.comparison import Comparison
from ranker.project import paths, tables
from ranker.project.params import Fetch, Params, flat
from ranker.report.answer import deciding
from ranker.report.outcome import Outcome
from ranker.report.page import Results
from ranker.report.release import LastRelease, Version
from ranker.stack.stack import Stack, as_stack
from ranker.stacks.costs import Costs, model_bytes, read_costs
from ranker.stacks.shipped import shipped_stack

FOLDERS = {"retriever": paths.RETRIEVER, "cross_encoder": paths.RANKER}  # of models
NOT_MADE_OF = ("crossval", "evaluate", "export", "vespa")  # sections that change neither models nor stack


def read_outcome(
    params: Params, comparison: Path, per_query: Path, reranked: Path, now: Version, **about: Any
) -> Outcome:
    """Read the outcome in these files; `now` is `new_version`, `about` are its other fields.

    `per_query` is that of judged pairs, `reranked` that of the served rankings; one of them gives the verdict.
    """
    compared, last = read_json(comparison), read_last_release(params)
    file = per_query if deciding(compared) is compared else reranked
    queries = pd.read_csv(file, dtype={"query_id": str, "query": str}, keep_default_na=False)
    return Outcome(
        name=params.export.name,
        version=params.export.version,
        collection=collection(params.fetch),
        comparison=compared,
        per_query=queries,
        now=_priced(now, params, compared, exported=not about["crossval"]) if last else now,
        last_release=last,
        **about,
    )


def new_version(params: Params, counts: Mapping[str, int], data: Mapping[str, str]) -> Version:
    """The version that params.yaml makes, without what a query costs."""
    stack = shipped_stack(params)
    left_out: dict[str, Any] = dict.fromkeys(NOT_MADE_OF, True)
    left_out["retriever"] = {"model"} if stack.vectors == "dense" else True  # idle
    made_of = flat(params.model_dump(mode="json", exclude=left_out))
    return Version(stack=stack, counts=counts, data=data, params=made_of, bytes=None, ms=None)


def _priced(now: Version, params: Params, comparison: Comparison, exported: bool) -> Version:
    """The same version with its bytes, of exported models alone, and its milliseconds."""
    models, table = {"retriever": params.retriever.model, "cross_encoder": params.vespa.model}, comparison.get("stacks")
    if exported:
        models = {name: served_model(FOLDERS[name], model) for name, model in models.items()}
    runs = table["rows"][table["shipped"]]["cross_encoder_runs"] if table else None
    ms = milliseconds(read_costs(params, models["cross_encoder"], models["retriever"]), now.stack, runs)
    return replace(now, bytes=model_bytes(paths.RANKER.parent, now.stack, models) if exported else None, ms=ms)


def milliseconds(costs: Costs | None, stack: Stack, runs: float | None) -> float | None:
    """The time of a query with `runs` of the cross-encoder; None if costs or runs are not known."""
    return costs.stack(stack.first_stage, runs) if costs and runs is not None else None


def read_last_release(params: Params) -> LastRelease | None:
    """The release that evaluate.against names, as stage release_hits describes it; None if it names none."""
    found = read_json(paths.RELEASE_ABOUT)
    if not found:
        return None
    stack = as_stack(found["stack"])
    return LastRelease(
        version=found["version"],
        against=found["against"],
        reason=found["reason"],
        stack=stack,
        counts=found["collection"],
        data=found["data"],
        params={name: value for name, value in found["params"].items() if name.split(".")[0] not in NOT_MADE_OF},
        bytes=found["bytes"],
        ms=milliseconds(_costs_of(found, params), stack, _runs(found, stack)),
    )


def _runs(found: dict[str, Any], stack: Stack) -> float | None:
    """The release's mean runs of the cross-encoder a query: one for each hit; None if it was asked no query."""
    if not found["asked"]:
        return None
    return len(tables.read_table(paths.RELEASE_HITS)) / len(found["asked"]) if stack.runs_cross_encoder else 0.0


def _costs_of(found: dict[str, Any], params: Params) -> Costs | None:
    """The costs of today's texts, as the release cuts them; None if it has another base model or reads other fields."""
    then = found["params"]
    same = {"fetch.base_sha256": params.fetch.base_sha256, "join.document_fields": params.join.document_fields}
    if any(then.get(name) != value for name, value in same.items()):
        return None
    sizes = {name: then.get(f"encode.{name}", value) for name, value in params.encode.model_dump().items()}
    longest = then.get("retriever.max_length", params.retriever.max_length)
    as_then = params.model_copy(
        update={
            "encode": params.encode.model_copy(update=sizes),
            "retriever": params.retriever.model_copy(update={"max_length": longest}),
        }
    )
    return read_costs(as_then, found["models"]["cross_encoder"], found["models"]["retriever"])


def collection(fetch: Fetch) -> str:
    """The collection's short name: its id in the catalogue, or the last part of its folder or URL."""
    return fetch.id or Path(urlsplit(fetch.folder).path).name or fetch.folder


def read_results(outcome: Outcome, run: pd.DataFrame, reranked: Path, depths: Path, **about: Any) -> Results:
    """Read the page's other content; `about` are all other fields.

    `run` is that of judged pairs, `reranked` that of the served rankings, which the page shows if they give the
    verdict. `depths` is the depth curve, read if the comparison has served rankings.
    """
    if outcome.served:
        run = tables.read_run(reranked)
    if "reranked" in outcome.comparison:
        about["depths"] = pd.read_csv(depths).to_dict("records")
    return Results(**vars(outcome), run=run, **about)


def write_page(path: Path, page: str) -> None:
    """Write the page atomically."""
    with atomic(path) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")

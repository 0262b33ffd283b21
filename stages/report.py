"""Write the page that shows whether the ranker helps, by how much, how surely, and where it hurts.

python -m stages.report
"""

import pandas as pd

from ranker.common.errors import run_stage
from ranker.common.files import atomic, read_json, sha256
from ranker.project import paths, tables
from ranker.project.params import Params, load_params
from ranker.report.page import Results, render


def note(params: Params) -> str:
    """What the figures are of."""
    leak = "" if params.split.by == "query" else ", but whose other pairs it was (split.by pair)"
    return (
        f"Measured with the exported ONNX models on queries that they were not trained on{leak}. One split and one "
        "seed: intervals and tests are over queries alone, and another seed of training or another chip moves the "
        "cross-encoder's figures too. The int8 model scores each pair by itself, as Vespa does. A random order is "
        "given by its expectation."
    )


def counts() -> dict[str, dict[str, float | str]]:
    """Small tables of what was dropped, what leaks, what is undefined or tied, and what probabilities are worth."""
    found = {
        f"{stage}: {group}": values
        for stage, path in (("join", paths.JOIN_COUNTS), ("split", paths.SPLIT_COUNTS))
        for group, values in read_json(path).items()
    }
    measures = read_json(paths.MEASURES)
    ties = measures["nDCG@10_by_order_of_ties"].items()
    found["queries"] = {name: measures[name] for name in ("queries", "queries_without_a_relevant_pair")}
    found["nDCG@10 by the order of ties"] = {name: "{low:.3f} to {high:.3f}".format(**span) for name, span in ties}
    for system, values in measures["over_all_pairs"].items():
        found[f"over all pairs: {system}"] = {
            name: value if isinstance(value, float) else "{mean:.3f} ({low:.3f} to {high:.3f})".format(**value)
            for name, value in values.items()
        }
    return found


def digests() -> dict[str, str]:
    """SHA-256 of what the figures were made from."""
    weights = sorted(paths.BASE_MODEL.glob("*.safetensors"))
    raw = [paths.RAW_LABELLED_DATA, paths.RAW_JUDGEMENTS]
    return {path.as_posix(): sha256(path) for path in [*raw, *weights, *sorted(paths.RANKER.iterdir()), paths.RUN]}


def main() -> None:
    params = load_params()
    results = Results(
        title=f"Held-out fold {params.split.held_out}",
        scope="on this split and seed",
        note=note(params),
        comparison=read_json(paths.COMPARISON),
        per_query=pd.read_csv(paths.PER_QUERY, dtype={"query_id": str, "query": str}, keep_default_na=False),
        run=tables.read_run(paths.RUN),
        documents=tables.read_table(paths.DOCUMENTS),
        curves={
            "reliability": pd.read_csv(paths.RELIABILITY_CURVE),
            "roc": pd.read_csv(paths.ROC_CURVE),
            "precision_recall": pd.read_csv(paths.PRECISION_RECALL_CURVE),
        },
        counts=counts(),
        params=params.model_dump(exclude={"crossval"}),
        digests=digests(),
    )
    with atomic(paths.REPORT) as partial:
        partial.write_text(render(results), encoding="utf-8", newline="\n")
    print(f"report: {paths.REPORT}")


if __name__ == "__main__":
    run_stage("report", main)

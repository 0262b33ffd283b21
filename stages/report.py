"""Write the page that shows whether the ranker helps, by how much, how surely, and where it hurts.

python -m stages.report
"""

import json

import pandas as pd

from ranker.common.errors import run_stage
from ranker.common.files import atomic, sha256
from ranker.project import paths, tables
from ranker.project.params import load_params
from ranker.report.page import Results, render, unseen_counts


def main() -> None:
    params = load_params()
    counts = {
        f"{stage}: {group}": values
        for stage, path in (("join", paths.JOIN_COUNTS), ("split", paths.SPLIT_COUNTS))
        for group, values in json.loads(path.read_text(encoding="utf-8")).items()
    }
    measures = json.loads(paths.MEASURES.read_text(encoding="utf-8"))
    results = Results(
        title=f"Held-out fold {params.split.held_out}",
        note="Measured with the exported ONNX model on queries that it was not trained on"
        f"{'' if params.split.by == 'query' else ', but whose other pairs it was (split.by pair)'}: one split and one "
        "seed. Intervals are of 95%, by bootstrap over queries.",
        comparison=json.loads(paths.COMPARISON.read_text(encoding="utf-8")),
        per_query=pd.read_csv(paths.PER_QUERY, dtype={"query_id": str, "query": str}, keep_default_na=False),
        run=tables.read_table(paths.RUN),
        documents=tables.read_table(paths.DOCUMENTS),
        curves={
            "reliability": pd.read_csv(paths.RELIABILITY_CURVE),
            "roc": pd.read_csv(paths.ROC_CURVE),
            "precision_recall": pd.read_csv(paths.PRECISION_RECALL_CURVE),
        },
        counts=counts | {"unseen documents": unseen_counts(measures["unseen_documents"])},
        params=params.model_dump(exclude={"crossval"}),
        digests={
            path.as_posix(): sha256(path)
            for path in (
                paths.RAW_LABELLED_DATA,
                paths.RAW_JUDGEMENTS,
                *sorted(paths.BASE_MODEL.glob("*.safetensors")),
                *sorted(paths.RANKER.iterdir()),
                paths.RUN,
            )
        },
    )
    with atomic(paths.REPORT) as partial:
        partial.write_text(render(results), encoding="utf-8", newline="\n")
    print(f"report: {paths.REPORT}")


if __name__ == "__main__":
    run_stage("report", main)

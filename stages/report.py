"""Write the page that shows whether the ranker helps, by how much, how surely, and where it hurts.

python -m stages.report
"""

import json

import pandas as pd

from ranker import tables
from ranker.errors import run_stage
from ranker.files import atomic, sha256
from ranker.params import load_params
from ranker.report import Results, render, unseen_counts


def main() -> None:
    params = load_params()
    counts = {
        f"{stage}: {group}": values
        for stage, path in (("join", tables.JOIN_COUNTS), ("split", tables.SPLIT_COUNTS))
        for group, values in json.loads(path.read_text(encoding="utf-8")).items()
    }
    measures = json.loads(tables.MEASURES.read_text(encoding="utf-8"))
    results = Results(
        title=f"Held-out fold {params.split.held_out}",
        note="Measured with the exported ONNX model on queries that it was not trained on"
        f"{'' if params.split.by == 'query' else ', but whose other pairs it was (split.by pair)'}: one split and one "
        "seed. Intervals are of 95%, by bootstrap over queries.",
        comparison=json.loads(tables.COMPARISON.read_text(encoding="utf-8")),
        per_query=pd.read_csv(tables.PER_QUERY, dtype={"query_id": str, "query": str}, keep_default_na=False),
        run=tables.read_table(tables.RUN),
        documents=tables.read_table(tables.DOCUMENTS),
        curves={
            "reliability": pd.read_csv(tables.RELIABILITY_CURVE),
            "roc": pd.read_csv(tables.ROC_CURVE),
            "precision_recall": pd.read_csv(tables.PRECISION_RECALL_CURVE),
        },
        counts=counts | {"unseen documents": unseen_counts(measures["unseen_documents"])},
        params=params.model_dump(exclude={"crossval"}),
        digests={
            path.as_posix(): sha256(path)
            for path in (
                tables.RAW_LABELLED_DATA,
                tables.RAW_JUDGEMENTS,
                *sorted(tables.BASE_MODEL.glob("*.safetensors")),
                *sorted(tables.RANKER.iterdir()),
                tables.RUN,
            )
        },
    )
    with atomic(tables.REPORT) as partial:
        partial.write_text(render(results), encoding="utf-8", newline="\n")
    print(f"report: {tables.REPORT}")


if __name__ == "__main__":
    run_stage("report", main)

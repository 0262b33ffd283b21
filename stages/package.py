"""Write the application package for Vespa: BM25, and of its best hits a new order by the cross-encoder.

python -m stages.package
"""

from ranker import tables
from ranker.application import write_application
from ranker.errors import run_stage
from ranker.files import atomic
from ranker.params import load_params


def main() -> None:
    params = load_params()
    with atomic(tables.VESPA) as partial:
        model = write_application(
            partial, tables.RANKER, params.export.name, params.vespa.model, params.vespa.rerank_count
        )
    print(f"package: {tables.VESPA}: the {model} model reranks {params.vespa.rerank_count} hits")


if __name__ == "__main__":
    run_stage("package", main)

"""Write the application package for Vespa: BM25, and of its best hits a new order by the cross-encoder.

python -m stages.package
"""

from ranker.common.errors import run_stage
from ranker.common.files import atomic
from ranker.project import paths
from ranker.project.params import load_params
from ranker.vespa.package import write_application


def main() -> None:
    params = load_params()
    with atomic(paths.VESPA) as partial:
        model = write_application(
            partial, paths.RANKER, params.export.name, params.vespa.model, params.vespa.rerank_count
        )
    print(f"package: {paths.VESPA}: the {model} model reranks {params.vespa.rerank_count} hits")


if __name__ == "__main__":
    run_stage("package", main)

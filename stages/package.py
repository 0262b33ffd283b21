"""Write the stack's settings, and the application package for Vespa: BM25, reranked by the cross-encoder.

python -m stages.package
"""

from ranker.common.errors import run_stage
from ranker.common.files import atomic
from ranker.contract.document import read_document_fields
from ranker.contract.folder import CONTRACT_FILE, Model, served_model
from ranker.project import paths
from ranker.project.params import load_params
from ranker.stack.stack import write_stack
from ranker.stacks.shipped import shipped_stack
from ranker.vespa.latency import misfits, read_figures
from ranker.vespa.package import kept_by_tokenizer, model_file, write_application
from ranker.vespa.query import QuerySettings

SERVED = "bm25+cross_encoder"  # the stack that the application package serves


def main() -> None:
    params = load_params()
    asked, version = params.vespa, params.export.version
    settings = QuerySettings(
        params.first_stage.language,
        params.order.depth,
        asked.timeout_ms,
        read_document_fields(paths.RANKER / CONTRACT_FILE),
    )
    stack = shipped_stack(params)
    with atomic(paths.VESPA) as partial:
        model = write_application(partial, paths.RANKER, params.export.name, version, asked.model, settings)
    models: dict[str, Model] = {
        "retriever": served_model(paths.RETRIEVER, params.retriever.model),
        "cross_encoder": served_model(paths.RANKER, asked.model),
    }
    write_stack(paths.STACK, stack, models)
    print(f"package: {paths.VESPA}: the {model} model {version} reranks {params.order.depth} hits")
    print(f"package: {paths.STACK}: {stack.name}, which `python -m ranker search` runs")
    if stack.name != SERVED:
        print(f"package: {paths.VESPA} serves the stack {SERVED}, because its first phase is BM25")
    size = model_file(paths.VESPA, version).stat().st_size
    for line in misfits(read_figures(), size, params.order.depth, asked.latency_ms, asked.timeout_ms):
        print(f"package: {line}")
    if kept := kept_by_tokenizer(paths.RANKER):
        some = ", ".join(f"U+{ord(character):04X}" for character in kept[:5]) + (" …" if len(kept) > 5 else "")
        print(
            f"package: {paths.RANKER}: documents with {some} have other tokens in Vespa, because the feed drops these "
            "characters"
        )


if __name__ == "__main__":
    run_stage("package", main)

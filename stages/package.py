"""Write the stack's settings, and the application package for Vespa that serves it.

python -m stages.package
"""

from dataclasses import replace

from ranker.common.errors import run_stage
from ranker.common.files import atomic
from ranker.contract.document import read_document_fields
from ranker.contract.folder import CONTRACT_FILE, IDLE_FILE
from ranker.project import paths
from ranker.project.params import Params, load_params
from ranker.stack.stack import write_stack
from ranker.stacks.costs import misfits, read_costs
from ranker.stacks.shipped import shipped_stack
from ranker.vespa.names import Names
from ranker.vespa.package import Exported, kept_by_tokenizer, write_application
from ranker.vespa.query import QuerySettings


def settings_of(params: Params, has_retriever: bool) -> QuerySettings:
    """Settings of the stack that ships or, if Vespa cannot find its hits, of BM25 and the cross-encoder."""
    asked, fields = params.vespa, read_document_fields(paths.RANKER / CONTRACT_FILE)
    names = Names(
        params.export.version,
        asked.document_type,
        asked.id_field,
        tuple(asked.text_fields) or fields,
        asked.token_field,
        asked.vector_field,
    )
    stack = shipped_stack(params)
    if stack.vectors == "base" or "run" in stack.found_by:
        stack = replace(stack, first_stage="bm25", order="cross_encoder")
    return QuerySettings(names, stack, asked.timeout_ms, has_retriever, fields)


def main() -> None:
    params = load_params()
    ranker = Exported(paths.RANKER, params.vespa.model)
    retriever = Exported(paths.RETRIEVER, params.retriever.model)
    trained = not (paths.RETRIEVER / IDLE_FILE).is_file()
    settings, stack = settings_of(params, trained), shipped_stack(params)
    with atomic(paths.VESPA) as partial:
        write_application(partial, params.export.name, settings, ranker, retriever if trained else None)
    write_stack(paths.STACK, stack, {"retriever": retriever.model, "cross_encoder": ranker.model})
    print(f"package: {paths.STACK}: {stack.name}")
    print(f"package: {paths.VESPA}: {settings.stack.name} of version {params.export.version}")
    if stack != settings.stack:
        print(f"package: {stack.name} is measured alone: neither Vespa nor `python -m ranker search` finds its hits")
    if settings.stack.runs_cross_encoder:
        costs = read_costs(params, ranker.model, retriever.model)
        sizes = len(settings.stack.found_by), settings.stack.depth
        for line in misfits(costs, *sizes, params.vespa.latency_ms, params.vespa.timeout_ms):
            print(f"package: {line}")
    if kept := kept_by_tokenizer(paths.RANKER):
        some = ", ".join(f"U+{ord(character):04X}" for character in kept[:5]) + (" …" if len(kept) > 5 else "")
        print(
            f"package: {paths.RANKER}: documents with {some} have other tokens in Vespa, because the feed drops these "
            "characters"
        )


if __name__ == "__main__":
    run_stage("package", main)

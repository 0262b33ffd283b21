"""Write the package for OpenSearch: the models as zips, and the requests that deploy, feed and search.

python -m stages.opensearch
"""

import onnx

from ranker.common.errors import run_stage
from ranker.common.files import atomic
from ranker.contract.folder import IDLE_FILE, MODEL_FILES, check_digests, served_model
from ranker.export.one_logit import one_logit
from ranker.opensearch.bodies import served_stacks
from ranker.opensearch.package import write_ranker, write_requests, write_retriever
from ranker.project import paths
from ranker.project.params import load_params
from ranker.stack.stack import read_models, read_stack


def main() -> None:
    export, stack, models = load_params().export, read_stack(paths.STACK), read_models(paths.STACK)
    name, size = f"{export.name} {export.version}", None
    with atomic(paths.OPENSEARCH) as partial:
        partial.mkdir()
        file = MODEL_FILES[served_model(paths.RANKER, models["cross_encoder"])]
        check_digests(paths.RANKER, file)
        model = one_logit(onnx.load(paths.RANKER / file))
        write_ranker(partial, paths.RANKER, name, model.SerializeToString(deterministic=True))
        if not (paths.RETRIEVER / IDLE_FILE).is_file():
            file = MODEL_FILES[served_model(paths.RETRIEVER, models["retriever"])]
            check_digests(paths.RETRIEVER, file, stage="export_retriever")
            size = write_retriever(partial, paths.RETRIEVER, name, (paths.RETRIEVER / file).read_bytes())
        write_requests(partial, stack, size)
    served = [served.name for served in served_stacks(stack, size is not None)]
    print(f"opensearch: {paths.OPENSEARCH}: {', '.join(served)} of version {export.version}")
    if stack.name not in served:
        print(f"opensearch: OpenSearch cannot serve {stack.name}: docs/opensearch.md names the nearest")


if __name__ == "__main__":
    run_stage("opensearch", main)

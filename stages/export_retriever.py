"""Export the retriever for sentence-transformers and to ONNX in fp32 and int8, and check it; or write a note.

python -m stages.export_retriever
"""

import shutil
from pathlib import Path
from typing import Any

from ranker.common.errors import run_stage
from ranker.common.files import atomic, code_digest, read_json, write_json
from ranker.contract.folder import IDLE_FILE
from ranker.project import paths
from ranker.project.params import Params, load_params
from ranker.project.preflight import say_other_versions

# The code that makes the ONNX files: this stage's code deps in dvc.yaml.
WINGS = ("common", "contract", "export", "metrics", "model", "project", "serving", "stack")
CODE = (*(Path("ranker") / wing for wing in WINGS), Path("stages/export_retriever.py"))


def export(params: Params, folder: Path) -> dict[str, Any]:
    """Write the retriever into `folder`; returns its metrics."""
    from ranker.export.retriever import export_retriever  # torch takes seconds to import

    found: dict[str, Any] = export_retriever(params, folder, code_digest(*CODE))
    difference = found["fp32"]["largest embedding difference from PyTorch"]
    print(f"export_retriever: ONNX and PyTorch differ by at most {difference:.1e}")
    chosen = found["int8"]["scheme"] if found["int8"]["passed"] else "none: fp32 ships alone"
    print(f"export_retriever: int8 by {chosen}; {paths.RETRIEVER_REPORT} has what both models find")
    return found


def main() -> None:
    params = load_params()
    say_other_versions("export_retriever")
    idle = paths.RETRIEVER_CHECKPOINT / IDLE_FILE
    with atomic(paths.RETRIEVER) as partial:
        partial.mkdir()
        if idle.is_file():
            shutil.copyfile(idle, partial / IDLE_FILE)
            found = read_json(idle)
        else:
            found = export(params, partial)
    write_json(paths.RETRIEVER_REPORT, found)


if __name__ == "__main__":
    run_stage("export_retriever", main)

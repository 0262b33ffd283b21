"""Readers of user files, given any bytes: each must return normally or raise InputError, and no other error."""

import contextlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from ranker.common.errors import InputError, one_line
from ranker.common.files import write_json
from ranker.contract.folder import check_digests
from ranker.contract.layout import read_contract
from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE, read_labelled_data
from ranker.project.params import load_params
from ranker.serving.documents import read_documents
from tests.factories import join_tutorial

Target = Callable[[bytes], None]

IDS = {"cls_id": 2, "sep_id": 3, "pad_id": 0}
QUERIES = [{"query_id": i, "query": f"masks {i}", "relevant_docs": []} for i in range(3)]


def _read(name: str, read: Callable[[Path], object]) -> Target:
    """A target that writes its bytes to a file of this name and reads it; an InputError must be one line."""

    def target(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            refusal = ""
            try:
                read(path)
            except InputError as error:
                refusal = one_line(str(error))
            assert not refusal or name in refusal or "judgements: expected graded pairs" in refusal

    return target


def _judgements(path: Path) -> None:
    write_json(path.parent / LABELLED_DATA_FILE, QUERIES)
    joined, _ = join_tutorial(path.parent)
    dropped = joined.findings[~joined.findings["kept"]]
    assert len(joined.pairs) + int(dropped["document_id"].notna().sum()) == joined.counts["read"]["judgements"]


def _digests(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # the file for this digest does not exist
        check_digests(path.parent, "model.onnx")


TARGETS: dict[str, Target] = {
    "labelled_data": _read("labelled.json", read_labelled_data),
    "judgements": _read(JUDGEMENTS_FILE, _judgements),
    "documents_csv": _read("documents.csv", lambda path: list(read_documents(path))),
    "documents_jsonl": _read("documents.jsonl", lambda path: list(read_documents(path))),
    "documents_parquet": _read("documents.parquet", lambda path: list(read_documents(path))),
    "params": _read("params.yaml", load_params),
    "contract": _read("encoding.json", read_contract),
    "manifest": _read("manifest.json", _digests),
}

# Seeds of the search: whole files, small.
SEEDS: dict[str, bytes] = {
    "labelled_data": json.dumps(QUERIES).encode(),
    "judgements": b'document_id,query_id,label,title-full\na,0,1,"Masks, ""again"""\nb,1,0,Bats\nb,1,2.0,Bats\n',
    "documents_csv": b'document_id,title\r\n007,"Masks\nagain"\r\n1e10,\r\n',
    "documents_jsonl": b'{"document_id": "007", "title": "Masks"}\n\n{"title": "", "document_id": "1e10"}\n',
    "contract": json.dumps({"query_input_size": 8, "doc_input_size": 12, "max_length": 20, **IDS}).encode(),
    "manifest": b'{"files": {"model.onnx": "00"}}',
}


def seeds() -> dict[str, bytes]:
    """SEEDS, and the seeds that are generated or stored elsewhere."""
    import pandas as pd

    params = (Path(__file__).parent.parent.parent / "params.yaml").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "documents.parquet"
        pd.DataFrame({"document_id": ["a", "b"], "title": ["Masks", ""]}).to_parquet(path)
        return SEEDS | {"params": params, "documents_parquet": path.read_bytes()}

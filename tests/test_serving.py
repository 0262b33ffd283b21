"""The serving library: what it imports, that it ranks as the model was trained to, from threads; its command line."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from ranker.common.errors import InputError
from ranker.common.files import sha256
from ranker.contract.layout import lay_out, read_contract, relevance
from ranker.contract.tokens import Ragged
from ranker.export.golden import TEXTS
from ranker.model.cross_encoder import new_cross_encoder
from ranker.serving.ranker import Ranker
from tests.conftest import ROOT, Run

TITLES = ["Masks in wards", "The origin of the virus in bats", "", "long " * 300, "Étude 🦠 [SEP]"]
CORES = os.cpu_count()
ALLOWED = {"numpy", "onnxruntime", "tokenizers", "ranker"}


@pytest.fixture(scope="module")
def ranker(ranker_folder: Path) -> Ranker:
    return Ranker(ranker_folder)


def test_numpy_tokenizers_and_onnxruntime_are_all_it_imports(ranker_folder: Path) -> None:
    """In a process where importing anything else of what is installed fails."""
    code = f"""
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in {ALLOWED!r} | set(sys.stdlib_module_names):
            raise ModuleNotFoundError(name + " is not here")
sys.meta_path.insert(0, Nothing())
from pathlib import Path
from ranker.serving.ranker import Ranker
ranker = Ranker(Path({str(ranker_folder)!r}), "int8")
print(ranker.rank("origin of the virus", ranker.encode_documents(["Masks", "The origin of the virus"])))
assert not {{"torch", "transformers", "pandas", "pyarrow"}} & set(sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert len(eval(result.stdout)) == 2


def test_documents_are_compact_and_cut(ranker: Ranker) -> None:
    documents = ranker.encode_documents(TITLES)
    assert isinstance(documents, Ragged)
    assert documents.values.dtype == np.uint16
    assert documents.lengths.max() == ranker.layout.doc_input_size - 1
    assert documents.lengths[2] == 0
    assert len(ranker.encode_query("long " * 300)) == ranker.layout.query_input_size - 2


def test_scores_are_the_trained_models(base_model: Path, ranker: Ranker) -> None:
    """From texts, by PyTorch, one pair at a time, unpadded."""
    model, query = new_cross_encoder(base_model, seed=5).eval(), ranker.encode_query("origin of the virus")
    documents = ranker.encode_documents(TITLES)
    expected = []
    for document in documents:
        inputs = lay_out(ranker.layout, [query], [document])
        with torch.inference_mode():
            logits = model(**{name: torch.from_numpy(array) for name, array in inputs.items()}).logits
        expected.append(float(relevance(logits.numpy())[0]))
    np.testing.assert_allclose(ranker.score(query, documents), expected, atol=1e-5)


def test_rank_is_the_order_of_the_scores(ranker: Ranker) -> None:
    documents = ranker.encode_documents([*TITLES, TITLES[0]])
    scores = ranker.score(ranker.encode_query("masks"), documents)
    ranked = ranker.rank("masks", documents)
    assert [row for row, _ in ranked] == sorted(range(6), key=lambda row: (-scores[row], row))  # ties: the first first
    assert [score for _, score in ranked] == sorted(map(float, scores), reverse=True)
    assert ranker.rank("masks", documents, top=2) == ranked[:2]
    assert ranker.rank("masks", ranker.encode_documents([])) == []


def test_the_eight_bit_model_is_another_one_that_ranks_much_the_same(ranker_folder: Path, ranker: Ranker) -> None:
    documents, query = ranker.encode_documents(TITLES), ranker.encode_query("masks")
    exact, rounded = ranker.score(query, documents), Ranker(ranker_folder, "int8").score(query, documents)
    assert 0 < np.abs(exact - rounded).max() < 0.3


def test_threads_share_a_ranker(ranker_folder: Path) -> None:
    """Queries at the same time get what they get one after the other; the number of threads changes nothing."""
    ranker = Ranker(ranker_folder, threads=1)
    documents = ranker.encode_documents([f"{title} {i}" for i in range(40) for title in TITLES])
    queries = [f"{text} {i}" for i in range(10) for text in ("masks", "bats", "origin of the virus", "")]
    expected = [ranker.rank(query, documents, 10) for query in queries]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda query: ranker.rank(query, documents, 10), queries)) == expected
    other = Ranker(ranker_folder, threads=2).rank(queries[0], documents, 10)
    assert [score for _, score in other] == pytest.approx([score for _, score in expected[0]], abs=1e-5)


def test_golden_vectors_are_what_training_lays_out(base_model: Path, ranker_folder: Path, ranker: Ranker) -> None:
    """Each vector again, its tokens from the texts, its inputs by the contract, its logits by PyTorch."""
    golden = json.loads((ranker_folder / "golden.json").read_text())
    assert [vector["name"] for vector in golden["vectors"]] == list(TEXTS)
    model, layout = new_cross_encoder(base_model, seed=5).eval(), read_contract(ranker_folder / "encoding.json")
    for vector in golden["vectors"]:
        assert ranker.encode_query(vector["query"]).tolist() == vector["query_tokens"]
        (document,) = ranker.encode_documents([vector["document"]])
        assert document.tolist() == vector["document_tokens"]
        inputs = lay_out(layout, [vector["query_tokens"]], [vector["document_tokens"]], layout.max_length)
        assert {name: array[0].tolist() for name, array in inputs.items()} == {name: vector[name] for name in inputs}
        with torch.inference_mode():
            logits = model(**{name: torch.from_numpy(array) for name, array in inputs.items()}).logits[0]
        np.testing.assert_allclose(logits, vector["logits"], atol=golden["logits_within"])
    lengths = {sum(vector["attention_mask"]) for vector in golden["vectors"]}
    assert {3, layout.max_length} <= lengths  # nothing at all, and both cut


@pytest.mark.parametrize("file", ["encoding.json", "tokenizer.json", "model.int8.onnx"])
def test_what_is_missing_or_not_the_manifests_is_named(ranker_folder: Path, tmp_path: Path, file: str) -> None:
    folder = Path(shutil.copytree(ranker_folder, tmp_path / "ranker"))
    with (folder / file).open("ab") as changed:
        changed.write(b"\n")
    digests = f"expected sha256 {sha256(ranker_folder / file)}, as manifest.json says, found {sha256(folder / file)}"
    with pytest.raises(InputError, match=f"{file}: {digests}"):
        Ranker(folder, "int8")
    (folder / file).write_text("{}")
    with pytest.raises(InputError, match=rf"{file}: expected (?!sha256)"):
        Ranker(folder, "int8", trusted=True)
    (folder / file).unlink()
    with pytest.raises(InputError, match=rf"{file}: expected a (file|model) that stage export wrote, found none"):
        Ranker(folder, "int8")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "manifest.json: expected a file that stage export wrote, found none"),
        ("", "manifest.json: expected the digests of encoding.json, tokenizer.json, found: JSONDecodeError"),
        ("[]", "manifest.json: expected the digests of encoding.json, tokenizer.json, found: TypeError"),
        ('{"files": {}}', r"manifest.json: expected the digests of .*, found: KeyError\('encoding.json'\)"),
    ],
)
def test_no_model_is_loaded_without_its_manifest(
    ranker_folder: Path, tmp_path: Path, content: str | None, message: str
) -> None:
    folder = Path(shutil.copytree(ranker_folder, tmp_path / "ranker"))
    (folder / "manifest.json").unlink()
    if content is not None:
        (folder / "manifest.json").write_text(content)
    with pytest.raises(InputError, match=message):
        Ranker(folder)


@pytest.fixture
def titles(tmp_path: Path) -> Path:
    (tmp_path / "titles.csv").write_text(
        'document_id,title\n007,Masks in wards\n1e10,The origin of the virus\nx,"Bats\nand \x1b[31mbirds"\n'
    )
    return tmp_path / "titles.csv"


def test_a_table_for_people(ranker_folder: Path, titles: Path, run: Run) -> None:
    line = f'python -m ranker "origin of the virus" --documents {titles} --top 3 --ranker {ranker_folder}'
    lines = run(line, ROOT).stdout.splitlines()
    assert lines[0].split() == ["rank", "score", "document_id", "title"]
    assert [row.split()[0] for row in lines[1:]] == ["1", "2", "3"]
    scores = [float(row.split()[1]) for row in lines[1:]]
    assert scores == sorted(scores, reverse=True)
    assert {row.split()[2] for row in lines[1:]} == {"007", "1e10", "x"}
    assert any(row.endswith("Bats and [31mbirds") for row in lines)  # one line, and nothing that a terminal obeys
    ranker = Ranker(ranker_folder)
    documents = ranker.encode_documents(["Masks in wards", "The origin of the virus", "Bats\nand \x1b[31mbirds"])
    assert scores == [round(score, 3) for _, score in ranker.rank("origin of the virus", documents)]


def test_json_lines_for_programs_from_standard_input(ranker_folder: Path, titles: Path, run: Run) -> None:
    command = f"python -m ranker masks --documents - --jsonl --top 2 --model int8 --ranker {ranker_folder} < {titles}"
    found = [json.loads(line) for line in run(command, ROOT).stdout.splitlines()]
    assert [row["rank"] for row in found] == [1, 2]
    assert set(found[0]) == {"rank", "score", "document_id", "title"}


def test_who_reads_one_line_gets_one_line(ranker_folder: Path, tmp_path: Path, run: Run) -> None:
    lines = (json.dumps({"document_id": str(i), "title": "masks " * 30}) + "\n" for i in range(2000))
    (tmp_path / "many.jsonl").write_text("".join(lines))
    command = f"python -m ranker masks --documents {tmp_path / 'many.jsonl'} --top 2000 --ranker {ranker_folder}"
    result = run(f"{command} | head -1", ROOT)
    assert (result.stdout.split(), result.stderr) == (["rank", "score", "document_id", "title"], "")


def test_a_query_that_is_not_utf_8_is_refused(ranker_folder: Path, titles: Path, run: Run) -> None:
    command = f"python -m ranker $(printf '\\377') --documents {titles} --ranker {ranker_folder}"
    result = run(command, ROOT, check=False)
    assert (result.returncode, result.stderr) == (1, "ranker: query: expected UTF-8, found '\\udcff'\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--top 0", "ranker: --top: expected at least 1, found 0"),
        ("--threads -1", f"ranker: --threads: expected 0 to {CORES}, for there are so many cores, found -1"),
        ("--threads 99999", f"ranker: --threads: expected 0 to {CORES}, for there are so many cores, found 99999"),
        ("--documents nowhere.parquet", "ranker: nowhere.parquet: No such file or directory"),
        ("--documents - <&-", "ranker: standard input: expected documents, found it closed"),
        ("--documents nowhere.csv", "ranker: nowhere.csv: No such file or directory"),
        ("--ranker nowhere", "ranker: nowhere/encoding.json: expected a file that stage export wrote, found none"),
    ],
)
def test_a_mistake_costs_one_line(ranker_folder: Path, titles: Path, run: Run, change: str, message: str) -> None:
    result = run(f"python -m ranker masks --documents {titles} --ranker {ranker_folder} {change}", ROOT, check=False)
    assert result.returncode == 1
    assert result.stderr == f"{message}\n"

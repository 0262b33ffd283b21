"""Helpers of several test files: made-up pairs, settings, a contract's folder, a changed params.yaml, a stage's run."""

import re
import runpy
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from ranker.base.base_model import folder_digest
from ranker.common.errors import InputError
from ranker.common.files import sha256, write_json
from ranker.contract.document import whole_text
from ranker.contract.embedding import TextLayout, lay_out_texts
from ranker.contract.layout import Layout, contract
from ranker.data.collection import Census, Collection
from ranker.data.join import Joined, join
from ranker.data.tutorial import read_tutorial
from ranker.metrics.classification import held_out_measures
from ranker.model.dataset import EncodedPairs, encode_pairs
from ranker.project.params import Train, load_params
from ranker.project.tables import pack, read_as
from ranker.training.curves import EvalLogger

if TYPE_CHECKING:  # torch takes seconds to import, and only some tests need it
    import torch

    from ranker.model.segment_cosine import BertForBiEncoder

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "data/sample"
PARAMS = load_params(ROOT / "params.yaml")

Run = Callable[..., "subprocess.CompletedProcess[str]"]  # the fixture `run`

# Train a tiny model on `make_pairs`: one or two seconds.
TRAIN = Train(
    launcher="python",
    head="classifier",
    trainable="all",
    targets="binary",
    epochs=2,
    batch_size=8,
    learning_rate=1e-3,
    warmup_steps=2,
    weight_decay=0.01,
    seed=13,
    precision="fp32",
)
CHANGES: list[tuple[str, object]] = [  # changes to TRAIN; each gives other weights
    ("epochs", 3),
    ("batch_size", 16),
    ("learning_rate", 2e-3),
    ("warmup_steps", 20),
    ("weight_decay", 0.5),
    ("seed", 14),
]
LAYOUT = Layout(16, 24, cls_id=2, sep_id=3, pad_id=0)  # for `make_pairs`; ids are those of the tiny tokenizer
POSITIONS = 160  # of the tiny model


def make_data(queries: int, seed: int = 0) -> tuple[pd.DataFrame, EncodedPairs]:
    """Ten pairs a query; relevant documents start with token 60, the others with token 61."""
    random = np.random.default_rng(seed)
    rows, query_tokens, document_tokens = [], [], []
    for query in range(queries):
        tokens = random.integers(10, 60, 4)
        for i in range(10):
            relevant = i < 4
            document = random.integers(62, 110, random.integers(3, 20))
            document[0] = 60 if relevant else 61
            rows.append((f"q{query}", f"d{query}-{i}", int(relevant), relevant))
            document_tokens.append(document)
        query_tokens.append(tokens)
    pairs = pd.DataFrame(rows, columns=["query_id", "document_id", "grade", "relevant"])
    texts = pack(pairs["query_id"].unique(), query_tokens), pack(pairs["document_id"], document_tokens)
    return pairs, encode_pairs(pairs, *texts, LAYOUT)


def make_pairs(queries: int, seed: int = 0) -> EncodedPairs:
    """The pairs of `make_data` with their token ids."""
    return make_data(queries, seed)[1]


def make_logger(queries: int, seed: int, folder: Path) -> EvalLogger:
    """A logger for these pairs; it writes its curves to `folder`."""
    return EvalLogger(*make_data(queries, seed), folder, held_out_measures)


def write_encoder(base_model: Path, folder: Path, layout: Layout = LAYOUT) -> None:
    """Write the files of a trusting `TextEncoder`: a base model's tokenizer, and the contract for a layout."""
    shutil.copyfile(base_model / "tokenizer.json", folder / "tokenizer.json")
    write_json(folder / "encoding.json", contract(layout, sha256(folder / "tokenizer.json"), POSITIONS))


def set_params(folder: Path, **values: object) -> None:
    """Change lines of a folder's params.yaml, given as `section__name`, and keep their comments."""
    text = (folder / "params.yaml").read_text()
    for name, value in values.items():
        section, _, key = name.partition("__")
        pattern = rf"(?m)^({section}:[^\n]*\n(?:  [^\n]*\n)*?  {key}:)[^\n]*?((?: +#[^\n]*)?)\n(?:  - [^\n]*\n)*"
        assert re.search(pattern, text), name
        text = re.sub(pattern, lambda found, value=value: f"{found[1]} {value}{found[2]}\n", text)  # type: ignore[misc]
    (folder / "params.yaml").write_text(text)


def own_cosines(model: "BertForBiEncoder", pairs: EncodedPairs) -> np.ndarray:
    """A retriever's cosine of each pair, float32 [pairs], text by text."""
    import torch

    layout, found = pairs.layout, []
    longest = max(layout.query_input_size, layout.doc_input_size + 1)
    special = TextLayout(longest, layout.cls_id, layout.sep_id, layout.pad_id)
    with torch.inference_mode():
        for query, document, _ in (pairs[row] for row in range(len(pairs))):
            sides = []
            for text in (query, document):
                inputs = lay_out_texts(special, [text])
                ids, mask = (torch.from_numpy(inputs[name]) for name in ("input_ids", "attention_mask"))
                sides.append(model.eval().vectors(ids, mask)[0])
            found.append(float(sides[0] @ sides[1]))
    return np.array(found, np.float32)


def set_base_model(folder: Path, base_model: Path) -> None:
    """Set params.yaml's base model to a folder's path and digest."""
    set_params(folder, fetch__base_model=f"path:{base_model}", fetch__base_sha256=folder_digest(base_model))


def start_project(folder: Path) -> None:
    """Copy to a folder the files that stages read beside their dependencies."""
    (folder / "data").mkdir()
    for name in ("params.yaml", "requirements.txt", "data/judged.csv"):
        shutil.copyfile(ROOT / name, folder / name)
    for name in ("ranker", "stages"):  # train and export record the code's digests
        (folder / name).symlink_to(ROOT / name)


def place_models(folder: Path, ranker: Path, retriever: Path) -> None:
    """Put params.yaml and both exported models where the stages that package them look."""
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    shutil.copytree(ranker, folder / "models/ranker")
    shutil.copytree(retriever, folder / "models/retriever")


def run_module(name: str, *arguments: str) -> str | int | None:
    """Run `python -m NAME ARGUMENTS` in this process; return 0, or the line printed before exit status 1."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stopped:
        patch.setattr(sys, "argv", [name, *arguments])
        patch.delitem(sys.modules, name, raising=False)
        runpy.run_module(name, run_name="__main__")
    return stopped.value.code


def run_stages(*stages: str) -> None:
    """Run stages one after the other in this process; each must succeed."""
    for stage in stages:
        status = run_module(f"stages.{stage}")
        assert status == 0, f"{stage}: {status}"


def refusal(call: Callable[..., object], *arguments: object, **named: object) -> str:
    """The one line of the InputError that a call raises."""
    with pytest.raises(InputError) as error:
        call(*arguments, **named)
    assert "\n" not in str(error.value)
    return str(error.value)


def weights(model: "torch.nn.Module") -> dict[str, "torch.Tensor"]:
    """Copies of a model's weights by name."""
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


def readings(texts: Mapping[str, str]) -> "pd.Series[int]":
    """`ranker.contract.tokens.readings` by id, with a tokenizer in which each lower-case word is a token."""
    words = [[zlib.crc32(word.encode()) & 0x7FFFFFFF for word in text.lower().split()] for text in texts.values()]
    return read_as(pack(texts, words))


def join_texts(collection: Collection, min_relevant_grade: int = 1) -> tuple[Joined, dict[str, str], Census]:
    """Join a collection; return the join, the texts of its documents, and their census."""
    census = Census()
    texts = {name: whole_text(fields) for name, fields in census.distinct(collection.documents)}
    queries = dict(zip(collection.queries["query_id"], collection.queries["query"], strict=True))
    return join(collection, census, readings(queries), readings(texts), min_relevant_grade), texts, census


def join_tutorial(folder: Path, min_relevant_grade: int = 1) -> tuple[Joined, pd.DataFrame]:
    """Join the tutorial's two files in a folder; return the join and the documents: document_id and title."""
    result, texts, _ = join_texts(read_tutorial(folder, ["title"]), min_relevant_grade)
    return result, pd.DataFrame(list(texts.items()), columns=["document_id", "title"], dtype=str)

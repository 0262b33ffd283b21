"""A tiny base model and a scratch copy of the project, so that tests can run the real pipeline quickly."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Set before the libraries that read them are imported: spinning threads slow a busy machine down; no test may reach the
# hub, and a test that needs one starts its own.
os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "HF_ENDPOINT": "http://127.0.0.1:9"}

import hypothesis
import pytest
from filelock import FileLock
from tokenizers.implementations import BertWordPieceTokenizer  # type: ignore[attr-defined]

from ranker.base.base_model import fetch_base_model, folder_digest
from ranker.base.sentence_encoder import MODULES, POOLING
from ranker.common.files import sha256, write_json
from ranker.data.tutorial import JUDGEMENTS_FILE, LABELLED_DATA_FILE
from ranker.project import paths
from tests.browser import Browser, browser
from tests.factories import PARAMS, POSITIONS, SAMPLE, Run, set_base_model, set_params, start_project, write_encoder
from tests.factories import ROOT as ROOT
from tests.pipeline import outputs, recorded
from tests.readme import command

if TYPE_CHECKING:  # imports that take seconds and that only some test files need
    import onnx

    from ranker.serving.ranker import Ranker

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine must not fail a test
hypothesis.settings.load_profile("untimed")

QUERIES = 20  # queries of the sample's fifty in the scratch repository
SHORT = {"epochs": 1, "precision": "fp32"}  # of each training there


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the long files first, so that the run does not end with one of them.

    Long files that need no scratch repository come first among them; the others wait until one worker has made it.
    """
    first = ["pipeline_crossval", "distributed", "checkpoints", "trainer", "gate", "onnx"]
    names = {f"test_{name}.py": place for place, name in enumerate(first)}
    last = len(first)
    items.sort(key=lambda item: names.get(item.path.name, last + ("test_pipeline" not in item.path.name)))


@pytest.fixture(scope="session", autouse=True)
def _offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests on this machine, and away from the user's configuration, cache and logins."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "HOME": str(home),
            "HF_HOME": str(home / "hf"),
            "IR_DATASETS_HOME": str(home / "ir_datasets"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
        }.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium")) as running:
        yield running


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Make a folder once for all workers of pytest-xdist: the first worker that asks makes it, and all only read it."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once" / name
    folder.parent.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not Path(f"{folder}.made").is_file():
            shutil.rmtree(folder, ignore_errors=True)  # a worker failed here before
            folder.mkdir()
            make(folder)
            Path(f"{folder}.made").touch()
    return folder


def vocabulary() -> dict[str, int]:
    """The sample's characters, as words and as pieces, and its most frequent words, by id.

    They are counted, because the trainer of tokenizers gives every process another vocabulary, and so another model.
    """
    text = "".join((SAMPLE / name).read_text() for name in (LABELLED_DATA_FILE, JUDGEMENTS_FILE)).lower()
    characters = sorted(set(re.findall(r"\S", text)))
    words = sorted(Counter(re.findall(r"\w{2,}", text)).items(), key=lambda counted: (-counted[1], counted[0]))
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *characters, *(f"##{character}" for character in characters)]
    return {token: i for i, token in enumerate([*tokens, *(word for word, _ in words)][:1500])}


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence encoder as a hub has it: a two-layer BERT with random weights and the sample's words."""
    return made_once(tmp_path_factory, "base_model", write_base_model)


@pytest.fixture(scope="session")
def plain_model(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same BERT without the files that make it a sentence encoder."""

    def write(folder: Path) -> None:
        for file in base_model.glob("*.*"):
            if file.name != MODULES:
                shutil.copyfile(file, folder / file.name)

    return made_once(tmp_path_factory, "plain_model", write)


@pytest.fixture(scope="session")
def fetched_model(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of stage base_model for the tiny sentence encoder."""
    return made_once(tmp_path_factory, "fetched_model", partial(fetch, base_model))


@pytest.fixture(scope="session")
def fetched_plain_model(plain_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of stage base_model for the plain BERT."""
    return made_once(tmp_path_factory, "fetched_plain_model", partial(fetch, plain_model))


def fetch(source: Path, folder: Path) -> None:
    fetch_base_model(f"path:{source}", folder, folder_digest(source))


def write_base_model(folder: Path) -> None:
    from transformers import BertConfig, BertModel, set_seed

    tokenizer = BertWordPieceTokenizer(vocabulary(), lowercase=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"})
    set_seed(1)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
        initializer_range=0.3,  # large weights, so that every input changes the logits visibly
    )
    BertModel(config).save_pretrained(folder)
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    write_json(
        folder / MODULES,
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(kinds.items())
        ],
    )
    write_json(folder / POOLING, {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True})


@pytest.fixture(scope="session")
def ranker_folder(fetched_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of stage export for a tiny cross-encoder with random weights; its manifest has the digests only.

    Its int8 model has 7-bit weights, because 8-bit products saturate on a chip without VNNI.
    """
    return made_once(tmp_path_factory, "ranker", partial(write_ranker, fetched_model))


def write_ranker(fetched_model: Path, folder: Path) -> None:
    from ranker.contract.layout import contract
    from ranker.contract.tokens import load_layout
    from ranker.export.golden import golden
    from ranker.export.int8 import SCHEMES, prepare, quantise
    from ranker.export.onnx import export_onnx
    from ranker.model.cross_encoder import TOKENIZER_FILES, new_classifier
    from ranker.serving.ranker import Ranker

    for name in TOKENIZER_FILES:
        shutil.copyfile(fetched_model / name, folder / name)
    layout = load_layout(folder, 32, 96)
    write_json(folder / "encoding.json", contract(layout, sha256(folder / "tokenizer.json"), POSITIONS))
    model = new_classifier(fetched_model, seed=5).eval()
    export_onnx(model, folder / "model.onnx", PARAMS.export)
    (reduced,) = [scheme for scheme in SCHEMES if scheme.reduce_range]
    quantise(prepare(folder / "model.onnx", model.config), reduced, folder / "model.int8.onnx", PARAMS.export)
    write_json(folder / "golden.json", golden(Ranker(folder, trusted=True)))
    write_json(folder / "manifest.json", {"files": {file.name: sha256(file) for file in folder.iterdir()}})


@pytest.fixture(scope="session")
def word_vectors(fetched_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as of stage export_retriever, whose model takes a random vector for each token, wherever it stands."""
    return made_once(tmp_path_factory, "word_vectors", partial(write_word_vectors, fetched_model))


def write_word_vectors(fetched_model: Path, folder: Path) -> None:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from ranker.contract.embedding import STATES, TextLayout, embedding_contract
    from ranker.contract.layout import INPUTS
    from ranker.contract.tokens import special_ids

    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(fetched_model / name, folder / name)
    rows = np.random.default_rng(1).standard_normal((BertWordPieceTokenizer(vocabulary()).get_vocab_size(), 16))
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in INPUTS]
    output = helper.make_tensor_value_info(STATES, TensorProto.FLOAT, ["batch", "sequence", 16])
    table = numpy_helper.from_array(rows.astype(np.float32), "table")
    node = helper.make_node("Gather", ["table", INPUTS[0]], [STATES])
    graph = helper.make_graph([node], "words", inputs, [output], [table])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, folder / "model.onnx")
    layout = TextLayout(128, **special_ids(folder))
    write_json(folder / "embedding.json", embedding_contract(layout, sha256(folder / "tokenizer.json"), 16))
    write_json(folder / "manifest.json", {"files": {file.name: sha256(file) for file in folder.iterdir()}})


@pytest.fixture(scope="module")
def exact_folder(base_model: Path, model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test file's own `model`, exported, beside the files that its tokenizer needs."""
    from ranker.export.onnx import export_onnx

    folder = tmp_path_factory.mktemp("exact")
    write_encoder(base_model, folder)
    export_onnx(model, folder / "model.onnx", PARAMS.export)
    return folder


@pytest.fixture(scope="module")
def exact(exact_folder: Path) -> "Ranker":
    from ranker.serving.ranker import Ranker

    return Ranker(exact_folder, trusted=True)


@pytest.fixture(scope="module")
def prepared(model: Any, exact_folder: Path) -> "onnx.ModelProto":
    """The same before its weights are rounded."""
    from ranker.export.int8 import prepare

    return prepare(exact_folder / "model.onnx", model.config)


@pytest.fixture
def encoder_folder(base_model: Path, tmp_path: Path) -> Path:
    """A folder for a model, with the files that its tokenizer needs."""
    write_encoder(base_model, tmp_path)
    return tmp_path


@pytest.fixture
def bare(fetched_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a project's folder in which stage base_model alone has run."""
    monkeypatch.chdir(tmp_path)
    start_project(tmp_path)
    paths.BASE_MODEL.symlink_to(fetched_model)
    return tmp_path


@pytest.fixture(scope="session")
def run() -> Run:
    """Run a command line in a folder with this Python first on the PATH; return its output."""

    def call(command: str, folder: Path, check: bool = True, **environment: str) -> "subprocess.CompletedProcess[str]":
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        result = subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env=os.environ | {"PATH": path} | environment,
            capture_output=True,
            text=True,
        )
        if check and result.returncode != 0:
            raise AssertionError(f"{command} gave {result.returncode}:\n{result.stdout}\n{result.stderr}")
        return result

    return call


def copy_project(destination: Path, run: Run) -> None:
    """Make a Git repository of the project's files, in their present state, in an empty folder."""
    listed = run("git ls-files -z --cached --others --exclude-standard", ROOT).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, destination / name)
    run("git init -q && git add -A && git commit -q -m copy", destination)


def write_own_files(folder: Path) -> None:
    """Write the sample's first queries as a user's own two files; the CSV has rows that join drops."""
    (folder / "mine").mkdir()
    labelled = json.loads((SAMPLE / LABELLED_DATA_FILE).read_text())[:QUERIES]
    (folder / "mine" / LABELLED_DATA_FILE).write_text(json.dumps(labelled))
    text = (SAMPLE / JUDGEMENTS_FILE).read_text()
    (folder / "mine" / JUDGEMENTS_FILE).write_text(text + "extra,1,-1,A title\n")


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory, base_model: Path, run: Run) -> Path:
    """A scratch repository with the tiny base model and own files, built by the README's command for own files.

    It is committed, with its outputs. Tests copy it and never change it.
    """
    return made_once(tmp_path_factory, "repository", partial(build_repository, base_model, run))


def build_repository(base_model: Path, run: Run, folder: Path) -> None:
    copy_project(folder, run)
    write_own_files(folder)
    (folder / "dvc.lock").unlink(missing_ok=True)
    set_base_model(folder, base_model)
    own = {f"{section}__{name}": value for section in ("train", "retriever") for name, value in SHORT.items()}
    set_params(folder, split__folds=2, **own)
    run("git add -A && git commit -qm tiny", folder)
    recording = {"PYTHONPATH": str(ROOT / "tests/record"), "RECORDED": f"{folder}.params"}
    built = run(command("dvc exp run -S fetch.folder=mine"), folder, **recording)
    Path(f"{folder}.log").write_text(built.stdout)
    run("git add -A && git commit -qm built", folder)


@pytest.fixture(scope="session")
def read_params(repository: Path) -> dict[str, set[str]]:
    """The params that each stage read while the scratch repository was built, as SECTION.NAME."""
    return recorded(Path(f"{repository}.params"))


@pytest.fixture(scope="module")
def project(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the scratch repository, one for each test file."""
    return Path(shutil.copytree(repository, tmp_path_factory.mktemp("project") / "copy", symlinks=True))


@pytest.fixture
def copy(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a copy of the scratch repository, made for one test without DVC's cache."""
    left_behind = shutil.ignore_patterns(".dvc")
    copy = Path(shutil.copytree(repository, tmp_path / "copy", symlinks=True, ignore=left_behind))
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def clean(project: Path, repository: Path, run: Run) -> Path:
    """Restore the project to its last commit; DVC's checkout takes seconds, so it runs where an output has changed."""
    run("git checkout -q .", project)
    if outputs(project) != outputs(repository):
        run("dvc checkout -q --force dvc.yaml", project)
    return project

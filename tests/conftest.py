"""A tiny base model and a scratch copy of the project, for tests that run the real thing quickly."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock
from tokenizers.implementations import BertWordPieceTokenizer  # type: ignore[attr-defined]

from ranker.common.files import write_json
from ranker.base.base_model import fetch_base_model
from ranker.project.paths import SAMPLE_JUDGEMENTS, SAMPLE_LABELLED_DATA

ROOT = Path(__file__).parent.parent

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("untimed")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, so that none is left for the end.

    And of them those that need no scratch repository, beside the one whose worker makes it: the others would wait.
    """
    first = ["pipeline_crossval", "processes", "unfinished", "export", "quantisation", "model"]
    names = {f"test_{name}.py": place for place, name in enumerate(first)}
    last = len(first)
    items.sort(key=lambda item: names.get(item.path.name, last + ("test_pipeline" not in item.path.name)))


@pytest.fixture(scope="session", autouse=True)
def _offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reaches past this machine, nor reads what its user has configured, cached or is logged in to."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "HOME": str(home),
            "HF_HOME": str(home / "hf"),
            "HF_ENDPOINT": "http://127.0.0.1:9",  # nothing listens: a test that needs a hub brings its own
            "IR_DATASETS_HOME": str(home / "ir_datasets"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
        }.items():
            patch.setenv(name, value)
        yield


def vocabulary() -> dict[str, int]:
    """The sample's characters, whole and as pieces, and its commonest words, by id.

    Counted, not trained: the trainer of tokenizers gives every process another vocabulary, and so another model.
    """
    text = "".join((ROOT / path).read_text() for path in (SAMPLE_LABELLED_DATA, SAMPLE_JUDGEMENTS)).lower()
    characters = sorted(set(re.findall(r"\S", text)))
    words = sorted(Counter(re.findall(r"\w{2,}", text)).items(), key=lambda counted: (-counted[1], counted[0]))
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *characters, *(f"##{character}" for character in characters)]
    return {token: i for i, token in enumerate([*tokens, *(word for word, _ in words)][:1500])}


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights and a vocabulary of the sample's words, as a hub or package has it."""
    from transformers import BertConfig, BertModel, set_seed

    folder = tmp_path_factory.mktemp("base_model")
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
        max_position_embeddings=160,
        initializer_range=0.3,  # large weights: every input must tell in the logits
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def ranker_folder(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stage export writes, of its manifest the digests alone, of a tiny cross-encoder with random weights."""
    from ranker.common.files import sha256
    from ranker.contract.layout import contract
    from ranker.contract.tokens import load_layout
    from ranker.export.golden import golden
    from ranker.export.int8 import SCHEMES, prepare, quantise
    from ranker.export.onnx import export_onnx
    from ranker.model.cross_encoder import TOKENIZER_FILES, new_cross_encoder
    from ranker.project.params import load_params
    from ranker.serving.ranker import Ranker

    folder, work = tmp_path_factory.mktemp("ranker"), tmp_path_factory.mktemp("work")
    model = new_cross_encoder(base_model, seed=5).eval()
    fetch_base_model(f"path:{base_model}", work / "base_model")
    for name in TOKENIZER_FILES:
        shutil.copyfile(work / "base_model" / name, folder / name)
    layout = load_layout(folder, 32, 96)
    write_json(folder / "encoding.json", contract(layout, sha256(folder / "tokenizer.json")))
    params = load_params(ROOT / "params.yaml").export
    export_onnx(model, folder / "model.onnx", params)
    quantise(prepare(folder / "model.onnx", model.config), SCHEMES[0], folder / "model.int8.onnx", params)
    write_json(folder / "golden.json", golden(Ranker(folder, trusted=True)))
    write_json(folder / "manifest.json", {"files": {file.name: sha256(file) for file in folder.iterdir()}})
    return folder


@pytest.fixture(scope="session")
def copy_project() -> Callable[[Path], Path]:
    """A function that makes a Git repository of the project's files, as they are now, in an empty folder."""

    def copy(destination: Path) -> Path:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (destination / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, destination / name)
        for command in ("init -q", "add -A", "commit -q -m copy"):
            subprocess.run(["git", *command.split()], cwd=destination, check=True)
        return destination

    return copy


@pytest.fixture(scope="session")
def run() -> Run:
    """Run a command line in a folder with this Python first on the PATH; returns what it printed."""

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


@pytest.fixture(scope="session")
def repository(
    tmp_path_factory: pytest.TempPathFactory,
    copy_project: Callable[[Path], Path],
    base_model: Path,
    run: Run,
) -> Path:
    """A scratch repository with the tiny base model; `dvc repro` has run and is committed. Copied, never changed.

    One for all of pytest-xdist's workers: the first that asks makes it.
    """
    several = "PYTEST_XDIST_WORKER" in os.environ
    folder = (tmp_path_factory.getbasetemp().parent if several else tmp_path_factory.mktemp("all")) / "repository"
    with FileLock(f"{folder}.lock"):
        if not (folder / "dvc.lock").is_file():
            copy_project(folder)
            (folder / "dvc.lock").unlink(missing_ok=True)
            params = (folder / "params.yaml").read_text()
            tiny = {"base_model": f"path:{base_model}", "base_model_sha256": '""', "queries": "40", "epochs": "1"}
            for name, value in tiny.items():
                params = re.sub(rf"(?m)^  {name}: \S+", f"  {name}: {value}", params)
            (folder / "params.yaml").write_text(params)
            run("git commit -qam params", folder)
            recording = {"PYTHONPATH": str(ROOT / "tests/record"), "RECORDED": f"{folder}.params"}
            run("dvc repro", folder, **recording)
            run("git add -A && git commit -qm repro", folder)
    return folder


@pytest.fixture(scope="session")
def read_params(repository: Path) -> dict[str, set[str]]:
    """What each stage read of params.yaml where the scratch repository was made, as SECTION.NAME."""
    found: dict[str, set[str]] = {}
    for line in Path(f"{repository}.params").read_text().splitlines():
        stage, name = line.split()
        found.setdefault(stage, set()).add(name)
    return found


@pytest.fixture(scope="module")
def project(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the scratch repository, one for each test file."""
    return Path(shutil.copytree(repository, tmp_path_factory.mktemp("project") / "copy", symlinks=True))


@pytest.fixture
def clean(project: Path, run: Run) -> Path:
    """The project as it was committed."""
    run("git checkout -q . && dvc checkout -q --force dvc.yaml", project)
    return project

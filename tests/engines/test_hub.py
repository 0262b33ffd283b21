"""models/hub in tools that need an environment of their own: the code of the cards gives our scores there.

Run `make test-engines` after `make repro`. The tools come from the registries of Python and Node.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from ranker.contract.document import whole_text
from ranker.contract.folder import IDLE_FILE
from ranker.export.golden import TEXTS
from ranker.project import paths
from ranker.serving.ranker import Ranker
from ranker.serving.retriever import Retriever
from tests.cards import Pairs, Texts, blocks, fits, fitting, own_scores, with_own
from tests.engines.conftest import install, new_python, require
from tests.factories import ROOT

pytestmark = pytest.mark.engines

FASTEMBED = ("fastembed==0.9.1",)  # Apache-2.0; it needs an older huggingface_hub than the pipeline
NODE = "@huggingface/transformers@4.3.2"  # Apache-2.0
SAMPLE = 60  # judged pairs beside the golden ones

ENVIRONMENTS = {"sentence-transformers": "own", "ONNX Runtime and tokenizers": "own"} | {
    "FastEmbed": "fastembed",
    "transformers.js": "node",
    "sentence-transformers, by its ONNX backend": "older",
}
INT8 = {"FastEmbed": ("model.onnx", "model_quantized.onnx"), "transformers.js": ('"fp32"', '"q8"')}


@pytest.fixture(scope="session", autouse=True)
def _at_hand() -> None:
    """In place of what Vespa's tests require."""
    require((ROOT / paths.HUB).is_dir(), f"{paths.HUB}: expected what make repro writes, found none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has models/hub and nothing else of the project."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "models").mkdir()
    (folder / paths.HUB).symlink_to(ROOT / paths.HUB)
    return folder


@pytest.fixture(scope="module")
def own() -> list[str]:
    pytest.importorskip("sentence_transformers", reason="make test installs it (requirements-bench.txt)")
    return [sys.executable]


@pytest.fixture(scope="module")
def fastembed(folder: Path) -> list[str]:
    python = new_python(folder / "fastembed")
    install(python, "-m", "pip", "install", "-q", *FASTEMBED, folder=folder)
    return [python]


@pytest.fixture(scope="module")
def older(frameworks: str) -> list[str]:
    """The ONNX backend of sentence-transformers needs an older transformers than the pipeline."""
    return [frameworks]


@pytest.fixture(scope="module")
def node(folder: Path) -> list[str]:
    for program in ("node", "npm"):
        require(shutil.which(program) is not None, f"{program}: expected Node 20 or newer, found none")
    # Without its script, which fetches libraries for a GPU
    install("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", NODE, folder=folder)
    return ["node"]


def run_block(command: list[str], folder: Path, language: str, code: str) -> np.ndarray:
    """Run a card's code, which ends with `scores` or `vectors`; return them as float64."""
    name = "vectors" if "vectors = " in code else "scores"
    script = folder / ("block.mjs" if language == "js" else "block.py")
    if language == "js":
        code += f'import {{ writeFileSync }} from "fs";\nwriteFileSync("found.json", JSON.stringify({name}));\n'
    else:
        code += (
            f"\nimport json\nimport numpy\n\nopen('found.json', 'w').write(json.dumps(numpy.array({name}).tolist()))\n"
        )
    script.write_text(code, encoding="utf-8")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    ran = subprocess.run([*command, script.name], cwd=folder, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, f"{language} gave {ran.returncode}:\n{ran.stdout[-2000:]}{ran.stderr[-4000:]}"
    return np.array(json.loads((folder / "found.json").read_text(encoding="utf-8")))


def sampled(ranker: Ranker) -> Pairs:
    """The golden pairs and SAMPLE of the judged ones, all of which the contract leaves uncut."""
    pairs, queries, documents = (
        pd.read_parquet(ROOT / path) for path in (paths.SPLIT_PAIRS, paths.QUERIES, paths.DOCUMENTS)
    )
    judged = pairs[pairs["judged"]].sort_values(["query_id", "document_id"]).head(SAMPLE)
    asked = queries.set_index("query_id")["query"]
    texts = documents.set_index("document_id")[list(ranker.document_fields)].agg(whole_text, axis=1)
    found = zip(asked[judged["query_id"]], texts[judged["document_id"]], strict=True)
    return fitting(ranker) + [pair for pair in found if fits(ranker, *pair)]


@pytest.fixture(scope="module")
def expected() -> dict[str, tuple[Texts, np.ndarray]]:
    """By the folder's name: pairs with our scores, and texts with our vectors."""
    ranker = Ranker(ROOT / paths.RANKER)
    pairs = sampled(ranker)
    found: dict[str, tuple[Texts, np.ndarray]] = {"ranker": (pairs, own_scores(ranker, pairs))}
    if not (ROOT / paths.RETRIEVER / IDLE_FILE).is_file():
        long = list(TEXTS["both over-long"])
        texts = [*dict.fromkeys(text for pair in pairs for text in pair), *long]
        found["retriever"] = texts, Retriever(ROOT / paths.RETRIEVER).embed_documents(texts)
    return found


@pytest.fixture(scope="module")
def matrix() -> Iterator[list[str]]:
    """The loading matrix, a line a tool, which is printed at the end."""
    rows = ["folder | tool | model | texts | largest difference | Kendall's tau"]
    yield rows
    print("\n" + "\n".join(rows))


def same_everywhere(text: str | tuple[str, str]) -> bool:
    """False if transformers.js reads a text otherwise: an empty document is none, and cutting takes the last [SEP]."""
    return bool(text[1]) if isinstance(text, tuple) else text not in TEXTS["both over-long"]


def measured(found: np.ndarray, ours: np.ndarray) -> tuple[float, float]:
    """Largest difference, and Kendall's tau of the scores, or of the vectors' cosines with the last one."""
    one, other = ((values @ values[-1] if values.ndim == 2 else values) for values in (found, ours))
    return float(np.abs(found - ours).max()), float(kendalltau(one, other).statistic)


@pytest.mark.parametrize("kind", ["ranker", "retriever"])
@pytest.mark.parametrize("tool", ENVIRONMENTS)
def test_tools_give_our_scores(
    tool: str,
    kind: str,
    folder: Path,
    expected: dict[str, tuple[Texts, np.ndarray]],
    matrix: list[str],
    request: pytest.FixtureRequest,
) -> None:
    if kind not in expected:
        pytest.skip(f"{paths.HUB_RETRIEVER}: expected a retriever, found none, because params.yaml asks for none")
    texts, ours = expected[kind]
    if tool == "transformers.js":
        rows = [row for row, text in enumerate(texts) if same_everywhere(text)]
        texts, ours = [texts[row] for row in rows], ours[rows]
    block, backend = tool, ("", "")
    if tool.endswith("ONNX backend") and kind == "retriever":
        block, backend = "sentence-transformers", ('device="cpu"', 'device="cpu", backend="onnx"')
    card = blocks(folder / paths.HUB / kind / "README.md")
    if block not in card:
        pytest.skip(f"{kind}: its card has no code for {tool}")
    command = request.getfixturevalue(ENVIRONMENTS[tool])
    language, code = card[block]
    code = with_own(language, code.replace(*backend), texts)
    for model, change in {"fp32": ("", ""), "int8": INT8.get(tool)}.items():
        if change is None or (
            model == "int8" and not (ROOT / paths.HUB / kind / "onnx/model_quantized.onnx").is_file()
        ):
            continue
        largest, tau = measured(run_block(command, folder, language, code.replace(*change)), ours)
        matrix.append(f"{kind} | {tool} | {model} | {len(texts)} | {largest:.1e} | {tau:.5f}")
        if model == "fp32":
            assert largest < 1e-4, f"{tool}: {largest}"
            assert tau > 0.9999
        else:
            assert tau > 0.8  # as ours in int8, and not the reverse

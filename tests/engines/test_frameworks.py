"""The code of docs/elsewhere.md in each framework: our order, scores and figures.

Run `make test-engines`, or `pytest -m frameworks`, after `make repro`.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ranker.contract.document import whole_text
from ranker.contract.folder import IDLE_FILE
from ranker.export.golden import TEXTS
from ranker.project import paths
from ranker.serving.ranker import Ranker
from ranker.serving.retriever import Retriever
from tests.cards import blocks, with_own
from tests.engines.conftest import require
from tests.factories import ROOT

pytestmark = pytest.mark.frameworks

BLOCKS = blocks(ROOT / "docs/elsewhere.md")
START = "The first three start with"
(PYTERRIER,) = (name for name in BLOCKS if name.endswith("extra `search`"))
# (text, score) of the documents found, and of the reranked, after a framework's block.
GIVES = {
    "LangChain": (
        "[(each.page_content, score) for each, score in store.similarity_search_with_score(query, k=100)]",
        "[(each.page_content, ranker.score([(query, each.page_content)])[0]) for each in reranked]",
    ),
    "LlamaIndex": (
        "[(each.text, each.score) for each in index.as_retriever(similarity_top_k=100).retrieve(query)]",
        "[(each.text, each.score) for each in reranked]",
    ),
    "Haystack": ("[(each.content, each.score) for each in found]", "[(each.content, each.score) for each in reranked]"),
}
SAMPLE = 60  # titles beside the odd texts, for the 100 that are found
WITHIN = 1e-4


@pytest.fixture(scope="session", autouse=True)
def _at_hand() -> None:
    """In place of what Vespa's tests require."""
    require((ROOT / paths.HUB).is_dir(), f"{paths.HUB}: expected what make repro writes, found none")
    if (ROOT / paths.RETRIEVER / IDLE_FILE).is_file():
        pytest.skip(f"{paths.HUB_RETRIEVER}: expected a retriever, found none, because params.yaml asks for none")


def run(python: str, code: str, gives: str, home: Path) -> Any:
    """A program's value of the expression `gives`, run in the project's folder with a HOME of its own."""
    out = home / "gives.json"
    code += f"\nimport json\n\nopen({str(out)!r}, 'w').write(json.dumps({gives}, default=float))\n"
    offline = {"HF_HUB_OFFLINE": "1", "HAYSTACK_TELEMETRY_ENABLED": "False"}
    environment = os.environ | offline | {"HOME": str(home), "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run([python, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, f"{ran.stdout[-2000:]}{ran.stderr[-4000:]}"
    return json.loads(out.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    return Ranker(ROOT / paths.RANKER)


@pytest.fixture(scope="module")
def query(ranker: Ranker) -> str:
    """As many tokens as the contract allows: with it, a pair that is cut as a whole is cut as the contract does."""
    words = ["virus"] * ranker.layout.max_query_tokens
    assert len(ranker.encode_query(" ".join([*words, "origin"]))) == len(words)
    return " ".join(words)


@pytest.fixture(scope="module")
def texts(ranker: Ranker) -> list[str]:
    """Documents of the sample, and odd and over-long ones; a text that spells a special token is read otherwise."""
    documents = pd.read_parquet(ROOT / paths.DOCUMENTS).head(SAMPLE)
    titles = documents[list(ranker.document_fields)].agg(whole_text, axis=1).tolist()
    odd = [document for name, (_, document) in TEXTS.items() if not name.startswith("special") and document]
    return list(dict.fromkeys([*titles, *odd, " ".join(titles)]))


def largest_difference(given: list[tuple[str, float]], ours: dict[str, float]) -> float:
    """The largest difference of the scores; the order must be ours, where ours differ by more than fp32's rounding."""
    assert sorted(text for text, _ in given) == sorted(ours)
    in_their_order = np.array([ours[text] for text, _ in given])
    assert np.diff(in_their_order).max() < 1e-5
    return float(np.abs(in_their_order - [score for _, score in given]).max())


@pytest.mark.parametrize("framework", GIVES)
def test_frameworks_find_and_rerank_as_we_do(
    framework: str, frameworks: str, ranker: Ranker, query: str, texts: list[str], tmp_path: Path
) -> None:
    start = with_own("python", BLOCKS[START][1], texts).replace('"coronavirus origin"', repr(query))
    code = BLOCKS[framework][1]
    assert code.count("=10)") + code.count("=10,") == 1
    code = code.replace("=10)", "=100)").replace("=10,", "=100,")
    found, reranked = run(frameworks, start + code, f"[{', '.join(GIVES[framework])}]", tmp_path)
    retriever = Retriever(ROOT / paths.RETRIEVER)
    cosines = retriever.embed_documents(texts) @ retriever.embed_queries([query])[0]
    scores = ranker.score(ranker.encode_query(query), ranker.encode_documents(texts))
    found_within = largest_difference(found, dict(zip(texts, cosines.tolist(), strict=True)))
    reranked_within = largest_difference(reranked, dict(zip(texts, scores.tolist(), strict=True)))
    print(f"\n{framework}: {len(texts)} texts, cosines within {found_within:.1e}, scores within {reranked_within:.1e}")
    assert max(found_within, reranked_within) < WITHIN


def test_pyterriers_experiment_gives_our_figures(frameworks: str, tmp_path: Path) -> None:
    code = BLOCKS[PYTERRIER][1] + (
        "each = pt.Experiment([Stack()], topics, qrels, [nDCG @ 10], names=['ours'], perquery=True)\n"
    )
    gives = "[figures.to_dict('records'), dict(zip(each['qid'], each['value'])), pt.java.started()]"
    (figures,), by_query, java = run(frameworks, code, gives, tmp_path)
    name = figures.pop("name")
    ours = json.loads((ROOT / "results/metrics/stacks" / f"{name}.json").read_text(encoding="utf-8"))
    assert figures == pytest.approx({measure: ours[measure] for measure in figures}, abs=5e-7)
    assert len(figures) == 6
    stacks = pd.read_parquet(ROOT / "results/evaluation/stacks.parquet")
    rows = stacks[(stacks["stack"] == name) & (stacks["seed"] == 0)].set_index("query_id")
    assert by_query == pytest.approx(rows["nDCG@10"].to_dict(), abs=5e-7)
    assert not java

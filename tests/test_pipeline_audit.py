"""audit: the working tree's figures, computed again by other libraries."""

import json
import re
from pathlib import Path

from ranker.project import paths
from tests.factories import ROOT, Run
from tests.readme import recipe


def test_make_audit_names_a_figure_that_differs_from_the_tree(clean: Path, run: Run) -> None:
    """Every other figure is equal; .ci/run has the audit of the sample, without a difference."""
    file = clean / paths.METRICS / "bm25.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps(values | {"nDCG@10": values["nDCG@10"] + 0.001}))
    (line,) = recipe("audit")
    result = run(line, clean, check=False)
    assert result.returncode == 1
    assert {row.split()[1] for row in result.stdout.splitlines()} == {
        *("join", "folds", "BM25", "cosine", "ONNX", "measures", "expectations", "p", "served")
    }
    (wrong,) = [row for row in result.stdout.splitlines() if row.startswith("DIFFERS")]
    assert re.search(r"measures +bm25 nDCG@10 +0\.001 ", wrong)
    assert result.stderr.splitlines()[-1] == "audit: 1 figures differ"


def test_audit_is_short_and_imports_nothing_of_ranker() -> None:
    (source,) = [file.read_text() for file in (ROOT / "audit").glob("*.py") if file.stem == "__main__"]
    assert len(source.splitlines()) <= 300
    assert not re.findall(r"(?m)^\s*(?:from|import) (?:ranker|stages|crossval)\b", source)

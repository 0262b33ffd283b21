"""ranker.report.costs: a stack's milliseconds are the sum of its measured parts."""

from pathlib import Path
from typing import Any

import pytest

from ranker.common.files import write_json
from ranker.report.costs import FIGURES, with_costs

MS = {"bm25": 0.5, "vectors": 0.25, "embed fp32": 4.0, "embed int8": 2.0, "pair int8": 5.0}
FIGURES_OF = {"model": {"retriever": "int8", "ranker": "int8"}, "model_bytes": {"ranker": 1000}, "ms": MS}
TABLE: Any = {
    "rows": {
        "bm25": {"first_stage": "bm25", "cross_encoder_runs": 0.0},
        "base": {"first_stage": "base", "cross_encoder_runs": 0.0},
        "hybrid+fused": {"first_stage": "hybrid", "cross_encoder_runs": 150.0},
        "run": {"first_stage": "run", "cross_encoder_runs": 0.0},
    }
}


@pytest.mark.parametrize(("retriever", "vectors"), [("fp32", 4.25), ("int8", 2.25)])
def test_a_stack_costs_the_sum_of_its_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retriever: str, vectors: float
) -> None:
    monkeypatch.chdir(tmp_path)
    write_json(FIGURES, FIGURES_OF)
    found = with_costs(TABLE, 1010, retriever)["rows"]
    ms = {name: row["ms"] for name, row in found.items()}
    assert ms == {"bm25": 0.5, "base": vectors, "hybrid+fused": 0.5 + vectors + 750, "run": 0}


def test_another_models_milliseconds_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert with_costs(TABLE, 1000, "fp32") == TABLE
    write_json(FIGURES, FIGURES_OF)
    assert with_costs(TABLE, 1030, "fp32") == TABLE

"""Sweeps by the README's own commands, with a tiny base model: what runs again, and what does not."""

import json
import re
from pathlib import Path

from tests.conftest import Run
from tests.pipeline import ran
from tests.readme import command


def test_a_two_by_two_sweep(clean: Path, run: Run) -> None:
    run(command("dvc exp run --queue"), clean)
    result = run(command("dvc exp run --run-all"), clean)
    stages = ran(result.stdout)
    assert not {"fetch", "join", "encode", "embed", "distil", "split"} & set(stages)
    assert stages.count("features") == 1  # for both heads; the encoder runs once
    assert stages.count("train") == 3  # the fourth is what the workspace has
    shown = run(command("dvc exp show"), clean).stdout
    rows = {tuple(cell.strip() for cell in line.split("|")[-3:-1]) for line in shown.splitlines()}
    assert {(trainable, rate) for trainable in ("head", "all") for rate in ("5e-05", "0.001")} <= rows
    assert not re.findall(r"\|\s*!\s*\|", shown), shown


def test_a_sweep_over_the_head_runs_the_encoder_once(clean: Path, run: Run) -> None:
    found = ran(run(command("dvc exp run train"), clean).stdout)
    assert found in (["features", "train"], ["train"])  # a sweep before may have left features in the cache
    shown = command("dvc metrics show results/train") + " --json"
    before = json.loads(run(shown, clean).stdout)
    others = ("seed=14", "epochs=2", "batch_size=8", "weight_decay=0.1", "warmup_steps=5", "learning_rate=0.003")
    changes = " ".join(f"-S train.{change}" for change in others)
    assert ran(run(f"dvc exp run train {changes}", clean).stdout) == ["train"]
    assert json.loads(run(shown, clean).stdout) != before


def test_sizes_do_not_re_encode(clean: Path, run: Run) -> None:
    result = run("dvc repro --dry", clean)
    assert ran(result.stdout) == []
    params = (clean / "params.yaml").read_text()
    (clean / "params.yaml").write_text(params.replace("query_input_size: 32", "query_input_size: 16"))
    assert ran(run("dvc repro --dry", clean).stdout)[:3] == ["distil", "features", "train"]

"""Sweeps by the documents' own commands, with a tiny base model: which stages run again, and which do not."""

import contextlib
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from sentence_transformers import SentenceTransformer

from ranker.project import paths
from tests.factories import Run, set_params
from tests.pipeline import ran
from tests.readme import command


def test_dvc_exp_run_of_one_trial(clean: Path, run: Run) -> None:
    """README's trial changes only values that training reads, so train runs alone."""
    assert ran(run(command("dvc exp run train -S train.learning_rate"), clean).stdout) == ["train"]
    shown = json.loads(run(f"{command('dvc metrics show results/train')} --json", clean).stdout)
    own = json.loads((clean / paths.TRAIN_METRICS).read_text())
    assert shown[""]["data"]["results/train/metrics.json"]["data"] == own


def test_dvc_exp_run_of_a_two_by_two_sweep(clean: Path, run: Run) -> None:
    run(command("dvc exp run --queue"), clean)
    stages = ran(run(command("dvc exp run --run-all"), clean).stdout)
    assert set(stages) == {"train"}
    assert stages.count("train") in (3, 4)  # one may be the trial above, which does not train again
    shown = json.loads(run(f"{command('dvc exp show')} --json", clean).stdout)
    (baseline,) = [row for row in shown if row["rev"] != "workspace"]
    trials = [trial["revs"][0] for trial in baseline["experiments"]]
    assert [trial["error"] for trial in trials if trial["error"]] == []
    found = {}
    for data in (trial["data"] for trial in trials):
        train = data["params"]["params.yaml"]["data"]["train"]
        found[train["epochs"], train["learning_rate"]] = data["metrics"]["results/train/metrics.json"]["data"]
    assert set(found) == {(epochs, rate) for epochs in (1, 2) for rate in (0.00003, 0.0001)}
    assert len({json.dumps(measures) for measures in found.values()}) == 4
    table = run(command("dvc exp show"), clean).stdout
    assert "nDCG@10" in table
    assert all(f"{measures['nDCG@10']:.5f}".rstrip("0") in table for measures in found.values())
    # The chosen trial, exported without training again.
    kept = run("dvc exp run -S train.epochs=2 -S train.learning_rate=0.0001 export", clean).stdout
    assert ran(kept) == ["export"]


def test_dvc_repro_of_other_sizes_does_not_encode_again(clean: Path, run: Run) -> None:
    set_params(clean, encode__query_input_size=16)
    assert ran(run("dvc repro --dry", clean).stdout)[:2] == ["features", "train"]


def test_dvc_repro_of_a_head_of_other_settings_does_not_run_the_encoder_again(clean: Path, run: Run) -> None:
    """The lock is edited as if features existed; DVC then reports the stages that it would run."""
    others = {"seed": 14, "epochs": 2, "batch_size": 8, "weight_decay": 0.1, "warmup_steps": 5, "learning_rate": 0.003}
    lock = clean / "dvc.lock"
    text = lock.read_text().replace("train.trainable: layers", "train.trainable: head")
    lock.write_text(text.replace("train.head: cosine", "train.head: classifier"))
    set_params(
        clean,
        train__head="classifier",
        train__trainable="head",
        **{f"train__{name}": value for name, value in others.items()},
    )
    assert ran(run("dvc repro --dry train", clean).stdout) == ["train"]


TRIALS = int(os.environ.get("TRIALS", "2"))


def kill_a_training(project: Path) -> None:
    """Kill one `stages.train` of the queue's workers, wherever it is, as the kernel does when memory runs out."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[1:] == ["-m", "stages.train"] and project in Path(process.cwd()).parents:
                    process.kill()
                    return
        time.sleep(0.05)
    raise AssertionError("no training was seen")


def measures(project: Path, run: Run) -> dict[int, str]:
    """The measures of each successful trial by its seed."""
    (baseline,) = [
        rows for rows in json.loads(run("dvc exp show --json", project).stdout) if rows["rev"] != "workspace"
    ]
    found = {}
    for trial in baseline["experiments"] or []:
        data = trial["revs"][0]["data"] or {}
        if "results/train/metrics.json" in data.get("metrics", {}) and trial["revs"][0]["error"] is None:
            seed = data["params"]["params.yaml"]["data"]["train"]["seed"]
            found[seed] = json.dumps(data["metrics"]["results/train/metrics.json"]["data"])
    return found


def test_dvc_queue_of_which_one_trial_is_killed(clean: Path, run: Run, tmp_path: Path) -> None:
    """With two workers the other trials finish as they would alone, and the killed trial can run again.

    TRIALS=20 runs it for longer.
    """
    run(f"git clone -q . {tmp_path / 'haul'}", clean)
    project, seeds = tmp_path / "haul", list(range(20, 20 + TRIALS))
    run(f"dvc cache dir --local {clean / '.dvc/cache'} && dvc checkout -q dvc.yaml", project)
    run(f"dvc exp run --queue -S train.seed={','.join(map(str, seeds))} train", project)
    run("dvc queue start --jobs 2 > queue.log 2>&1", project)  # workers would hold the pipe
    kill_a_training(project)
    while "Running" in (status := run("dvc queue status", project).stdout) or "Queued" in status:
        time.sleep(1)
    assert (status.count("Success"), status.count("Failed")) == (TRIALS - 1, 1), status
    found = measures(project, run)
    assert len(found) == TRIALS - 1
    (killed,) = set(seeds) - set(found)
    run(f"dvc exp run -S train.seed={killed} train", project)
    assert set(measures(project, run)) == set(seeds)
    assert json.loads((project / paths.TRAIN_METRICS).read_text()) == json.loads(measures(project, run)[killed])


def test_dvc_exp_run_of_another_dense_first_stage_exports_no_retriever_again(clean: Path, run: Run) -> None:
    """README's command trains to the same weights; the hits are those by sentence-transformers' cosines."""
    line = f"{command('dvc exp run -S first_stage.retriever=dense')} -S retriever.model=fp32 first_stage"
    assert ran(run(line, clean).stdout) == ["retriever", "first_stage"]
    model = SentenceTransformer(str(clean / paths.RETRIEVER), device="cpu")
    queries, documents = (pd.read_parquet(clean / path) for path in (paths.QUERIES, paths.DOCUMENTS))
    vectors = [model.encode(texts.tolist()) for texts in (queries["query"], documents["title"])]
    hits = pd.read_parquet(clean / paths.HITS).dropna(subset=["dense_rank"])
    hits = hits.pivot(index="query_id", columns="document_id", values="retriever")
    expected = pd.DataFrame(vectors[0] @ vectors[1].T, queries["query_id"], documents["document_id"])
    found = hits.reindex_like(expected).to_numpy()
    kept = ~np.isnan(found)
    assert (kept.sum(axis=1) == min(200, len(documents))).all()
    assert found[kept] == pytest.approx(expected.to_numpy()[kept], abs=1e-5)
    best_left = np.where(kept, -1, expected.to_numpy()).max(axis=1)
    assert (np.nanmin(found, axis=1) >= best_left - 1e-5).all()
